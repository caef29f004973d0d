"""Scans that come into a window, take turns and leave it."""

from dataclasses import replace

import numpy as np
from qtpy.QtCore import Qt

from coralbay_core.io import save_map
from coralbay_viz.display import napari_world
from coralbay_viz.napari_ui import context, views
from tests.support.dicom import write_series


def test_reader_brings_a_scan_that_the_widget_knows(dock, viewer, belly, tmp_path):

    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    (layer,) = viewer.open(path, plugin="coralbay")
    np.testing.assert_array_equal(layer.data, belly.data)
    np.testing.assert_allclose(layer.affine.affine_matrix, napari_world.J @ belly.affine, atol=1e-4)
    assert dock.session.volume.path == path
    assert dock.binding.layer("ct") is viewer.layers[0]
    assert len(viewer.layers) == 1
    assert "scan" in dock.scan_panel.about.text()


def test_reader_takes_dicom_folders_and_leaves_others_alone(windowless, belly, tmp_path):
    from coralbay_viz.napari_ui import plugin

    files = write_series(tmp_path / "series", np.asarray(belly.data[:8, ::-1], int))
    (layer,) = windowless.open(tmp_path / "series", plugin="coralbay")
    assert layer.data.shape[0] == 8
    assert plugin.get_reader(str(files[0])) is not None
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("nothing")
    assert plugin.get_reader(str(tmp_path / "texts")) is None
    assert plugin.get_reader("picture.png") is None


def test_a_widget_that_is_opened_later_finds_the_scan(viewer, hand, belly, tmp_path):
    from coralbay_core.io import save_map

    viewer.open(save_map(tmp_path / "scan.nii.gz", belly.data, belly), plugin="coralbay")
    _, late = viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
    assert late.session.volume.name == "scan"
    assert len(viewer.layers) == 1
    late.session.close()


def test_sample_is_the_phantom(windowless, belly, phantom, monkeypatch):
    from coralbay_core import phantom as module

    monkeypatch.setattr(module, "make_phantom", lambda *_, **__: phantom)
    (layer,) = windowless.open_sample("coralbay", "phantom")
    assert layer.data.shape == phantom.volume.shape


def test_a_path_that_is_missing_is_one_line(dock, hand, told, tmp_path):
    dock.open(tmp_path / "nowhere.nii.gz")
    hand.wait_for(lambda: any(text.startswith("no such file") for text in told))
    assert not any("\n" in text for text in told)


def test_two_scans_take_turns(explored, viewer, hand, belly):

    first = explored.session.scan
    second = explored.session.add(replace(belly, name="other"))
    assert explored.scan_panel.scans.isVisible()
    assert [layer.name for layer in viewer.layers] == ["other"]
    assert explored.binding.layer("ct", second).visible
    assert not explored.colors_panel.pca.isEnabled()
    explored.scan_panel.scans.activated.emit(0)
    assert explored.session.scan is first
    hand.wait_for(lambda: [layer.name for layer in viewer.layers] == ["belly", "belly - PCA colors"])
    assert all(layer.visible for layer in viewer.layers)
    assert explored.colors_panel.pca.isEnabled()


def test_an_oblique_scan_is_shown_straight_clicked_and_painted_right(dock, viewer, hand):
    from coralbay_core.spatial import Grid, Volume

    angle = np.radians(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    straight = np.array([[0, 0, -2.0, 60], [0, -2.0, 0, 60], [2.0, 0, 0, -60], [0, 0, 0, 1]])
    grid = Grid((60, 60, 60), turn @ straight)
    dock.session.add(Volume(np.full(grid.shape, 40, np.int16), grid, name="oblique"))
    dock.tools.mode = "pick"
    place = grid.to_world([40, 20, 25])
    dock.binding.go_to(place)
    hand.settle()
    hand.click(place)
    assert np.linalg.norm(np.array(dock.session.clicks.positive[0]) - place) < 1.6
    dock.context.painting.take("paint")
    strokes, labels = dock.binding.layer("strokes"), dock.session.scan.label_grid
    strokes.brush_size = 1
    painted = []
    for view in (views.AXIAL, views.CORONAL, views.SAGITTAL):
        voxel = np.rint(labels.to_index(place)).astype(int) + 4 * len(painted)
        views.show_view(viewer, view)
        dock.binding.go_to(labels.to_world(voxel))
        hand.wheel(2, Qt.KeyboardModifier.ControlModifier)
        hand.click(labels.to_world(voxel))
        painted.append(tuple(voxel))
        hand.wait_for(lambda: len(dock.session.scan.strokes.now or ()) == len(painted))
        assert [tuple(index) for index in np.argwhere(strokes.data)] == painted
    assert len(dock.session.clicks.positive) == 1


def test_a_session_is_saved_without_names_unless_they_are_wanted(dock, hand, belly, tmp_path, monkeypatch):
    folder = tmp_path / "DOE_JANE"
    save_map(folder / "DOE.nii.gz", belly.data, belly)
    dock.open(folder / "DOE.nii.gz")
    hand.wait_for(lambda: dock.session.scan is not None)
    offered = []
    monkeypatch.setattr(
        context.QFileDialog,
        "getSaveFileName",
        lambda parent, title, name, kinds: (offered.append(name), (str(tmp_path / name), ""))[1],
    )
    panel = dock.scan_panel
    save = panel.session_menu.menu().actions()[0]
    for wanted in (False, True):
        if wanted:
            panel.names.trigger()
        save.trigger()
        hand.settle()
    assert offered == ["session.coralbay", "DOE.coralbay"]
    assert [b"DOE" in (tmp_path / name).read_bytes() for name in offered] == [False, True]
