"""The notebooks: kept without outputs, and each runs from top to bottom on the phantom."""

from pathlib import Path

import nbformat
import pytest

from tests.support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path):
    assert code_cells(path)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(path))


@pytest.mark.slow
# Of the kernel's sockets, closed by pyzmq and tornado in their own time.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for name in WRITTEN[path.stem[:2]]:
        assert (tmp_path / name).stat().st_size > 500


# A few of the files that the notebooks leave behind.
WRITTEN = {
    "01": ["heat.nii.gz", "seg.nii.gz"],
    "02": ["kidney.query"],
    "03": ["organs.safetensors", "seg.nii.gz"],
    "04": [],
    "05": ["tiny-run/log.jsonl"],
    "06": ["report/report.html"],
}


def test_a_scan_of_ones_own_is_one_variable():
    for path in NOTEBOOKS:
        first = code_cells(path)[0].source
        assert "CT = None" in first or "CT, " in first or "DATA = None" in first, path.name
