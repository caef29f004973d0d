"""Files that no scanner wrote, dropped on a window: one line each, and the window goes on."""

import numpy as np
import pytest
from napari.utils import notifications
from qtpy.QtWidgets import QInputDialog

from coralbay_core.io import save_map
from coralbay_viz.napari_ui import plugin
from tests.support.malformed_files import malformed

# Writing a gigabyte of zeros, packed, takes longer than refusing it.
LARGE = ("gz-bomb", "dicom-bomb")


def drop(viewer, *paths):
    """What napari does with dropped files once the user has chosen CoralBay to read them."""
    viewer.window._qt_viewer._qt_open([str(path) for path in paths], stack=False, plugin="coralbay")


MAKERS = {name: make for name, make in malformed() if name not in LARGE}


@pytest.mark.slow
def test_malformed_files_are_one_line_each(dock, viewer, hand, belly, told, tmp_path, monkeypatch):
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: pytest.fail("no question"))
    for name in ("show_info", "show_warning", "show_error"):
        monkeypatch.setattr(notifications, name, told.append)
    others = []
    for number, (name, make) in enumerate(MAKERS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = make(folder)
        told.clear()
        if "loop-of-links" in name:  # napari looks for the file first, and shows this line
            with pytest.raises(FileNotFoundError, match="does not exist"):
                drop(viewer, path)
            continue
        if plugin.get_reader(str(path)) is None:  # a folder without DICOM is not CoralBay's, which napari says
            others.append(name)
            continue
        drop(viewer, path)
        hand.settle()
        assert len(told) == 1, (name, told)
        assert "\n" not in told[0], name
        assert path.name in told[0], name
        assert not viewer.layers, name
    assert len(others) < 8, others
    save_map(tmp_path / "sound.nii.gz", belly.data, belly)
    drop(viewer, tmp_path / "sound.nii.gz")
    hand.wait_for(lambda: dock.session.scan is not None)
    np.testing.assert_array_equal(dock.session.volume.data, belly.data)


def test_one_bad_file_among_several(viewer, belly, told, tmp_path, monkeypatch):
    monkeypatch.setattr(notifications, "show_error", told.append)
    (tmp_path / "bad.nii.gz").write_bytes(b"no image")
    save_map(tmp_path / "good.nii.gz", belly.data, belly)
    drop(viewer, tmp_path / "bad.nii.gz", tmp_path / "good.nii.gz")
    (line,) = told
    assert "bad.nii.gz" in line
    assert [layer.name for layer in viewer.layers] == ["good"]
