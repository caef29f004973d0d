"""What napari finds in the manifest: readers, writers, samples, menus, keys."""

import threading

import nibabel
import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QInputDialog, QProgressDialog, QPushButton

from coralbay_core.errors import Cancelled, CoralBayError, InputError
from coralbay_core.io import load_labels, save_map
from coralbay_core.io.dicom_series import series_key
from coralbay_viz.demo import samples
from coralbay_viz.napari_ui import actions, launch, plugin, series
from coralbay_viz.napari_ui.widget import threaded_session


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
def test_scans_of_each_format_open_in_hu_and_mm(windowless, belly, tmp_path, name):
    path = tmp_path / name
    if name.endswith(".gz"):
        save_map(path, belly.data, belly)
    else:
        sitk = pytest.importorskip("SimpleITK")
        image = sitk.GetImageFromArray(belly.data)
        image.SetSpacing([3.0, 3.0, 3.0])
        sitk.WriteImage(image, str(path))
    (layer,) = windowless.open(path, plugin="coralbay")
    assert layer.data.shape == belly.data.shape
    assert set(np.unique(layer.data)) == set(np.unique(belly.data))  # HU, in whatever order
    assert str(layer.units[0]) in ("millimeter", "mm")
    assert tuple(layer.contrast_limits) == (-160, 240)


def test_a_label_map_opens_as_labels_with_its_names(windowless, belly, tmp_path):
    data = (belly.data > 100).astype(np.uint8)
    save_map(tmp_path / "labels.nii.gz", data, belly)
    (tmp_path / "labels.json").write_text('{"1": "bone"}')
    (layer,) = windowless.open(tmp_path / "labels.nii.gz", plugin="coralbay")
    assert layer._type_string == "labels"
    assert layer.metadata["names"] == {1: "bone"}
    assert (layer.data == data).all()


def test_labels_of_any_value_and_format_can_be_seen_and_saved(windowless, belly, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    data = np.where(belly.data > 100, 40_000, np.where(belly.data < -500, -1, 0)).astype(np.int32)
    sitk.WriteImage(sitk.GetImageFromArray(data), str(tmp_path / "labels.mha"))
    (layer,) = windowless.open(tmp_path / "labels.mha", plugin="coralbay")
    assert layer._type_string == "labels"
    assert sorted(np.unique(layer.data)) == [-1, 0, 40_000]
    for value in (-1, 40_000):
        assert layer.get_color(value)[3] > 0
    layer.save(str(tmp_path / "again.nii.gz"), plugin="coralbay")
    assert (load_labels(tmp_path / "again.nii.gz").data == layer.data).all()


def test_two_series_are_a_question(tmp_path, monkeypatch, windowless):
    pytest.importorskip("pydicom")
    from tests.support.dicom import write_series

    write_series(tmp_path / "a", np.zeros((3, 8, 9)), SeriesInstanceUID="1.2.3", SeriesDescription="thin", seed=1)
    write_series(tmp_path / "b", np.zeros((5, 8, 9)), SeriesInstanceUID="1.2.4", SeriesDescription="thick", seed=2)
    asked = []
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: (asked.append(args[3]), (args[3][1], True))[1])
    (layer,) = windowless.open(tmp_path, plugin="coralbay")
    assert len(asked[0]) == 2
    assert "thick" in asked[0][0]
    assert layer.data.shape[0] == 3
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: ("", False))
    assert windowless.open(tmp_path, plugin="coralbay") == []
    assert series.choose(tmp_path) == (None, False)


def test_the_series_that_was_chosen_is_kept(dock, viewer, hand, tmp_path, monkeypatch):
    pytest.importorskip("pydicom")
    from tests.support.dicom import write_series

    write_series(tmp_path / "ct" / "a", np.zeros((4, 24, 24)), SeriesInstanceUID="1.2.3", seed=1)
    write_series(tmp_path / "ct" / "b", np.zeros((5, 24, 24)), SeriesInstanceUID="1.2.4", seed=2)
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: (args[3][1], True))
    viewer.open(tmp_path / "ct", plugin="coralbay")
    session = dock.session
    assert session.volume.series == series_key("1.2.3")
    for command in (session.save, session.load):
        job = command(tmp_path / "a.coralbay")
        hand.wait_for(lambda job=job: not job.running)
        assert job.state == "done"
    assert session.volume.shape[0] == 4


@pytest.mark.parametrize("name", ["IM000001", "A3F2C0DE", "I7", "1.2.840.113619.5", "slice.12", "x.IMA", "x.DCM"])
def test_any_file_of_a_series_is_enough(windowless, tmp_path, name):
    pytest.importorskip("pydicom")
    from tests.support.dicom import write_series

    for number, path in enumerate(write_series(tmp_path / "ct", np.zeros((4, 9, 8)))):
        path.rename(path.with_name(name if number == 2 else f"{number}"))
    assert "coralbay" in _readers_of(tmp_path / "ct" / name)
    (layer,) = windowless.open(tmp_path / "ct" / name, plugin="coralbay")
    assert layer.data.shape == (4, 9, 8)


@pytest.mark.parametrize("name", ["cells.tif", "run2.ome.tif", "cells.png", "film.mp4", "table.csv", "t0.zarr"])
def test_files_of_other_readers_are_left_to_them(tmp_path, name):
    (tmp_path / name).write_bytes(b"not ours" * 50)
    assert "coralbay" not in _readers_of(tmp_path / name)
    assert plugin.get_reader(str(tmp_path / name)) is None


def test_what_does_not_say_that_it_is_dicom_is_declined(tmp_path):
    (tmp_path / "IM000001").write_bytes(b"not ours" * 50)
    (tmp_path / "cells.zarr").mkdir()
    (tmp_path / "cells.zarr" / "0").write_bytes(b"")
    assert plugin.get_reader(str(tmp_path / "IM000001")) is None
    assert plugin.get_reader(str(tmp_path / "cells.zarr")) is None


def _readers_of(path):
    """Plugins that napari would offer for a file: with more than one it asks the user."""
    from npe2 import PluginManager

    return {reader.plugin_name for reader in PluginManager.instance().iter_compatible_readers([str(path)])}


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


def test_labels_of_napari_itself_are_saved_where_they_lie(windowless, tmp_path):
    layer = windowless.add_labels(
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4), scale=(3, 2, 1), translate=(10, 0, -5)
    )
    windowless.layers.selection = {layer}
    assert windowless.layers.save(str(tmp_path / "own.nii.gz"), selected=True, plugin="coralbay")
    written = load_labels(tmp_path / "own.nii.gz")
    np.testing.assert_allclose(written.grid.to_world([1, 2, 3]), [-(-5 + 3), -(2 * 2), 10 + 3])


@pytest.mark.parametrize("direction", [1, -1])
def test_new_labels_of_napari_are_saved_on_the_scan_that_they_lie_on(viewer, tmp_path, direction):
    affine = np.diag([0.7 * direction, 0.7 * direction, 2.5, 1])
    hu = np.random.default_rng(0).integers(-500, 500, (40, 41, 12)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hu, affine), tmp_path / "scan.nii.gz")
    (scan,) = viewer.open(tmp_path / "scan.nii.gz", plugin="coralbay")
    viewer._new_labels()  # napari's button
    labels = viewer.layers[-1]
    labels.data = (scan.data > 400).astype(np.uint8)
    viewer.layers.selection = {labels}
    viewer.layers.save(str(tmp_path / "new.nii.gz"), selected=True, plugin="coralbay")
    written = nibabel.load(tmp_path / "new.nii.gz")
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(written.get_fdata(), hu > 400)


def test_an_oblique_scan_is_saved_interpolated_and_its_labels_are_not(windowless, tmp_path):
    turn = np.deg2rad(12)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:2, :2] = 2 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    hu = (20 * np.mgrid[:30, :30, :30][0]).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hu, affine), tmp_path / "scan.nii.gz")
    (scan,) = windowless.open(tmp_path / "scan.nii.gz", plugin="coralbay")
    labels = windowless.add_labels(np.where(scan.data > 300, 7, 0).astype(np.uint8), affine=scan.affine)
    for name, layer in (("image", scan), ("labels", labels)):
        windowless.layers.selection = {layer}
        windowless.layers.save(str(tmp_path / f"{name}.nii.gz"), selected=True, plugin="coralbay")
    inner = np.s_[6:-6, 6:-6, 6:-6]
    image, labels = (nibabel.load(tmp_path / f"{name}.nii.gz").get_fdata()[inner] for name in ("image", "labels"))
    assert np.abs(image - hu[inner]).max() <= 1  # a ramp: the nearest voxels would be half a step off
    assert set(np.unique(labels)) == {0, 7}


def test_a_picture_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="3-D"):
        plugin.write_image(str(tmp_path / "x.nii.gz"), np.zeros((4, 4)), {"name": "flat"})


def test_the_public_sample_without_a_network_is_one_line(windowless, monkeypatch, tmp_path):
    monkeypatch.setattr(samples, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(samples.fetch_chest, "__defaults__", ("http://127.0.0.1:9/ct", "0" * 64, None))
    with pytest.raises(CoralBayError, match="cannot download the sample CT") as caught:
        windowless.open_sample("coralbay", "chest")
    assert "\n" not in str(caught.value)
    assert len(windowless.layers) == 0


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
        with pytest.raises(CoralBayError, match="cannot download the sample CT"):
            samples.fetch_chest(url, "0" * 64, tmp_path / "other")
        assert not list((tmp_path / "other").glob("*"))
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def held_sample(monkeypatch, belly, tmp_path):
    """The sample comes when the event is set; which thread fetched it is kept."""
    path, go, threads = save_map(tmp_path / "chest.nii.gz", belly.data, belly), threading.Event(), []

    def fetch(report):
        threads.append(threading.current_thread())
        for _ in range(1000):
            if go.wait(0.01):
                break
            report(10, 100)
        return path

    monkeypatch.setattr(samples, "fetch_chest", fetch)
    yield go, threads
    go.set()


def waiting_dialog():
    return next(w for w in QApplication.topLevelWidgets() if isinstance(w, QProgressDialog) and w.isVisible())


def test_the_window_lives_while_the_sample_is_fetched(viewer, held_sample, heartbeat):
    go, threads = held_sample
    heart, said = heartbeat(), []

    def look():
        said.append((waiting_dialog().value(), waiting_dialog().maximum()))
        go.set()

    QTimer.singleShot(1000, look)
    (layer,) = viewer.open_sample("coralbay", "chest")
    assert layer.name == "chest"
    assert threads[0] is not threading.main_thread()
    assert said == [(10, 100)]
    assert len(heart.times) > 5


def test_fetching_the_sample_can_be_stopped(viewer, held_sample):
    QTimer.singleShot(1000, lambda: waiting_dialog().findChild(QPushButton).click())
    with pytest.raises(Cancelled):
        viewer.open_sample("coralbay", "chest")
    assert len(viewer.layers) == 0


def test_keys_stand_in_the_preferences_and_work(dock, viewer, hand, belly, phantom):
    from napari._qt.widgets.qt_keyboard_settings import ShortcutEditor

    editor = ShortcutEditor()
    names = set(editor.key_bindings_strs[editor.VIEWER_KEYBINDINGS])
    editor.close()
    editor.deleteLater()
    assert set(actions.ACTIONS) <= names
    dock.session.add(belly)
    dock.tools.mode = "look"
    place = phantom.landmarks["liver_right_lobe"]
    dock.binding.go_to(place)
    hand.settle()
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
    hand.settle()


def test_menus_find_the_widget_of_the_command_line(make_napari_viewer, hand, monkeypatch, belly):
    monkeypatch.setattr(launch.napari, "Viewer", lambda **_: make_napari_viewer())
    session = threaded_session(model="hu-patch")
    viewer, widget = launch.open_window(session, show=False)
    plugin.open_segment(viewer)
    assert widget.tabs.tabText(widget.tabs.currentIndex()) == "Segment"
    assert viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")[1] is widget  # napari's own menu
    session.add(belly)
    assert len(viewer.layers) == 1
    session.close()
    hand.settle()


def test_notes_about_a_label_map_are_shown(windowless, belly, told, tmp_path):
    save_map(tmp_path / "labels.nii.gz", (belly.data > 100).astype(np.uint8), belly)
    (tmp_path / "labels.json").write_text("{")
    windowless.open(tmp_path / "labels.nii.gz", plugin="coralbay")
    (line,) = told
    assert line.startswith("labels.nii.gz: label names in labels.json were not read")
