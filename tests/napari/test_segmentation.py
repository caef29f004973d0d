"""Painting, live segmentation and classes, with a real mouse on a real window."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QColorDialog, QLineEdit

from coralbay_core.spatial import LabelVolume
from coralbay_viz.demo import auto_strokes
from coralbay_viz.tasks import segmentation
from tests.support.strokes import choose, paint_two, row_of, strokes_of


@pytest.fixture
def jobs(ready):
    """Lanes of the jobs that were started."""
    started = []
    ready.session.job_started.connect(lambda job: started.append(job.kind))
    return started


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
    assert session.scan.strokes.now.classes == (1, 2)
    assert np.count_nonzero(layer.data) == len(session.scan.strokes.now)
    counts = [known.voxels for known in ready.context.painting.classes()]
    assert counts == [np.count_nonzero(layer.data == value) for value in (1, 2)]
    assert row_of(ready, 2).text(1) == str(counts[1])
    at = tuple(np.rint(session.segmentation.grid.to_index(liver)).astype(int))
    assert session.segmentation.data[at] == 2
    picture_of("segment")
    # Nothing is fitted while the mouse is down.
    before = jobs.count("segmentation")
    native = hand.viewer.window._qt_viewer.canvas.native
    start, end = (QPoint(*(round(float(v)) for v in hand.pixel_of(p))) for p in (liver, liver + [0, 12, 0]))
    QTest.mousePress(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for part in np.linspace(0, 1, 6):
        QTest.mouseMove(native, start + (end - start) * part)
        hand.idle(60)
    assert jobs.count("segmentation") == before
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    hand.wait_for(lambda: jobs.count("segmentation") == before + 1)
    hand.idle()
    assert jobs.count("segmentation") == before + 1


def test_what_was_painted_is_seen_in_its_color(ready, hand, liver):
    hand.press(ready.segment_panel.strokes)  # with the first structure, not the background
    hand.drag(liver, liver + [10, 0, 0])
    picture = hand.picture()
    column, row = hand.pixel_of(liver + [5, 0, 0]).round().astype(int)
    red, _, blue = picture[row, column]
    assert blue > red + 40  # sky blue
    choose(hand, ready, 1)
    hand.drag(liver + [0, 20, 0], liver + [10, 20, 0])
    column, row = hand.pixel_of(liver + [5, 20, 0]).round().astype(int)
    assert np.ptp(hand.picture()[row, column]) < 12  # background is gray
    tree = ready.segment_panel.classes.rows_of
    place = QPoint(tree.columnViewportPosition(3) + 8, tree.visualItemRect(row_of(ready, 2)).center().y())
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    chooser = ready.segment_panel.classes.findChild(QColorDialog)
    chooser.setCurrentColor(QColor("#ff0000"))
    chooser.accept()
    column, row = hand.pixel_of(liver + [5, 0, 0]).round().astype(int)
    red, _, blue = hand.picture()[row, column]
    assert red > blue + 100


def test_strokes_are_erased_with_the_eraser_and_with_scissors(ready, hand, liver):
    panel, layer_of = ready.segment_panel, ready.binding.layer
    hand.press(panel.strokes)
    hand.drag(liver, liver + [20, 0, 0])
    hand.wait_for(lambda: strokes_of(ready) > 0)
    painted = strokes_of(ready)
    hand.press(panel.erase)
    assert [made.isChecked() for made in panel.tools.values()] == [False, True, False]
    hand.drag(liver, liver + [6, 0, 0])
    hand.wait_for(lambda: 0 < strokes_of(ready) < painted)
    hand.press(panel.cut)
    native = hand.viewer.window._qt_viewer.canvas.native
    for corner in ([-30, -30, 0], [38, -30, 0], [38, 30, 0], [-30, 30, 0]):
        point = QPoint(*(round(float(v)) for v in hand.pixel_of(liver + corner)))
        QTest.mouseMove(native, point)
        QTest.mouseClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
        hand.idle(50)
    QTest.keyClick(native, Qt.Key.Key_Return)
    hand.wait_for(lambda: strokes_of(ready) == 0)
    hand.press(panel.strokes)
    assert layer_of("strokes").selected_label == 2  # and not what scissors use
    hand.press(panel.strokes)
    assert layer_of("strokes").mode == "pan_zoom"  # pressed again, the brush is put away


def test_naparis_own_undo_counts_as_a_change(ready, hand, liver):
    hand.press(ready.segment_panel.strokes)
    paint_two(hand, ready, liver)
    hand.wait_for(lambda: len(ready.session.scan.strokes.now.classes) == 2)
    layer = ready.binding.layer("strokes")
    layer.undo()
    hand.wait_for(lambda: ready.session.scan.strokes.now.classes == (1,))
    layer.redo()
    hand.wait_for(lambda: ready.session.scan.strokes.now.classes == (1, 2))
    strokes = ready.session.scan.strokes
    np.testing.assert_array_equal(strokes.now.labels.data, layer.data)
    ready.session.undo_strokes()
    assert strokes.now.classes == (1,)  # each of them is a step of the session's own history


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


def test_what_is_not_handed_over_yet_is_not_lost_by_redo(ready, hand):
    hand.press(ready.segment_panel.strokes)
    layer = ready.binding.layer("strokes")
    for place in (1, 2):
        layer.data_setitem(tuple(np.array([place]) for _ in range(3)), 1)
        hand.wait_for(lambda place=place: strokes_of(ready) == place)
    hand.press(ready.segment_panel.undo)
    layer.data_setitem(tuple(np.array([5]) for _ in range(3)), 2)
    ready.segment_panel.redo.click()
    hand.wait_for(lambda: strokes_of(ready) == 2)
    assert (layer.data[1, 1, 1], layer.data[2, 2, 2], layer.data[5, 5, 5]) == (1, 0, 2)


def test_slices_of_a_fit_that_is_stopped_are_taken_back(ready, hand, liver, monkeypatch):
    session, scan = ready.session, ready.session.scan
    painted = auto_strokes.place(scan.volume, scan.features, scan.label_grid, None).labels
    early = []
    session.segmentation_previewed.connect(lambda *shown: early.append(shown))

    def stop_a_fit(check):
        go, labeled = threading.Event(), segmentation.labeled
        early.clear()
        with monkeypatch.context() as patch:
            patch.setattr(segmentation, "labeled", lambda *given: (go.wait(60), labeled(*given))[1])
            session.paint(LabelVolume(painted.data[::-1].copy(), painted.grid, names=painted.names))
            job = session.fit(first_mm=liver)
            hand.wait_for(lambda: early)
            check(ready.binding.layer("segmentation"))
            session.cancel("segmentation")
            go.set()
            hand.wait_for(lambda: not job.running)

    stop_a_fit(lambda layer: None)
    assert ready.binding.layer("segmentation") is None
    session.segment(painted)
    hand.wait_for(lambda: session.segmentation is not None)
    stop_a_fit(lambda layer: np.testing.assert_equal((layer.data != session.segmentation.data).any(), True))
    assert (ready.binding.layer("segmentation").data == session.segmentation.data).all()


def test_classes_are_added_renamed_and_removed(ready, hand, liver, qtbot):
    panel, painting = ready.segment_panel, ready.context.painting
    hand.press(panel.strokes)
    layer = ready.binding.layer("strokes")
    tree = panel.classes.rows_of
    for value in (2, 1, 2):  # a row is chosen wherever it is clicked
        place = tree.visualItemRect(row_of(ready, value)).center()
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        assert layer.selected_label == value
    hand.press(panel.classes.add)
    assert layer.selected_label == 3
    editor = tree.findChild(QLineEdit)  # open for the name
    qtbot.keyClicks(editor, "kidney_r")
    proposed = editor.completer().popup()
    hand.wait_for(proposed.isVisible)
    qtbot.keyClick(proposed, Qt.Key.Key_Down)
    qtbot.keyClick(proposed, Qt.Key.Key_Return)
    hand.wait_for(lambda: painting.names()[3] == "kidney_right")
    hand.drag(liver, liver + [10, 0, 0])
    hand.press(panel.classes.rename)
    hand.wait_for(lambda: tree.findChild(QLineEdit) is not None)
    editor = tree.findChild(QLineEdit)
    qtbot.keyClick(editor, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(editor, "liver")
    hand.wait_for(editor.completer().popup().isVisible)
    qtbot.keyClick(editor.completer().popup(), Qt.Key.Key_Return)  # a name as typed, though one is proposed
    hand.wait_for(lambda: painting.names()[3] == "liver")
    assert ready.session.scan.strokes.now.names[3] == "liver"
    assert ready.session.scan.strokes.now.classes == (3,)
    choose(hand, ready, 3)
    hand.press(panel.classes.remove)
    assert 3 not in painting.names()
    assert not layer.data.any()
    hand.press(panel.undo)
    assert painting.names()[3] == "liver"
    assert (layer.data == 3).any()


@pytest.mark.slow
def test_names_and_strokes_come_back_with_a_session(ready, hand, belly, liver, tmp_path):
    from dataclasses import replace

    from coralbay_core.io import load_volume, save_map

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
    hand.press(ready.segment_panel.segment)
    hand.wait_for(lambda: ready.session.pca is not None and ready.session.segmentation is not None)
    job = ready.session.save(tmp_path / "kept.coralbay")
    hand.wait_for(lambda: not job.running)
    ready.session.remove(ready.session.scan)
    assert ready.segment_panel.classes.rows_of.topLevelItemCount() == 0
    ready.session.load(job.result)
    hand.wait_for(lambda: ready.session.segmentation is not None)
    np.testing.assert_array_equal(ready.binding.layer("strokes").data, before)
    assert ready.context.painting.names() == {1: "background", 2: "liver"}
    assert row_of(ready, 2).text(0) == "liver"
    hand.wait_for(lambda: ready.binding.layer("pca") is not None)
    assert ready.binding.layer("segmentation").visible
    assert not ready.binding.layer("pca").visible  # one colored layer over another says nothing
    ready.colors_panel.want_pca(True)
    assert ready.binding.layer("pca").visible
    ready.session.click(liver)
    hand.wait_for(lambda: ready.session.heat is not None)
    job = ready.session.save(tmp_path / "with a click.coralbay")
    hand.wait_for(lambda: not job.running)
    ready.session.remove(ready.session.scan)
    ready.session.load(job.result)
    hand.wait_for(lambda: ready.session.features is not None)
    hand.press(ready.segment_panel.segment)  # before the restored results are there
    hand.wait_for(lambda: None not in (ready.session.segmentation, ready.session.heat, ready.session.pca))
    shown = [role for role in ("heat", "segmentation", "pca") if ready.binding.layer(role).visible]
    assert shown == ["segmentation"]
