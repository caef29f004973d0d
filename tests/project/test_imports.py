"""Who may import whom, and what must not be imported early."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

HEAVY = {"torch", "monai", "sklearn", "napari", "qtpy", "PySide6", "IPython", "umap"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `code`."""
    report = "import sys, atexit; atexit.register(lambda: print('\\n' + ' '.join(sys.modules), file=sys.stderr))\n"
    run = subprocess.run([sys.executable, "-c", report + code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stderr.splitlines()[-1].split()}


def test_import_directions():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import coralbay_core",
        "import coralbay_viz",
        "import coralbay_core.cli",
        "from coralbay_core.cli import main; main()",
    ],
)
def test_light_start(code):
    loaded = modules_after(f"import sys; sys.argv = ['coralbay', '--help']\n{code}")
    assert "coralbay_core" in loaded or "coralbay_viz" in loaded
    assert not loaded & HEAVY
