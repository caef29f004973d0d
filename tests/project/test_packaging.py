"""What is installed, and what the plugin manager finds of it."""

import runpy
import sys
import tomllib
from importlib.metadata import distribution, distributions, entry_points, version

import pytest

import coralbay_core
from tests.support import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CORE = ROOT / "coralbay_core"


def test_versions_are_equal():
    assert coralbay_core.__version__ == version("coralbay") == PROJECT["version"]


def test_manifest_is_one_file():
    link, manifest = ROOT / "napari.yaml", ROOT / "coralbay_viz" / "napari.yaml"
    assert manifest.is_file()
    assert not manifest.is_symlink()
    # A checkout without symlinks holds the target's path as text.
    target = link.readlink().as_posix() if link.is_symlink() else link.read_text().strip()
    assert target == "coralbay_viz/napari.yaml"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:npe2")
def test_manifest_is_valid():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("coralbay")
    assert manifest.name == "coralbay"
    manifest.validate_imports()


@pytest.mark.parametrize("command", ["view", "demo"])
def test_viz_commands_are_found(command):
    (entry,) = entry_points(group="coralbay.commands", name=command)
    assert callable(entry.load())


def test_all_is_what_a_user_wants():
    extras = PROJECT["optional-dependencies"]
    assert extras["all"] == ["coralbay[cluster,dicom,itk,jupyter,library,monai,napari,qt,tensorboard,umap]"]
    shown = {"cluster", "dicom", "itk", "jupyter", "library", "monai", "napari", "qt", "tensorboard", "umap"}
    assert {"all", "dev", "docs", "eva", "onnx"} | shown == set(extras)
    assert not any(line.startswith("torch") and "=" in line.replace(">=", "") for line in PROJECT["dependencies"])


def test_constraints_pin_versions_and_no_addresses():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in lines
    assert all(line.count("==") == 1 and not set(line) & set("+@/: ") for line in lines)


def test_the_oldest_versions_are_the_lower_bounds():
    """Those that `make test-oldest` installs; the rest of that set is what fits them."""
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    script = runpy.run_path(str(ROOT / "scripts" / "oldest_versions.py"))
    lines = [line for line in (ROOT / "constraints-oldest.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and not set(line) & set("+@/: ") for line in lines)
    pinned = {canonicalize_name(name): Version(text) for name, text in (line.split("==") for line in lines)}
    bounds = [line.partition(";")[0].strip().split("==") for line in script["oldest"]()]
    assert len(bounds) > 40
    for name, text in bounds:
        assert pinned[canonicalize_name(name)] == Version(text), name


def test_installed_files_are_named_by_the_distribution():
    metadata = distribution("coralbay").metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Framework :: napari" in metadata.get_all("Classifier")


def test_constraints_hold_for_the_python_of_debian_12():
    """Its 3.11.2 is older than what some packages ask for; the set must be installable there too."""
    from packaging.specifiers import SpecifierSet

    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    installed = [d for d in distributions() if d.name in pinned]
    assert len(installed) > 100
    too_new = [d.name for d in installed if "3.11.2" not in SpecifierSet(d.metadata.get("Requires-Python") or "")]
    assert not too_new


def test_qt_keeps_references_to_none():
    """PySide6 6.12.0 on Python 3.11 loses one in each such call, and the process aborts when none is left."""
    core = pytest.importorskip("qtpy.QtCore")
    item = core.QObject()
    before = sys.getrefcount(None)
    for _ in range(1000):
        item.parent()
    assert sys.getrefcount(None) > before - 500
