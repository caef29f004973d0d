"""What napari finds in the manifest: readers, writers, samples, menus, keys."""

import nibabel
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.volume_io import load_labels, save_map
from coralbay_viz import samples
from coralbay_viz.napari_ui import actions, plugin, series


def test_manifest_is_valid_and_all_that_it_names_is_there():
    from importlib.metadata import distribution

    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("coralbay")
    assert manifest.name == distribution("coralbay").name
    manifest.validate_imports()
    keys = set(manifest.contributions.menus)
    from napari._app_model.constants import MenuId

    assert keys <= {str(menu) for menu in MenuId.contributables()}


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_scans_of_each_format_open_in_hu_and_mm(viewer, belly, tmp_path, name):
    path = tmp_path / name
    if name.endswith(".gz"):
        save_map(path, belly.data, belly)
    else:
        sitk = pytest.importorskip("SimpleITK")
        image = sitk.GetImageFromArray(belly.data)
        image.SetSpacing([3.0, 3.0, 3.0])
        sitk.WriteImage(image, str(path))
    (layer,) = viewer.open(path, plugin="coralbay")
    assert layer.data.shape == belly.data.shape
    assert set(np.unique(layer.data)) == set(np.unique(belly.data))  # HU, in whatever order
    assert str(layer.units[0]) in ("millimeter", "mm")
    assert tuple(layer.contrast_limits) == (-160, 240)


def test_a_label_map_opens_as_labels_with_its_names(viewer, belly, tmp_path):
    data = (belly.data > 100).astype(np.uint8)
    save_map(tmp_path / "labels.nii.gz", data, belly)
    (tmp_path / "labels.json").write_text('{"1": "bone"}')
    (layer,) = viewer.open(tmp_path / "labels.nii.gz", plugin="coralbay")
    assert layer._type_string == "labels"
    assert layer.metadata["names"] == {1: "bone"}
    assert (layer.data == data).all()


def test_two_series_are_a_question(tmp_path, monkeypatch, viewer):
    pytest.importorskip("pydicom")
    from make_dicom import write_series

    write_series(tmp_path / "a", np.zeros((3, 8, 9)), SeriesInstanceUID="1.2.3", SeriesDescription="thin", seed=1)
    write_series(tmp_path / "b", np.zeros((5, 8, 9)), SeriesInstanceUID="1.2.4", SeriesDescription="thick", seed=2)
    asked = []
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: (asked.append(args[3]), (args[3][1], True))[1])
    (layer,) = viewer.open(tmp_path, plugin="coralbay")
    assert len(asked[0]) == 2
    assert "thick" in asked[0][0]
    assert layer.data.shape[0] == 3
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: ("", False))
    assert viewer.open(tmp_path, plugin="coralbay") == []
    assert series.choose(tmp_path) == (None, False)


def test_layers_are_saved_on_the_grid_and_header_of_their_scan(dock, viewer, hand, belly, tmp_path):
    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    dock.session.open(path)
    hand.wait_for(lambda: dock.session.scan is not None)
    scan = dock.session.scan
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.context.painting.select(1)
    layer = dock.binding.layer("strokes")
    painted = np.zeros(scan.label_grid.shape, np.uint8)
    painted[2:5, 3:7, 4:9] = 3
    layer.data = painted
    viewer.layers.selection = {layer}
    assert viewer.layers.save(str(tmp_path / "strokes.nii.gz"), selected=True, plugin="coralbay")
    written = load_labels(tmp_path / "strokes.nii.gz", like=scan.volume)
    assert written.grid == scan.volume.grid
    assert (written.data == painted).all()
    pca = dock.binding.layer("pca")
    viewer.layers.selection = {pca}
    assert viewer.layers.save(str(tmp_path / "pca.nii.gz"), selected=True, plugin="coralbay")
    image = nibabel.load(tmp_path / "pca.nii.gz")
    np.testing.assert_allclose(image.affine, nibabel.load(path).affine, atol=1e-5)
    assert image.get_data_dtype().names == ("R", "G", "B")


def test_labels_of_napari_itself_are_saved_where_they_lie(viewer, tmp_path):
    layer = viewer.add_labels(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), scale=(3, 2, 1), translate=(10, 0, -5))
    viewer.layers.selection = {layer}
    assert viewer.layers.save(str(tmp_path / "own.nii.gz"), selected=True, plugin="coralbay")
    written = load_labels(tmp_path / "own.nii.gz")
    np.testing.assert_allclose(written.grid.to_world([1, 2, 3]), [-(-5 + 3), -(2 * 2), 10 + 3])


def test_a_picture_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="3-D"):
        plugin.write(str(tmp_path / "x.nii.gz"), np.zeros((4, 4)), {"name": "flat"})


def test_the_public_sample_without_a_network_is_one_line(viewer, monkeypatch, tmp_path):
    monkeypatch.setattr(samples, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(samples.fetch_chest, "__defaults__", ("http://127.0.0.1:9/ct", "0" * 64, None))
    with pytest.raises(CoralBayError, match="could not be fetched") as caught:
        viewer.open_sample("coralbay", "chest")
    assert "\n" not in str(caught.value)
    assert len(viewer.layers) == 0


def test_the_public_sample_is_checked(tmp_path, belly):
    import hashlib
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    pytest.importorskip("pooch")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "ct").write_bytes(b"a scan")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web")))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/ct"
    try:
        path = samples.fetch_chest(url, hashlib.sha256(b"a scan").hexdigest(), tmp_path / "kept")
        assert path.read_bytes() == b"a scan"
        with pytest.raises(CoralBayError, match="could not be fetched"):
            samples.fetch_chest(url, "0" * 64, tmp_path / "other")
        assert not list((tmp_path / "other").glob("*"))
    finally:
        server.shutdown()
        server.server_close()


def test_keys_stand_in_the_preferences_and_work(dock, viewer, hand, belly, phantom):
    from napari._qt.widgets.qt_keyboard_settings import ShortcutEditor

    editor = ShortcutEditor()
    names = set(editor.key_bindings_strs[editor.VIEWER_KEYBINDINGS])
    editor.close()
    editor.deleteLater()
    assert set(actions.ACTIONS) <= names
    dock.session.add(belly)
    place = phantom.landmarks["liver_right_lobe"]
    dock.binding.go_to(place)
    hand.wait()
    native = viewer.window._qt_viewer.canvas.native
    native.setFocus()
    assert dock.tools.mode == "look"
    QTest.keyPress(native, Qt.Key.Key_Q)
    assert dock.tools.mode == "pick"
    hand.click(place)
    QTest.keyRelease(native, Qt.Key.Key_Q)
    assert dock.tools.mode == "look"
    assert len(dock.session.clicks.positive) == 1
    QTest.keyClick(native, Qt.Key.Key_U)
    assert not dock.session.clicks
    QTest.keyClick(native, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert len(dock.session.clicks.positive) == 1


def test_menu_entries_open_the_tab(viewer, hand):
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("coralbay.open_segment").result()
    (widget,) = (w for name, w in viewer.window.dock_widgets.items() if "CoralBay" in name)
    assert widget.tabs.tabText(widget.tabs.currentIndex()) == "Segment"
    widget.session.close()
    hand.wait(100)
