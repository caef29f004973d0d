"""Output to terminals that cannot show every character."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_path_in_another_script_is_printed_in_any_encoding(scan, tmp_path, encoding):
    name = os.fsdecode("患者-\N{LATIN SMALL LETTER U WITH DIAERESIS}".encode() + (b"\xff" if encoding == "utf-8" else b""))
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(scan / "ct.nii.gz", folder / "ct.nii.gz")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for path, code in (("ct.nii.gz", 0), ("none.nii.gz", 2)):
        command = [sys.executable, "-m", "coralbay_core.cli", "info", os.path.join(name, path)]
        command[1:3] = ["-c", "from coralbay_core.cli import main; main()"]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
