"""Without an extra, the command that needs it ends with one line before it starts to work; all others work."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, MissingExtraError
from coralbay_core.io import save_map
from coralbay_core.util.extras import import_extra
from coralbay_viz.napari_ui.display_check import require_napari
from tests.support import ROOT
from tests.support.dicom import write_series
from tests.support.scans import cut
from tests.support.without_extras import HIDDEN

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture(scope="module")
def outcomes(phantom, tmp_path_factory):
    """Outcomes of commands where no package of any extra is installed."""
    folder = tmp_path_factory.mktemp("without")
    ct = cut(phantom.volume, phantom.landmarks["L2"])
    save_map(folder / "ct.nii.gz", ct.data, ct)
    save_map(folder / "seg.nii.gz", np.ones(ct.shape, np.uint8), ct)
    (folder / "ct.nrrd").write_bytes(b"NRRD0004\n")
    write_series(folder / "series", np.zeros((3, 8, 8), int))
    command = [sys.executable, "-m", "tests.support.without_extras", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["napari", "umap", "cluster", "itk", "dicom", "library", "library search", "onnx", "jupyter"]
)
def test_an_absent_extra_is_one_line_before_the_work(outcomes, name):
    extra = name.split()[0]
    found = outcomes[name]
    assert (found["code"], found["out"]) == (1, "")
    (line,) = found["err"].splitlines()
    assert line.startswith("error: ")
    assert f'pip install "coralbay[{extra}]"' in line
    assert any(module in line for module in HIDDEN[extra])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none: DICOM", "none: colors", "none: help"])
def test_the_base_installation_does_the_rest(outcomes, name):
    assert outcomes[name]["code"] == 0, outcomes[name]["err"]


def test_every_extra_is_hidden():
    assert set(HIDDEN) == set(EXTRAS) - {"all", "dev", "docs"}


def test_a_broken_package_is_named_with_its_fault(tmp_path, monkeypatch):
    (tmp_path / "brittle.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"tests need brittle - found No module named 'nothing_of_this_name' -"):
        import_extra("umap", "brittle", need="tests need")


@pytest.mark.parametrize("version", ["0.9.0", "0.9.1", "0.6.6"])
def test_an_old_napari_is_refused(version):
    with pytest.raises(CoralBayError, match=rf"left and right.*found napari {version} vs expected 0.9.2 or newer"):
        require_napari(version)


@pytest.mark.parametrize("version", ["0.9.2", "0.9.2rc1", "0.10.0", "1.0.0a1.dev3"])
def test_a_newer_napari_is_taken(version):
    require_napari(version)


def test_the_installed_napari_is_taken():
    require_napari()


def test_napari_comes_without_a_qt_binding():
    assert not any("PySide" in line or "PyQt" in line for line in EXTRAS["napari"])
    assert all(line.startswith("PySide6-Essentials") for line in EXTRAS["qt"])
