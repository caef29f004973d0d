"""What a user does, with a real mouse on a real window, and what must then be there."""

import gc
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QInputDialog

from coralbay_core.spatial import geometry
from coralbay_viz.display import napari_world
from coralbay_viz.model import palette
from coralbay_viz.napari_ui import context, views
from tests.support.dicom import write_series
from tests.support.scans import cut

# --- features -----------------------------------------------------------------------------------------------------


def test_the_window_lives_while_features_are_computed(dock, hand, phantom, heartbeat):
    # Most of a body and not the belly: the test is worth nothing unless the work takes a while.
    dock.session.add(cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 130))
    seen = []
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    job.progressed.connect(seen.append)
    heart = heartbeat()
    hand.wait_for(lambda: not job.running, 300)
    assert job.state == "done"
    assert len(heart.times) >= 20
    assert heart.longest_pause() < 1
    assert seen[-1].done == seen[-1].total > 1


def test_cancel_stops_the_work_and_leaves_the_session_usable(dock, hand, phantom):
    dock.session.add(cut(phantom.volume, phantom.landmarks["heart_apex"], 130))
    panel = dock.feature_panel
    hand.press(panel.compute)
    job = dock.feature_panel.job
    hand.wait_for(lambda: job.progress.done >= 1 or not job.running, 120)
    assert panel.bar.isVisible()
    assert "left" in panel.status.text()
    hand.press(panel.cancel)
    hand.wait_for(lambda: not job.running, 120)
    assert job.state == "cancelled"
    assert dock.session.features is None
    assert panel.compute.isVisible()
    assert not panel.bar.isVisible()


def test_what_is_ahead_is_said_before_compute_is_pressed(dock, hand, belly, tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))  # other tests have computed this scan
    panel, session = dock.feature_panel, dock.session
    session.add(belly)
    hand.wait_for(lambda: "tiles of" in panel.outlook.text())
    assert panel.outlook.isVisible()
    assert session.features is None
    assert panel.compute.isEnabled()
    hand.press(panel.compute)
    hand.wait_for(lambda: session.features is not None)
    assert panel.outlook.text() == ""
    session.add(belly)  # as on another day
    hand.wait_for(lambda: "On disk already" in panel.outlook.text())
    session.activate(session.scans[0])
    assert not panel.outlook.isVisible()
    panel.models.setCurrentText("hu-patch")
    panel.models.textActivated.emit("hu-patch")
    hand.wait_for(lambda: "tiles of" in panel.outlook.text())


def test_a_device_is_chosen_and_what_was_computed_stays(dock, hand, belly, monkeypatch):
    import torch

    from coralbay_core.models import encoder, loading

    monkeypatch.setitem(encoder._AVAILABLE, "cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked, load = [], loading.load_encoder
    monkeypatch.setattr(loading, "load_encoder", lambda name, device: asked.append(device) or load(name, device="cpu"))
    panel, session = dock.feature_panel, dock.session
    names = [panel.device.itemText(number) for number in range(panel.device.count())]
    assert names == ["auto", "cpu"]  # to know more takes torch
    session.model = "hu-patch"
    session.add(belly)
    hand.wait_for(lambda: panel.device.count() > 2)
    names = [panel.device.itemText(number) for number in range(panel.device.count())]
    assert names == ["auto", "cuda:0", "cuda:1", "cpu"]
    assert panel.device.currentText() == "auto"
    hand.press(panel.compute)
    hand.wait_for(lambda: session.features is not None)
    features = session.features
    panel.device.setCurrentText("cuda:1")
    panel.device.textActivated.emit("cuda:1")
    assert session.features is features
    assert session.state_of(session.scan) == "ready"
    session.add(belly)
    hand.press(panel.compute)
    hand.wait_for(lambda: session.features is not None)
    assert asked == ["auto", "cuda:1"]


def test_colors_appear_with_the_features_and_can_be_switched(explored, hand):
    layer = explored.binding.layer("pca")
    assert layer.rgb
    assert layer.visible
    box = explored.colors_panel.pca
    assert box.isChecked()
    hand.press(box)
    assert not layer.visible
    hand.press(box)
    assert layer.visible


# --- clicks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [views.AXIAL, views.CORONAL, views.SAGITTAL])
def test_a_click_lights_the_place_that_was_clicked(explored, viewer, hand, liver, view):
    views.show_view(viewer, view)
    hand.settle()
    assert explored.similar_panel.pick.isChecked()  # ready as soon as there are features
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    (clicked,) = explored.session.clicks.positive
    assert np.linalg.norm(np.array(clicked) - liver) < 3.5  # a slice is 3 mm thick, a pixel about half a mm
    layer = explored.binding.layer("heat")
    assert layer in viewer.layers
    heat = explored.session.heat
    np.testing.assert_allclose(layer.affine.affine_matrix, napari_world.J @ heat.grid.affine, atol=1e-9)
    peak = np.unravel_index(np.asarray(layer.data).argmax(), layer.data.shape)
    place = napari_world.world_from_napari(geometry.apply(layer.affine.affine_matrix, peak))
    assert np.linalg.norm(place - liver) < 8


def test_what_was_clicked_glows_on_the_screen(explored, viewer, hand, liver):
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    explored.binding.set_visible("clicks", False)
    explored.binding.set_visible("regions", False)
    picture = hand.picture()
    column, row = hand.pixel_of(liver).round().astype(int)
    at_click = picture[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 3).mean(0)
    assert at_click[0] > at_click[2] + 40  # yellow to orange, where the CT is gray


def test_modifier_undo_and_clear(explored, hand, liver):
    session, panel = explored.session, explored.similar_panel
    hand.click(liver)
    hand.click(liver + [15, 0, 0], Qt.KeyboardModifier.ShiftModifier)
    hand.click(liver + [-15, 0, 0], Qt.KeyboardModifier.AltModifier)
    assert (len(session.clicks.positive), len(session.clicks.negative)) == (1, 2)
    hand.press(panel.undo)
    assert (len(session.clicks.positive), len(session.clicks.negative)) == (1, 1)
    hand.press(panel.clear)
    assert not session.clicks
    assert explored.binding.layer("heat") is None
    hand.press(panel.undo)
    hand.wait_for(lambda: session.heat is not None)


def test_layers_are_used_again(explored, viewer, hand, liver):
    """To remove one stops napari for a third of a second: a click may not."""
    session, binding = explored.session, explored.binding
    removed = []
    viewer.layers.events.removed.connect(lambda event: removed.append(event.value.name))
    hand.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    before = [binding.layer(role) for role in ("clicks", "heat", "regions")]
    session.clear_clicks()
    assert [layer for layer in before if layer not in viewer.layers] == []
    assert [len(layer.data) for layer in before if layer.name != before[1].name] == [0, 0]
    assert not (np.asarray(before[1].data) > before[1].contrast_limits[0]).any()  # nothing of it is seen
    assert binding.layer("clicks") is None
    for places in ([0], [10, -10, 20], [-15]):  # more of them and fewer
        session.clear_clicks()
        for offset in places:
            hand.click(liver + [offset, 0, 0])
        hand.wait_for(lambda: session.heat is not None)
        assert [binding.layer(role) for role in ("clicks", "heat", "regions")] == before
        assert all(layer.visible for layer in before)
        clicks, _, regions = before
        np.testing.assert_allclose(clicks.face_color, [transform_color(palette.POSITIVE)[0]] * len(places), atol=1e-6)
        np.testing.assert_allclose(
            regions.border_color, [transform_color(palette.REGION)[0]] * len(regions.data), atol=1e-6
        )
        np.testing.assert_allclose(
            napari_world.world_from_napari(clicks.data * clicks.scale), session.clicks.positive, atol=1e-3
        )
        assert list(regions.text.values) == [str(number + 1) for number in range(len(session.heat.regions))]
    assert removed == []
    viewer.layers.remove(before[0])  # the user may
    hand.click(liver)
    assert binding.layer("clicks") in viewer.layers


def test_points_of_a_hidden_scan_change_too(explored, viewer, hand, belly, liver):
    session, first = explored.session, explored.session.scan
    for offset in (0, 10, -10):
        hand.click(liver + [offset, 0, 0])
    hand.wait_for(lambda: session.heat is not None)
    session.add(belly)
    hand.settle()
    explored.binding.refresh(first, "clicks")
    first.clicks.change(type(first.clicks.now)(positive=(tuple(liver),)))
    explored.binding.refresh(first, "clicks")
    session.activate(first)
    hand.settle()
    layer = explored.binding.layer("clicks")
    assert layer.visible
    assert len(layer.data) == 1


def test_a_drag_pans_and_does_not_click(explored, viewer, hand, liver):
    before = np.array(viewer.scene.camera.center)
    hand.drag(liver, liver + [30, 10, 0])
    assert not explored.session.clicks
    assert not np.allclose(before, viewer.scene.camera.center)


def test_a_click_means_nothing_unless_picking(explored, hand, liver):
    hand.press(explored.similar_panel.pick)
    hand.click(liver)
    assert not explored.session.clicks


def test_a_click_beside_the_scan_is_explained(explored, hand, liver, told):
    hand.click(liver + [55, 0, 0])
    assert not explored.session.clicks
    assert told
    assert "mm within" in told[-1]


def test_a_click_in_3d_takes_what_is_seen_there(explored, viewer, hand, liver):
    session = explored.session
    views.show_view(viewer, views.VOLUME)
    hand.settle()
    hand.click(liver)
    (skin,) = session.clicks.positive
    direction = -np.array(viewer.scene.camera.view_direction)  # towards the eye, in napari's axes
    outwards = napari_world.world_from_napari(direction) - napari_world.world_from_napari(np.zeros(3))
    body, grid = session.features.body, session.features.grid
    outside = np.rint(grid.to_index(skin + 6 * outwards / np.linalg.norm(outwards))).astype(int)
    assert (outside < 0).any() or (outside >= body.shape).any() or not body[tuple(outside)]
    hand.wait_for(lambda: session.heat is not None)
    hand.press(explored.similar_panel.clear)
    session.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    hand.click(liver)
    lit = session.clicks.positive[-1]  # now the heat map shines through the skin
    assert session.heat.heat.at(lit)[0] > session.threshold - 0.05
    assert np.linalg.norm(np.cross(np.array(lit) - liver, outwards)) < 6


def test_nothing_lies_under_a_click_beside_the_body(explored, viewer, hand, liver, told):
    views.show_view(viewer, views.VOLUME)
    hand.settle()
    hand.click(liver + [200, 0, 0])
    assert not explored.session.clicks
    assert any("No body" in line for line in told)


def test_threshold_hides_what_is_less_similar(explored, hand, liver):
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    layer, slider = explored.binding.layer("heat"), explored.similar_panel.slider
    before = layer.contrast_limits[0]
    slider.setFocus()
    slider.setValue(slider.value() + 200)
    assert layer.contrast_limits[0] > before
    assert layer.contrast_limits[0] == pytest.approx(explored.session.threshold)
    assert f"{explored.session.threshold:.3f}" in explored.similar_panel.threshold.text()


def test_regions_below_the_threshold_are_gray(explored, hand, liver):
    session, rows = explored.session, explored.similar_panel.regions
    session.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    (best, *_) = session.heat.regions
    weak = replace(best, score=session.threshold - 0.01)
    session.controllers.similarity._set_heat(session.scan, replace(session.heat, regions=(best, weak)))
    colors_of = [rows.topLevelItem(number).foreground(1).color() for number in range(2)]
    assert colors_of[0] != colors_of[1]
    session.body_fraction = 1.0  # the threshold is live
    assert rows.topLevelItem(1).foreground(1).color() == colors_of[0]


def test_a_chosen_region_is_shown(explored, viewer, hand, liver):
    explored.session.scope = "everywhere"
    hand.click(liver)
    hand.click(liver - [40, 0, 0])  # two looks, so two regions
    hand.wait_for(lambda: explored.session.heat is not None and len(explored.session.heat.clicks.positive) == 2)
    table, regions = explored.similar_panel.regions, explored.session.heat.regions
    assert table.topLevelItemCount() == len(regions) >= 2
    table.setCurrentItem(table.topLevelItem(1))
    shown = napari_world.world_from_napari(viewer.dims.point)
    assert np.abs(shown - regions[1].position_mm).max() <= 1.6


def test_heat_is_saved_on_the_scans_grid(explored, hand, liver, tmp_path, monkeypatch, told):
    from coralbay_core.io import load_volume

    path = tmp_path / "heat.nii.gz"
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    hand.press(explored.similar_panel.save)
    hand.wait_for(lambda: any("Saved" in line for line in told))
    assert load_volume(path).grid == explored.session.volume.grid


def test_queries_are_kept_renamed_and_removed(explored, hand, liver, told, monkeypatch):
    session, panel = explored.session, explored.similar_panel
    answers = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (answers.pop(0), True))
    monkeypatch.setattr(QInputDialog, "getItem", lambda parent, title, label, names, *_: (names[0], True))
    entries = {action.text(): action for action in panel.queries.menu().actions()}
    hand.click(liver)
    answers += ["liver", "spleen"]
    entries["New query from the clicks…"].trigger()
    entries["New query from the clicks…"].trigger()
    entries["Use a query…"].trigger()
    assert "with liver" in panel.hint.text()
    answers += ["right lobe", "spleen"]
    entries["Rename a query…"].trigger()
    assert set(session.queries) == {"right lobe", "spleen"}
    assert "with right lobe" in panel.hint.text()
    session.queries = dict(sorted(session.queries.items()))
    entries["Rename a query…"].trigger()
    assert any("name is taken" in line for line in told)
    entries["Remove a query…"].trigger()
    assert set(session.queries) == {"spleen"}
    assert "with" not in panel.hint.text()
    entries["Remove a query…"].trigger()
    entries["Remove a query…"].trigger()
    assert "There is no query yet" in told[-1]


def test_strokes_become_a_segmentation(explored, hand):
    panel = explored.segment_panel
    assert not panel.segment.isEnabled()
    hand.press(panel.strokes)
    layer = explored.binding.layer("strokes")
    assert layer.mode == "paint"
    assert explored.tools.mode != "pick"  # a stroke is no click
    data = np.asarray(layer.data).copy()
    data[:6, :6, :6], data[-6:, -6:, -6:] = 1, 5
    layer.data = data
    hand.press(panel.segment)
    hand.wait_for(lambda: explored.session.segmentation is not None)
    assert set(np.unique(explored.binding.layer("segmentation").data)) <= {0, 1, 5}
    assert (np.asarray(layer.data) == data).all()
    assert panel.save.isEnabled()


def test_one_class_is_explained(explored, hand, told):
    hand.press(explored.segment_panel.strokes)
    hand.press(explored.segment_panel.segment)
    hand.wait_for(lambda: any("two classes" in text for text in told))
    assert explored.session.segmentation is None


# --- scans --------------------------------------------------------------------------------------------------------


def test_reader_brings_a_scan_that_the_widget_knows(dock, viewer, belly, tmp_path):
    from coralbay_core.io import save_map

    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    (layer,) = viewer.open(path, plugin="coralbay")
    np.testing.assert_array_equal(layer.data, belly.data)
    np.testing.assert_allclose(layer.affine.affine_matrix, napari_world.J @ belly.affine, atol=1e-4)
    assert dock.session.volume.path == path
    assert dock.binding.layer("ct") is viewer.layers[0]
    assert len(viewer.layers) == 1
    assert "scan" in dock.scan_panel.about.text()


def test_reader_takes_dicom_folders_and_leaves_others_alone(viewer, belly, tmp_path):
    from coralbay_viz.napari_ui import plugin

    files = write_series(tmp_path / "series", np.asarray(belly.data[:8, ::-1], int))
    (layer,) = viewer.open(tmp_path / "series", plugin="coralbay")
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


def test_sample_is_the_phantom(viewer, belly, phantom, monkeypatch):
    from coralbay_core import phantom as module

    monkeypatch.setattr(module, "make_phantom", lambda *_, **__: phantom)
    (layer,) = viewer.open_sample("coralbay", "phantom")
    assert layer.data.shape == phantom.volume.shape


def test_a_path_that_is_missing_is_one_line(dock, hand, told, tmp_path):
    dock.open(tmp_path / "nowhere.nii.gz")
    hand.wait_for(lambda: any(text.startswith("no such file") for text in told))
    assert not any("\n" in text for text in told)


def test_two_scans_take_turns(explored, viewer, hand, belly):
    from dataclasses import replace

    first = explored.session.scan
    second = explored.session.add(replace(belly, name="other"))
    assert explored.scan_panel.scans.isVisible()
    assert explored.binding.layer("ct", second).visible
    assert not explored.binding.layer("ct", first).visible
    assert not explored.binding.layer("pca", first).visible
    assert not explored.colors_panel.pca.isEnabled()
    explored.scan_panel.scans.activated.emit(0)
    assert explored.session.scan is first
    assert explored.colors_panel.pca.isEnabled()


def test_an_oblique_scan_is_shown_straight_and_clicked_right(dock, viewer, hand):
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


# --- never in the way ---------------------------------------------------------------------------------------------


def test_renamed_and_deleted_layers_do_no_harm(explored, viewer, hand, liver):
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    layer = explored.binding.layer("heat")
    layer.name = "my favorite"
    hand.click(liver + [10, 0, 0])
    hand.wait_for(lambda: len(explored.session.heat.clicks.positive) == 2)
    assert explored.binding.layer("heat") is layer
    viewer.layers.remove(layer)
    hand.click(liver + [-10, 0, 0])
    hand.wait_for(lambda: len(explored.session.heat.clicks.positive) == 3)
    assert explored.binding.layer("heat") in viewer.layers


def test_deleting_the_scan_takes_its_maps_along(explored, viewer, hand, liver):
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    viewer.layers.remove(explored.binding.layer("ct"))
    assert len(viewer.layers) == 0
    assert explored.session.scan is None
    assert not explored.feature_panel.compute.isEnabled()


def test_closing_the_widget_during_work_does_no_harm(dock, viewer, hand, phantom):
    dock.session.add(cut(phantom.volume, phantom.landmarks["kidney_left"], 130))
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    viewer.window.remove_dock_widget(dock)
    dock.close()
    dock.deleteLater()
    hand.wait_for(lambda: job.cancelled)
    viewer.dims.ndisplay = 3
    viewer.layers.clear()
    hand.wait_for(lambda: not job.running)
    hand.settle()
    assert job.state == "cancelled"
    assert len(viewer.layers) == 0


def test_a_layer_with_time_does_not_lead_astray(explored, viewer, hand, liver):
    hand.press(explored.scan_panel.orthogonal)
    viewer.add_image(np.zeros((3, 10, 10, 10)), name="time")
    hand.settle()
    explored.binding.go_to(liver)
    hand.settle()
    assert np.abs(explored.session.cursor_mm - liver).max() <= 1.6
    for plane in explored.planes.widget.planes:
        assert np.abs(napari_world.napari_from_world(liver) - plane.model.dims.point[-3:]).max() <= 1.6
    for number, (view, top, right) in enumerate(
        [(views.AXIAL, "A", "L"), (views.CORONAL, "S", "L"), (views.SAGITTAL, "S", "P"), (views.VOLUME, None, None)]
    ):
        hand.press(explored.scan_panel.views.button(number))
        assert views.current_view(viewer) == view
        if view == views.VOLUME:
            assert viewer.scene.camera.handedness == "left"
        else:
            letters = viewer.canvas.overlays
            assert (letters["coralbay_top_center"].text, letters["coralbay_middle_right"].text) == (top, right)


def test_window_presets_and_3d_keep_their_gray_scales_apart(dock, viewer, hand, belly):
    dock.session.add(belly)
    layer = dock.binding.layer("ct")
    dock.scan_panel.windows.textActivated.emit("Lung")
    assert tuple(layer.contrast_limits) == (-1350, 150)
    hand.press(dock.scan_panel.views.button(views.VIEWS.index(views.VOLUME)))
    assert layer.contrast_limits[1] >= 1000
    dock.scan_panel.windows.textActivated.emit("Bone")
    hand.press(dock.scan_panel.views.button(views.VIEWS.index(views.AXIAL)))
    assert tuple(layer.contrast_limits) == (-500, 1300)


def test_scans_that_come_and_go_in_3d_have_its_gray_scale(dock, viewer, hand, belly):
    views.show_view(viewer, views.VOLUME)
    for number in range(6):
        dock.session.add(replace(belly, name=f"scan {number}"))
        ct = dock.binding.layer("ct")
        assert tuple(ct.contrast_limits) == palette.projection_limits_hu(ct.data)
        viewer.layers.remove(ct)
        del ct
        gc.collect()
