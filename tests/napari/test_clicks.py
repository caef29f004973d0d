"""Clicks with a real mouse on a real window, and what must then be there."""

from dataclasses import replace

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from coralbay_core.io import load_volume
from coralbay_core.spatial import geometry
from coralbay_viz.display import napari_world, raycast
from coralbay_viz.model import palette
from coralbay_viz.napari_ui import context, views


def test_a_click_lights_the_place_that_was_clicked(explored, viewer, hand, liver):
    assert explored.similar_panel.pick.isChecked()  # ready as soon as there are features
    for view in (views.AXIAL, views.CORONAL, views.SAGITTAL):
        explored.session.clear_clicks()
        views.show_view(viewer, view)
        hand.settle()
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


def test_what_was_clicked_glows_and_is_saved_on_the_scans_grid(explored, hand, liver, tmp_path, monkeypatch, told):
    path = tmp_path / "heat.nii.gz"
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    explored.binding.set_visible("clicks", False)
    explored.binding.set_visible("regions", False)
    picture = hand.picture()
    column, row = hand.pixel_of(liver).round().astype(int)
    at_click = picture[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 3).mean(0)
    assert at_click[0] > at_click[2] + 40  # yellow to orange, where the CT is gray
    hand.press(explored.similar_panel.save)
    hand.wait_for(lambda: any("Saved" in line for line in told))
    assert load_volume(path).grid == explored.session.volume.grid


def test_signs_of_clicks_undo_and_clear(explored, viewer, hand, liver):
    session, panel = explored.session, explored.similar_panel
    hand.click(liver)
    hand.click(liver + [15, 0, 0], Qt.KeyboardModifier.ShiftModifier)
    hand.click(liver + [-15, 0, 0], Qt.KeyboardModifier.AltModifier)
    assert (len(session.clicks.positive), len(session.clicks.negative)) == (1, 2)
    hand.press(panel.undo)
    assert (len(session.clicks.positive), len(session.clicks.negative)) == (1, 1)
    native = viewer.window._qt_viewer.canvas.native
    start = QPoint(*(round(float(v)) for v in hand.pixel_of(liver + [0, 15, 0])))
    QTest.mousePress(native, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(native, start + QPoint(12, 12))
    QTest.mouseRelease(native, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, start + QPoint(12, 12))
    hand.settle()
    assert len(session.clicks.negative) == 1  # a drag is no click
    hand.click(liver + [0, 15, 0], button=Qt.MouseButton.RightButton)
    assert len(session.clicks.negative) == 2
    QTest.keyClick(native, Qt.Key.Key_T)
    assert panel.sign.negative.isChecked()
    hand.click(liver + [0, -15, 0])
    assert len(session.clicks.negative) == 3
    hand.press(panel.sign.positive)
    hand.click(liver + [3, 0, 0])
    assert len(session.clicks.positive) == 2
    QTest.keyClick(native, Qt.Key.Key_T)
    hand.press(panel.clear)
    assert not session.clicks
    assert not explored.tools.negative  # the first click of a search is positive
    assert explored.binding.layer("heat") is None
    hand.press(panel.undo)
    hand.wait_for(lambda: session.heat is not None)


def test_layers_are_used_again(explored, viewer, hand, liver):
    """To remove one stops napari for a third of a second: a click may not."""
    session, binding = explored.session, explored.binding
    binding._stack._sweep_timer.setInterval(60_000)  # a busy machine may need longer for an answer than layers are kept
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


def test_a_drag_a_click_beside_the_scan_and_one_without_the_tool_are_no_prompts(explored, viewer, hand, liver, told):
    before = np.array(viewer.scene.camera.center)
    hand.drag(liver, liver + [30, 10, 0])
    assert not explored.session.clicks
    assert not np.allclose(before, viewer.scene.camera.center)
    hand.click(liver + [55, 0, 0])
    assert not explored.session.clicks
    assert "mm within" in told[-1]
    hand.press(explored.similar_panel.pick)
    hand.click(liver)
    assert not explored.session.clicks


def test_a_click_in_3d_takes_what_is_seen_there(explored, viewer, hand, liver, told):
    session = explored.session
    views.show_view(viewer, views.VOLUME)
    hand.settle()
    hand.click(liver + [200, 0, 0])
    assert not session.clicks
    assert any("No body" in line for line in told)
    hand.click(liver)
    (seen,) = session.clicks.positive
    direction = -np.array(viewer.scene.camera.view_direction)  # towards the eye, in napari's axes
    outwards = napari_world.world_from_napari(direction) - napari_world.world_from_napari(np.zeros(3))
    assert np.linalg.norm(np.cross(np.array(seen) - liver, outwards)) < 6  # on the ray through the click
    volume = session.volume
    ray = raycast.voxels_along_ray(volume.grid, liver, -outwards)
    brightness = volume.data[tuple(ray.T)]
    picked = volume.data[tuple(np.rint(volume.grid.to_index(seen)).astype(int))]
    assert picked > np.percentile(brightness, 90)  # not the skin, which is the first that the ray meets
    hand.wait_for(lambda: session.heat is not None)
    hand.press(explored.similar_panel.clear)
    session.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    hand.click(liver)
    lit = session.clicks.positive[-1]  # now the heat map shines through the skin
    assert session.heat.heat.at(lit)[0] > session.threshold - 0.05
    assert np.linalg.norm(np.cross(np.array(lit) - liver, outwards)) < 6


def test_less_similar_places_than_the_threshold_are_hidden_and_their_regions_gray(explored, hand, liver):
    session, rows = explored.session, explored.similar_panel.regions
    hand.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    layer, slider = explored.binding.layer("heat"), explored.similar_panel.slider
    before, at_first = layer.contrast_limits[0], slider.value()
    slider.setFocus()
    slider.setValue(at_first + 200)
    assert layer.contrast_limits[0] > before
    assert layer.contrast_limits[0] == pytest.approx(session.threshold)
    assert f"{session.threshold:.3f}" in explored.similar_panel.threshold.text()
    slider.setValue(at_first)
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
    assert not table.topLevelItem(1).icon(0).isNull()
    for column, side in ((4, "positive"), (5, "negative")):
        heat = explored.session.heat
        place = QPoint(
            table.columnViewportPosition(column) + 8, table.visualItemRect(table.topLevelItem(0)).center().y()
        )
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        assert getattr(explored.session.clicks, side)[-1] == heat.regions[0].position_mm
        hand.wait_for(lambda heat=heat: explored.session.heat is not heat)
