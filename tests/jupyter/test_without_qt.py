"""Notebooks without napari and Qt: in an environment of what `coralbay[jupyter]` asks for, and nothing else."""

import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

ABSENT = ("napari", "qtpy", "PySide6", "vispy", "magicgui", "superqt", "npe2")
RUN = """
import sys
from importlib.util import find_spec
import nbformat
from nbclient import NotebookClient
assert not [name for name in sys.argv[2].split(",") if find_spec(name)]
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell(
    "import sys; print(sorted({'napari', 'qtpy', 'PySide6', 'vispy'} & set(sys.modules)))"))
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print(notebook.cells[-1].outputs[0]["text"].strip())
"""


def needed(requirement: str) -> dict[str, Distribution]:
    """Installed distributions that a requirement asks for, directly or not, by name."""
    found: dict[str, Distribution] = {}
    seen, left = set(), [Requirement(requirement)]
    while left:
        asked = left.pop()
        name = canonicalize_name(asked.name)
        if (name, extras := frozenset(asked.extras)) in seen:
            continue
        seen.add((name, extras))
        found[name] = distribution(name)
        for line in found[name].requires or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                left.append(inner)
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """Python of an environment with links to the files of those distributions."""
    folder = tmp_path_factory.mktemp("without-qt")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    here = Path(sysconfig.get_path("purelib"))
    there = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    wanted = needed("coralbay[jupyter]")
    del wanted["coralbay"]
    owners: dict[str, set[str]] = {}
    for each in distributions():
        name = canonicalize_name(each.name)  # once: each time, all metadata is parsed
        for file in each.files or ():
            owners.setdefault(file.parts[0], set()).add(name)
    for each in wanted.values():
        tops = {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}
        for top in tops:
            if len(owners[top]) == 1:
                (there / top).symlink_to(here / top)
                continue
            for file in (file for file in each.files if file.parts[0] == top):  # a namespace that others share
                link = there / Path(*file.parts)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(here / Path(*file.parts))
    (there / "coralbay.pth").write_text(f"{ROOT}\n")
    return folder / "bin" / "python"


def test_the_extra_is_enough():
    extra = needed("coralbay[jupyter]")
    assert {"anywidget", "ipywidgets", "jupyterlab", "torch", "ipykernel"} <= set(extra)
    assert not {canonicalize_name(name) for name in ABSENT} & set(extra)


@pytest.mark.slow
def test_the_quick_start_runs(environment, tmp_path):
    command = [environment, "-c", RUN, ROOT / "notebooks" / "01_quick_start.ipynb", ",".join(ABSENT)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.strip().endswith("[]")
    assert (tmp_path / "heat.nii.gz").stat().st_size > 1000
