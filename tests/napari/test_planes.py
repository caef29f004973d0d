"""Three planes with one crosshair, letters, readout and gray scale: each as a user would."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from coralbay_viz.display import layer_specs, napari_world
from coralbay_viz.napari_ui import views
from tests.support.scans import shift


def test_three_planes_share_one_crosshair(explored, viewer, hand, liver):
    hand.press(explored.scan_panel.orthogonal)
    hand.settle()
    planes = explored.planes.widget.planes
    assert [plane.view for plane in planes] == [views.CORONAL, views.SAGITTAL]
    for plane in planes:
        np.testing.assert_allclose(napari_world.world_from_napari(plane.model.dims.point), liver, atol=2)
        names = [layer.name for layer in plane.model.layers]
        assert "belly" in names
        assert names.count("crosshair") == 1
    explored.tools.mode = "look"
    hand.click(liver + [12, 9, 0])  # in the main canvas
    np.testing.assert_allclose(explored.session.cursor_mm, liver + [12, 9, 0], atol=2)
    for plane in planes:
        np.testing.assert_allclose(napari_world.world_from_napari(plane.model.dims.point), liver + [12, 9, 0], atol=3)
    planes[0].model.dims.set_point(1, planes[0].model.dims.point[1] + 6)  # scrolled in the coronal plane
    np.testing.assert_allclose(explored.session.cursor_mm, liver + [12, 3, 0], atol=3)


def test_planes_follow_layers_and_the_main_view(explored, viewer, hand, liver):
    hand.press(explored.scan_panel.orthogonal)
    planes = explored.planes.widget.planes
    explored.session.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    assert all(any("similar" in layer.name for layer in plane.model.layers) for plane in planes)
    explored.binding.layer("heat").opacity = 0.25
    twin = next(layer for layer in planes[0].model.layers if "similar" in layer.name)
    assert twin.opacity == 0.25
    assert twin.data is explored.binding.layer("heat").data or np.shares_memory(
        twin.data, explored.binding.layer("heat").data
    )
    for number in range(3):
        explored.session.mark(number % len(explored.session.heat.regions))
        regions = explored.binding.layer("regions")
        copy = next(layer for layer in planes[0].model.layers if layer.name == regions.name)
        np.testing.assert_allclose(copy.data, regions.data)
        np.testing.assert_array_equal(copy.border_color, regions.border_color)
        assert list(copy.text.values) == list(regions.text.values)
    views.show_view(viewer, views.CORONAL)
    assert {plane.view for plane in planes} == {views.AXIAL, views.SAGITTAL}
    hand.press(explored.scan_panel.orthogonal)
    hand.wait_for(lambda: explored.planes.widget is None)
    assert not explored.scan_panel.orthogonal.isChecked()
    assert "crosshair" not in [layer.name for layer in viewer.layers]


def test_a_pick_in_another_plane_counts(explored, hand, liver):
    hand.press(explored.scan_panel.orthogonal)
    hand.settle()
    plane = explored.planes.widget.planes[0]
    explored.tools.mode = "pick"
    assert plane.tools.mode == "pick"
    canvas, point = plane.canvas.canvas, pixel(plane, liver)
    QTest.mouseMove(canvas.native, point)
    QTest.mouseClick(canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    hand.wait_for(lambda: bool(explored.session.clicks.positive))
    (clicked,) = explored.session.clicks.positive
    assert np.linalg.norm(np.array(clicked) - liver) < 4
    points = explored.binding.layer("clicks")
    twin = next(layer for layer in plane.model.layers if layer.name == points.name)
    np.testing.assert_array_equal(twin.size, points.size)  # as small there as here


def test_strokes_are_painted_and_erased_in_another_plane(explored, hand, liver):
    panel, session = explored.segment_panel, explored.session
    hand.press(panel.strokes)
    hand.press(explored.scan_panel.orthogonal)
    hand.wait_for(lambda: explored.planes.widget.planes[1].canvas.canvas.native.height() > 50)
    coronal, sagittal = explored.planes.widget.planes
    drag(hand, coronal, liver - [0, 0, 12], liver + [0, 0, 12])
    hand.wait_for(lambda: session.scan.strokes.now is not None)
    painted = session.scan.strokes.now
    assert painted.classes == (2,)
    right, front, up = np.ptp(painted.position_mm, axis=0)
    assert up > right > front == 0  # along the stroke, as wide as the brush, and in one coronal slice
    hand.press(panel.erase)
    drag(hand, sagittal, liver - [0, 0, 12], liver + [0, 0, 12])
    hand.wait_for(lambda: len(session.scan.strokes.now) < len(painted))
    hand.press(panel.undo)
    assert session.scan.strokes.now is painted
    hand.press(panel.erase)  # put away
    assert coronal.model.layers.selection.active is None


def drag(hand, plane, start_mm, end_mm):
    native = plane.canvas.canvas.native
    start, end = (pixel(plane, place) for place in (start_mm, end_mm))
    QTest.mouseMove(native, start)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for part in (0.3, 0.6, 1.0):
        QTest.mouseMove(native, start + (end - start) * part)
        hand.settle()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    hand.settle()


def pixel(plane, place_mm):
    """Pixel of a place in the canvas of a plane."""
    canvas = plane.canvas.canvas
    shown = napari_world.napari_from_world(place_mm)[list(plane.model.dims.displayed)][::-1]
    x, y, *_, w = canvas.view.scene.transform.map(np.append(shown, [0, 1]))
    return QPoint(*(round(float(v)) for v in np.array([x, y]) / w + canvas.view.pos))


@pytest.mark.slow
def test_deleting_the_scan_takes_the_planes_along(explored, viewer, hand, liver, belly):
    hand.press(explored.scan_panel.orthogonal)
    hand.settle()
    explored.session.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    viewer.layers.selection = {explored.binding.layer("ct")}
    viewer.layers.remove_selected()
    hand.wait_for(lambda: not viewer.layers)
    assert explored.session.scan is None
    explored.session.add(belly)
    hand.settle()
    assert "crosshair" in [layer.name for layer in viewer.layers]
    assert all("belly" in [layer.name for layer in plane.model.layers] for plane in explored.planes.widget.planes)


@pytest.mark.slow
def test_a_scan_that_lies_elsewhere_is_gone_to(explored, viewer, hand, belly):
    hand.press(explored.scan_panel.orthogonal)
    hand.settle()
    first, place = explored.session.scan, tuple(viewer.dims.point)
    far = replace(belly, grid=replace(belly.grid, affine=belly.grid.affine + shift(0, 0, -900)), name="far")
    second = explored.session.add(far)
    hand.settle()
    assert far.grid.contains(napari_world.world_from_napari(viewer.dims.point))
    assert second.cursor_mm is not None
    for plane in explored.planes.widget.planes:  # they show this scan, and not both with a gap between them
        seen = plane.model.scene.camera.center[-2:]
        middle = napari_world.napari_from_world(far.grid.to_world((np.array(far.shape) - 1) / 2))
        np.testing.assert_allclose(seen, middle[list(plane.model.dims.displayed)], atol=5)
    explored.session.activate(first)
    np.testing.assert_allclose(viewer.dims.point, place, atol=2)


def test_letters_say_which_side_is_which(explored, viewer, hand):
    texts = explored.letters._texts
    assert {side: text.text for side, text in texts.items()} == {
        "top_center": "A",
        "bottom_center": "P",
        "middle_left": "R",
        "middle_right": "L",
    }
    views.show_view(viewer, views.SAGITTAL)
    assert (texts["top_center"].text, texts["middle_left"].text, texts["middle_right"].text) == ("S", "A", "P")
    views.show_view(viewer, views.VOLUME)
    assert not any(text.visible for text in texts.values())


def test_there_are_no_letters_over_images_whose_sides_are_unknown(dock, viewer, hand, belly):
    texts = dock.letters._texts.values()
    viewer.add_image(np.zeros((20, 30, 40), np.int16))
    hand.settle()
    assert not any(text.visible for text in texts)
    dock.session.add(belly)
    hand.settle()
    assert all(text.visible for text in texts)
    viewer.layers.remove(next(layer for layer in viewer.layers if layer_specs.IS_SCAN in layer.metadata))
    hand.settle()
    assert not any(text.visible for text in texts)


def test_hu_and_mm_under_the_cursor_are_of_the_slice_that_is_shown(explored, viewer, hand, liver):
    hand.move(liver)
    readout = viewer.canvas.overlays["coralbay_readout"]
    text = readout.text
    volume = explored.session.volume
    hu = int(volume.data[tuple(np.rint(volume.grid.to_index(liver)).astype(int))])
    assert abs(int(text.split(" HU")[0]) - hu) < 60  # a pixel away may be another voxel
    assert "R" in text
    assert "mm" in text
    viewer.dims.set_point(0, viewer.dims.point[0] + 12)  # the mouse stays where it is
    assert readout.visible
    assert readout.text != text
    superior = viewer.dims.point[0]
    assert f"{abs(superior):.0f} {'S' if superior >= 0 else 'I'} mm" in readout.text
    views.show_view(viewer, views.VOLUME)
    assert not readout.visible
    views.show_view(viewer, views.SAGITTAL)
    explored.binding.go_to(liver)
    hand.move(liver)
    assert readout.visible
    viewer.layers.remove(explored.binding.layer("ct"))
    hand.wait_for(lambda: not readout.visible)


def test_a_drag_sets_level_and_width(explored, hand, liver):
    hand.press(explored.scan_panel.drag)
    before = np.array(explored.binding.window)
    hand.drag(liver, liver + [0, 20, 0])  # up: brighter tissue is looked at
    after = np.array(explored.binding.window)
    assert after.mean() > before.mean()
    assert "Custom" in explored.scan_panel.windows.currentText()
    hand.drag(liver, liver - [20, 0, 0])  # to the right: wider
    assert np.diff(explored.binding.window)[0] > np.diff(after)[0]
    hand.press(explored.scan_panel.drag)
    assert explored.tools.mode == "look"
