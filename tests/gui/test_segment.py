"""Painting, live segmentation, classes, suggestions and exports, with a real mouse on a real window."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit
from scans import cut

from coralbay_viz.napari_ui import context


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 60)


@pytest.fixture
def liver(phantom):
    return phantom.landmarks["liver_right_lobe"]


@pytest.fixture
def told(monkeypatch):
    """Notifications that the user got."""
    lines = []
    for name in ("show_info", "show_warning", "show_error"):
        monkeypatch.setattr(context.notifications, name, lines.append)
    return lines


@pytest.fixture
def ready(dock, hand, belly, liver):
    """A scan with features, the liver in sight and the segment tab open."""
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.set_visible("pca", False)
    dock.binding.go_to(liver)
    dock.tabs.setCurrentIndex(2)
    hand.wait()
    return dock


@pytest.fixture
def jobs(ready):
    """Lanes of the jobs that were started."""
    started = []
    ready.session.job_started.connect(lambda job: started.append(job.lane.split()[0]))
    return started


def choose(hand, dock, value):
    """A real click on the row of a class."""
    tree = dock.segment_panel.classes.rows_of
    item = row_of(dock, value)
    place = tree.visualItemRect(item).center()
    place.setX(40)
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    hand.wait(20)


def row_of(dock, value):
    tree = dock.segment_panel.classes.rows_of
    items = [tree.topLevelItem(number) for number in range(tree.topLevelItemCount())]
    return next(item for item in items if item.data(0, Qt.ItemDataRole.UserRole) == value)


def paint_two(hand, dock, liver):
    """A stroke of background and one of liver."""
    choose(hand, dock, 1)
    hand.drag(liver + [30, -40, 0], liver + [40, -30, 0])
    choose(hand, dock, 2)
    hand.drag(liver, liver + [10, 0, 0])


def test_strokes_with_the_mouse_become_a_live_segmentation(ready, hand, liver, jobs, picture_of):
    panel, session = ready.segment_panel, ready.session
    hand.press(panel.strokes)
    layer = ready.binding.layer("strokes")
    assert layer.mode == "paint"
    assert [known.name for known in ready.context.painting.classes()] == ["background", "structure"]
    hand.press(panel.live)
    paint_two(hand, ready, liver)
    hand.wait_for(lambda: session.segmentation is not None)
    assert jobs.count("segmentation") == 1  # one class alone is none to learn from
    hand.drag(liver + [0, 5, 0], liver + [8, 8, 0])
    hand.wait_for(lambda: jobs.count("segmentation") == 2)
    hand.wait_for(lambda: panel.saying.text() == "")
    assert session.scan.probing.strokes.now.classes == (1, 2)
    assert np.count_nonzero(layer.data) == len(session.scan.probing.strokes.now)
    counts = [known.voxels for known in ready.context.painting.classes()]
    assert counts == [np.count_nonzero(layer.data == value) for value in (1, 2)]
    assert row_of(ready, 2).text(1) == str(counts[1])
    at = tuple(np.rint(session.segmentation.grid.to_index(liver)).astype(int))
    assert session.segmentation.data[at] == 2
    picture_of("segment")


def test_nothing_is_fitted_while_the_mouse_is_down(ready, hand, liver, jobs):
    hand.press(ready.segment_panel.strokes)
    hand.press(ready.segment_panel.live)
    paint_two(hand, ready, liver)
    hand.wait_for(lambda: ready.session.segmentation is not None)
    before = jobs.count("segmentation")
    native = hand.viewer.window._qt_viewer.canvas.native
    start, end = (QPoint(*(round(float(v)) for v in hand.pixel_of(p))) for p in (liver, liver + [0, 12, 0]))
    QTest.mousePress(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for part in np.linspace(0, 1, 6):
        QTest.mouseMove(native, start + (end - start) * part)
        hand.wait(60)
    assert jobs.count("segmentation") == before
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    hand.wait_for(lambda: jobs.count("segmentation") == before + 1)
    hand.wait(300)
    assert jobs.count("segmentation") == before + 1


def test_what_was_painted_is_seen_in_its_color(ready, hand, liver):
    hand.press(ready.segment_panel.strokes)
    choose(hand, ready, 2)
    hand.drag(liver, liver + [10, 0, 0])
    picture = hand.picture()
    column, row = hand.pixel_of(liver + [5, 0, 0]).round().astype(int)
    red, green, blue = picture[row, column]
    assert blue > red + 40  # sky blue
    choose(hand, ready, 1)
    hand.drag(liver + [0, 20, 0], liver + [10, 20, 0])
    column, row = hand.pixel_of(liver + [5, 20, 0]).round().astype(int)
    assert np.ptp(hand.picture()[row, column]) < 12  # background is gray


def test_naparis_own_undo_counts_as_a_change(ready, hand, liver):
    hand.press(ready.segment_panel.strokes)
    paint_two(hand, ready, liver)
    hand.wait_for(lambda: len(ready.session.scan.probing.strokes.now.classes) == 2)
    layer = ready.binding.layer("strokes")
    layer.undo()
    hand.wait_for(lambda: ready.session.scan.probing.strokes.now.classes == (1,))
    layer.redo()
    hand.wait_for(lambda: ready.session.scan.probing.strokes.now.classes == (1, 2))


def test_undo_and_redo_take_the_segmentation_along(ready, hand, liver):
    panel, session = ready.segment_panel, ready.session
    hand.press(panel.strokes)
    hand.press(panel.live)
    paint_two(hand, ready, liver)
    hand.wait_for(lambda: session.segmentation is not None)
    layer = ready.binding.layer("strokes")
    hand.press(panel.undo)
    assert set(np.unique(layer.data)) == {0, 1}
    hand.wait_for(lambda: session.segmentation is None)
    assert ready.binding.layer("segmentation") is None
    hand.press(panel.redo)
    assert set(np.unique(layer.data)) == {0, 1, 2}
    hand.wait_for(lambda: session.segmentation is not None)
    hand.press(panel.clear)
    assert not layer.data.any()
    hand.press(panel.undo)
    assert set(np.unique(layer.data)) == {0, 1, 2}


def test_classes_are_added_renamed_and_removed(ready, hand, liver, qtbot):
    panel, painting = ready.segment_panel, ready.context.painting
    hand.press(panel.strokes)
    hand.press(panel.classes.add)
    layer = ready.binding.layer("strokes")
    assert layer.selected_label == 3
    hand.drag(liver, liver + [10, 0, 0])
    tree = panel.classes.rows_of
    hand.press(panel.classes.rename)
    editor = tree.findChild(QLineEdit)
    qtbot.keyClick(editor, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(editor, "liver")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert painting.names()[3] == "liver"
    assert ready.session.scan.probing.strokes.now.names[3] == "liver"
    assert ready.session.scan.probing.strokes.now.classes == (3,)
    choose(hand, ready, 3)
    hand.press(panel.classes.remove)
    assert 3 not in painting.names()
    assert not layer.data.any()
    hand.press(panel.undo)
    assert painting.names()[3] == "liver"
    assert (layer.data == 3).any()


def test_names_and_strokes_come_back_with_a_session(ready, hand, belly, liver, tmp_path):
    from dataclasses import replace

    from coralbay_core.volume_io import load_volume, save_map

    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    ready.session.add(replace(load_volume(path), name="scan"))
    ready.session.compute()
    hand.wait_for(lambda: ready.session.features is not None)
    ready.session.remove(ready.session.scans[0])
    ready.binding.go_to(liver)
    hand.press(ready.segment_panel.strokes)
    paint_two(hand, ready, liver)
    ready.context.painting.rename(2, "liver")
    before = np.array(ready.binding.layer("strokes").data)
    job = ready.session.save(tmp_path / "kept.coralbay")
    hand.wait_for(lambda: not job.running)
    ready.session.remove(ready.session.scan)
    assert ready.segment_panel.classes.rows_of.topLevelItemCount() == 0
    ready.session.load(job.result)
    hand.wait_for(lambda: ready.session.segmentation is not None)
    np.testing.assert_array_equal(ready.binding.layer("strokes").data, before)
    assert ready.context.painting.names() == {1: "background", 2: "liver"}
    assert row_of(ready, 2).text(0) == "liver"
