"""Output to terminals that cannot show every character."""

import io
import os
import shutil
import sys

import pytest

from coralbay_core.cli import run


@pytest.mark.parametrize(
    ("encoding", "bytes_of_name", "shown"),
    [
        ("cp1252", "患者-7".encode(), rb"\u60a3\u8005-7"),
        ("iso8859-1", "患者-é".encode(), b"\\u60a3\\u8005-\xe9"),
        # Names of files are bytes; those that are not UTF-8 cannot be printed even where UTF-8 can.
        ("utf-8", "患者".encode() + b"\xff", "患者".encode() + rb"\udcff"),
    ],
)
def test_a_path_in_another_script_is_printed_in_any_encoding(
    scan, tmp_path, monkeypatch, encoding, bytes_of_name, shown
):
    folder = tmp_path / os.fsdecode(bytes_of_name)
    folder.mkdir()
    shutil.copy(scan / "strokes.nii.gz", folder / "strokes.nii.gz")
    for read, code in (("strokes.nii.gz", 0), ("none.nii.gz", 2)):
        out, err = io.BytesIO(), io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, write_through=True))
            patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding, write_through=True))
            found = run(["probe", "stats", str(folder / read), "--csv", str(folder / "table.csv")])
            told = (out if code == 0 else err).getvalue()
        assert found == code
        assert shown in told
    assert (folder / "table.csv").stat().st_size > 0
