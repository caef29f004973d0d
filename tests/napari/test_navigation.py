"""Mouse and views that work whatever the tool: right drag, wheel, double click, two by two."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from coralbay_viz.napari_ui import views
from tests.support.scans import shift


@pytest.fixture
def opened(dock, hand, belly, liver):
    """The dock widget with a scan, whose slices are at the liver."""
    dock.session.add(belly)
    hand.settle()
    dock.binding.go_to(liver)
    hand.settle()
    return dock


def test_a_right_drag_sets_level_and_width_with_every_tool(opened, viewer, hand, liver):
    for tool in ("pick", "look", "paint"):
        if tool == "paint":
            opened.context.painting.take("paint")
        else:
            opened.tools.mode = tool
        before, zoom = np.array(opened.binding.window), viewer.scene.camera.zoom
        hand.drag(liver, liver + [0, 20, 0], Qt.MouseButton.RightButton)
        after = np.array(opened.binding.window)
        assert after.mean() > before.mean()
        hand.drag(liver, liver - [20, 0, 0], Qt.MouseButton.RightButton)
        assert np.diff(opened.binding.window)[0] > np.diff(after)[0]
        assert viewer.scene.camera.zoom == zoom
        assert not opened.session.clicks  # a right click is a negative prompt, a right drag is none
        assert opened.session.scan.strokes.now is None
        assert opened.context.painting.tool == ("paint" if tool == "paint" else None)


def test_the_wheel_turns_through_the_slices(opened, viewer, hand):
    before, zoom = np.array(viewer.dims.current_step), viewer.scene.camera.zoom
    hand.wheel(-2)
    np.testing.assert_array_equal(viewer.dims.current_step - before, [-1, 0, 0])  # towards the feet, a slice at once
    hand.wheel(1)
    np.testing.assert_array_equal(viewer.dims.current_step, before)
    views.show_view(viewer, views.CORONAL)
    hand.wheel(-1)
    np.testing.assert_array_equal(viewer.dims.current_step - before, [0, 1, 0])
    views.show_view(viewer, views.AXIAL)
    hand.wheel(1, Qt.KeyboardModifier.ControlModifier)
    assert viewer.scene.camera.zoom > zoom
    np.testing.assert_array_equal(viewer.dims.current_step - before, [0, 1, 0])


def test_without_a_scan_the_mouse_is_naparis(dock, viewer, hand):
    viewer.add_image(np.zeros((20, 30, 40)))
    hand.settle()
    before, zoom = viewer.dims.current_step, viewer.scene.camera.zoom
    hand.wheel(1)
    assert viewer.scene.camera.zoom != zoom
    assert viewer.dims.current_step == before
    hand.wheel(1, Qt.KeyboardModifier.ControlModifier)
    assert viewer.dims.current_step != before


def test_four_views_of_which_one_can_fill_the_window(opened, viewer, hand, liver, picture_of):
    opened.tools.mode = "pick"
    hand.press(opened.scan_panel.orthogonal)
    four = opened.planes.widget
    hand.wait_for(lambda: four.volume is not None and four.volume.model.layers)
    main = viewer.window._qt_viewer.canvas.native
    natives = [main, *(view.canvas.canvas.native for view in (*four.planes, four.volume))]
    hand.wait_for(lambda: all(native.isVisible() for native in natives))
    sizes = np.array([[native.width(), native.height()] for native in natives])
    assert sizes.min() > 100
    assert np.ptp(sizes[:, 1]) < 0.25 * sizes[:, 1].mean()  # two by two
    assert four.volume.model.dims.ndisplay == 3
    picture_of("four_views")
    opened.session.click(liver)
    prompts = opened.session.clicks
    for native in (main, natives[3]):  # beside the patient: the click that it begins with finds nothing
        for _ in range(2):
            double_click_beside(native, hand)
        assert opened.session.clicks is prompts
    for native in natives:
        hand.double_click(native)
        assert [other.isVisible() for other in natives] == [other is native for other in natives]
        assert native.height() > 1.5 * sizes[:, 1].mean()
        hand.double_click(native)
        assert all(other.isVisible() for other in natives)
    assert opened.session.clicks is prompts  # no double click is a prompt
    hand.double_click(natives[2])
    hand.press(opened.scan_panel.orthogonal)
    hand.wait_for(lambda: opened.planes.widget is None)
    assert main.isVisible()


def double_click_beside(native, hand):
    """A double click in a corner of a canvas, with the click that it begins with."""
    for act in (QTest.mouseClick, QTest.mouseDClick):
        act(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(3, 3))
    hand.settle()


def test_the_second_scan_has_planes_slices_and_strokes_of_its_own(opened, viewer, hand, belly):
    first = opened.session.scan
    grid = replace(belly.grid, affine=belly.grid.affine + shift(0, 0, -1500))
    second = opened.session.add(replace(belly, grid=grid, name="other"))
    opened.session.activate(first)
    hand.settle()
    opened.show_tab("Compare")
    hand.settle()
    hand.press(opened.compare_panel.side_by_side)
    beside = opened.compare_panel._dock.widget
    hand.wait_for(lambda: beside.view.canvas.canvas.native.height() > 50)
    assert beside.view.model.dims.nsteps == viewer.dims.nsteps == belly.shape
    hand.press(beside.planes.button(views.VIEWS.index(views.CORONAL)))
    assert (beside.view.view, views.current_view(viewer)) == (views.CORONAL, views.AXIAL)
    place, there = tuple(viewer.dims.point), np.array(beside.view.model.dims.current_step)
    native = beside.view.canvas.canvas.native
    hand.wheel(-1, native=native)
    np.testing.assert_array_equal(beside.view.model.dims.current_step - there, [0, 1, 0])
    assert tuple(viewer.dims.point) == place  # not linked
    opened.context.painting.take("paint")
    hand.settle()
    middle = native.rect().center()
    QTest.mousePress(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle)
    QTest.mouseMove(native, middle + QPoint(12, 0))
    hand.settle()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle + QPoint(12, 0))
    hand.wait_for(lambda: second.strokes.now is not None and len(second.strokes.now))
    assert grid.contains(second.strokes.now.position_mm).all()
    assert first.strokes.now is None
    opened.context.painting.put_away()
    opened.tools.mode = "pick"
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, middle)
    hand.wait_for(lambda: beside.view.twin_of(opened.binding.layer("clicks", second)) is not None)
    (clicked,) = second.clicks.now.negative
    assert grid.contains(clicked)
    assert not first.clicks.now
    window = opened.binding.window
    QTest.mousePress(native, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, middle)
    QTest.mouseMove(native, middle + QPoint(0, 30))
    hand.settle()
    QTest.mouseRelease(native, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, middle + QPoint(0, 30))
    assert opened.binding.window == window
    assert np.mean(opened.binding.layer("ct", second).contrast_limits) < np.mean(window)
