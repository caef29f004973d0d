"""Painting, live segmentation, classes, suggestions and exports, with a real mouse on a real window."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QColorDialog, QLineEdit

from coralbay_core.spatial import LabelVolume
from coralbay_viz.demo import auto_strokes
from coralbay_viz.display import napari_world
from coralbay_viz.napari_ui import context
from coralbay_viz.tasks import segmentation
from tests.support.dicom import write_series


@pytest.fixture
def ready(dock, hand, belly, liver):
    """A scan with features, the liver in sight and the segment tab open."""
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.set_visible("pca", False)
    dock.binding.go_to(liver)
    dock.tabs.setCurrentIndex(2)
    hand.settle()
    return dock


@pytest.fixture
def jobs(ready):
    """Lanes of the jobs that were started."""
    started = []
    ready.session.job_started.connect(lambda job: started.append(job.kind))
    return started


def choose(hand, dock, value):
    """A real click on the row of a class."""
    tree = dock.segment_panel.classes.rows_of
    item = row_of(dock, value)
    place = tree.visualItemRect(item).center()
    place.setX(40)
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    hand.settle()


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
    assert session.scan.strokes.now.classes == (1, 2)
    assert np.count_nonzero(layer.data) == len(session.scan.strokes.now)
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


def strokes_of(dock):
    """How many painted voxels the session has."""
    strokes = dock.session.scan.strokes.now
    return 0 if strokes is None else len(strokes)


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


@pytest.mark.parametrize("before", [False, True], ids=["the first", "a later one"])
def test_slices_of_a_fit_that_is_stopped_are_taken_back(ready, hand, liver, monkeypatch, before):
    session, scan = ready.session, ready.session.scan
    painted = auto_strokes.place(scan.volume, scan.features, scan.label_grid, None).labels
    if before:
        session.segment(painted)
        hand.wait_for(lambda: session.segmentation is not None)
    go, labeled = threading.Event(), segmentation.labeled
    monkeypatch.setattr(segmentation, "labeled", lambda *given: (go.wait(60), labeled(*given))[1])
    early = []
    session.segmentation_previewed.connect(lambda *shown: early.append(shown))
    session.paint(LabelVolume(painted.data[::-1].copy(), painted.grid, names=painted.names))
    job = session.fit(first_mm=liver)
    hand.wait_for(lambda: early)
    layer = ready.binding.layer("segmentation")
    assert not before or (layer.data != session.segmentation.data).any()
    session.cancel("segmentation")
    go.set()
    hand.wait_for(lambda: not job.running)
    if before:
        assert (layer.data == session.segmentation.data).all()
    else:
        assert ready.binding.layer("segmentation") is None


def test_classes_are_added_renamed_and_removed(ready, hand, liver, qtbot):
    panel, painting = ready.segment_panel, ready.context.painting
    hand.press(panel.strokes)
    hand.press(panel.classes.add)
    layer = ready.binding.layer("strokes")
    assert layer.selected_label == 3
    tree = panel.classes.rows_of
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


def test_a_row_is_chosen_wherever_it_is_clicked(ready, hand):
    hand.press(ready.segment_panel.strokes)
    tree = ready.segment_panel.classes.rows_of
    for value in (2, 1, 2):
        place = tree.visualItemRect(row_of(ready, value)).center()
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        assert ready.binding.layer("strokes").selected_label == value


@pytest.fixture
def segmented(ready, hand, liver):
    """Two classes painted and spread."""
    hand.press(ready.segment_panel.strokes)
    paint_two(hand, ready, liver)
    hand.press(ready.segment_panel.segment)
    hand.wait_for(lambda: ready.session.segmentation is not None)
    return ready


def shown_place(viewer):
    return napari_world.world_from_napari(np.array(viewer.dims.point))


def test_suggestions_lead_from_place_to_place(segmented, viewer, hand, picture_of):
    panel, session = segmented.segment_panel.suggestions, segmented.session
    assert not panel.skip.isEnabled()
    hand.press(panel.next)
    hand.wait_for(lambda: bool(session.scan.suggestions))
    found = session.scan.suggestions
    assert len(found) > 2
    assert np.abs(shown_place(viewer) - found[0].position_mm).max() <= 1.6
    assert "background" in panel.about.text()
    layer = segmented.binding.layer("suggestions")
    assert list(layer.text.values) == [str(number + 1) for number in range(len(found))]
    segmented.segment_panel.next_suggestion()
    assert np.abs(shown_place(viewer) - found[1].position_mm).max() <= 1.6
    picture_of("suggestions")
    hand.press(panel.skip)
    hand.wait_for(lambda: session.scan.suggestions is not found)
    assert session.scan.skipped == (found[1].position_mm,)
    assert all(other.position_mm != found[1].position_mm for other in session.scan.suggestions)
    strokes, window = segmented.binding.layer("strokes"), viewer.window._qt_window
    for key in (Qt.Key.Key_Return, Qt.Key.Key_1):  # the proposed class, the first one
        count, painted = len(session.scan.suggestions), strokes_of(segmented)
        QTest.keyClick(window.focusWidget(), key)
        assert len(session.scan.suggestions) == count - 1
        assert strokes_of(segmented) > painted
    assert strokes.mode == "paint"  # where no suggestion is shown, 1 is napari's eraser
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Space)
    hand.wait_for(lambda: len(session.scan.skipped) == 2)
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Escape)
    assert session.suggestions.shown is None
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_1)
    assert strokes.mode == "erase"
    hand.press(segmented.segment_panel.segment)
    hand.wait_for(lambda: not session.scan.suggestions)
    assert segmented.binding.layer("suggestions") is None


def test_what_is_kept_does_not_change(segmented, hand, liver):
    session, panel = segmented.session, segmented.segment_panel
    tree, item = panel.classes.rows_of, row_of(segmented, 2)
    before = session.segmentation.data == 2
    rect = tree.visualItemRect(item)
    place = QPoint(tree.columnViewportPosition(2) + 8, rect.center().y())
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    hand.settle()
    assert session.scan.protected is not None
    shown = session.segmentation
    choose(hand, segmented, 1)
    hand.drag(liver + [0, -30, 0], liver + [20, -30, 0])
    hand.press(panel.segment)
    hand.wait_for(lambda: session.segmentation is not shown)
    assert (session.segmentation.data[before] == 2).all()


def test_statistics_with_a_reference(segmented, viewer, hand, told, picture_of, monkeypatch, tmp_path):
    panel, session = segmented.segment_panel.statistics, segmented.session
    truth = viewer.add_labels(
        np.array(session.segmentation.data[::-1]), name="truth", affine=mirrored(session.segmentation.grid)
    )
    assert panel.reference.native.findText("truth") == 1
    panel.reference.native.setCurrentIndex(1)
    truth.name = "renamed"
    assert panel.reference.native.currentText() == "renamed"
    hand.press(panel.measure)
    hand.wait_for(lambda: bool(session.scan.statistics))
    assert [row.dice for row in session.scan.statistics] == [1, 1]
    assert panel.results.topLevelItem(1).text(0) == "structure"
    assert panel.results.topLevelItem(1).text(3) == "1.000"
    volume = np.count_nonzero(session.segmentation.data == 2) * session.segmentation.grid.voxel_ml
    assert float(panel.results.topLevelItem(1).text(1)) == pytest.approx(volume, rel=0.01)
    picture_of("statistics")
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "statistics.csv"), ""))
    hand.press(panel.save)
    hand.wait_for(lambda: (tmp_path / "statistics.csv").is_file())
    assert "structure" in (tmp_path / "statistics.csv").read_text()
    hand.wait_for(lambda: told == [f"Saved {tmp_path / 'statistics.csv'}"])
    told.clear()
    viewer.layers.remove(truth)
    assert panel.reference.native.currentText() == "no reference"
    hand.press(panel.measure)
    hand.wait_for(lambda: session.scan.statistics[0].dice is None)
    assert not told


def mirrored(grid):
    """Affine of a layer that holds an array of a grid upside down."""
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = grid.shape[0] - 1
    return napari_world.napari_affine(grid) @ flip


def test_maps_of_probability_and_margin(segmented, hand, picture_of):
    panel, session = segmented.segment_panel.maps, segmented.session
    assert panel.maps.itemText(4) == "probability: structure"

    def pick(number):
        panel.maps.setCurrentIndex(number)
        panel.maps.activated.emit(number)

    pick(4)
    hand.wait_for(lambda: session.scan.scores is not None)
    layer = segmented.binding.layer("scores")
    assert layer.name.endswith(" - probability of structure")
    np.testing.assert_array_equal(layer.data, session.scan.scores.probability)
    segmented.binding.set_visible("segmentation", False)
    picture_of("probability")
    pick(2)
    hand.wait_for(lambda: layer.name.endswith("uncertainty"))
    np.testing.assert_array_equal(layer.data, session.scan.scores.uncertainty)
    pick(0)
    assert segmented.binding.layer("scores") is None


def test_files_go_out_and_probes_come_back(segmented, hand, tmp_path, monkeypatch, told):
    from coralbay_core.io import load_volume

    panel, session = segmented.segment_panel, segmented.session
    names = {}
    monkeypatch.setattr(
        context.QFileDialog, "getSaveFileName", lambda parent, title, name, kinds: (str(tmp_path / name), "")
    )
    monkeypatch.setattr("coralbay_viz.napari_ui.panels.segment.QInputDialog.getItem", lambda *_: ("structure", True))
    for action in panel.export.menu().actions():
        names[action.text()] = action
    assert len(names) == 5
    for text, name in (
        ("Segmentation as NIfTI…", "seg.nii.gz"),
        ("Probability as NIfTI…", "probability.nii.gz"),
        ("Probe…", "probe.safetensors"),
    ):
        names[text].trigger()
        hand.wait_for(lambda name=name: any(name in line for line in told))
        assert (tmp_path / name).is_file()
    assert load_volume(tmp_path / "seg.nii.gz").grid == session.volume.grid
    shown = session.segmentation
    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "probe.safetensors"), ""))
    panel.probe.menu().actions()[0].trigger()
    hand.wait_for(lambda: session.segmentation is not shown)
    np.testing.assert_array_equal(session.segmentation.data, shown.data)


def test_dicom_of_a_scan_that_was_read_from_one(dock, viewer, hand, belly, tmp_path, monkeypatch, told):
    pytest.importorskip("highdicom", reason="pip install 'coralbay[dicom]'")
    import pydicom

    folder = tmp_path / "series"
    study = {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1", "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.2"}
    write_series(folder, np.asarray(belly.data[:24, ::-1], int), spacing=(3.0, 3.0), **study)
    dock.open(folder)
    hand.wait_for(lambda: dock.session.scan is not None)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.features is not None)
    dock.tabs.setCurrentIndex(2)
    data = np.zeros(dock.session.scan.label_grid.shape, np.uint8)
    data[4:8, 4:8, 4:8], data[-8:-4, -8:-4, -8:-4] = 1, 2
    dock.session.segment(LabelVolume(data, dock.session.scan.label_grid, names={1: "background", 2: "liver"}))
    hand.wait_for(lambda: dock.session.segmentation is not None)
    assert row_of(dock, 2).text(0) == "liver"  # what was painted elsewhere is shown, too
    np.testing.assert_array_equal(dock.binding.layer("strokes").data, data)
    monkeypatch.setattr(
        context.QFileDialog, "getSaveFileName", lambda parent, title, name, kinds: (str(tmp_path / name), "")
    )
    for action in dock.segment_panel.export.menu().actions()[1:3]:
        action.trigger()
    for name, modality in (("seg.dcm", "SEG"), ("rtstruct.dcm", "RTSTRUCT")):
        hand.wait_for(lambda name=name: any(name in line for line in told))
        assert pydicom.dcmread(tmp_path / name).Modality == modality


# --- never in the way ---------------------------------------------------------------------------------------------


def test_deleting_and_renaming_layers_does_no_harm(segmented, viewer, hand, liver):
    session, panel = segmented.session, segmented.segment_panel
    strokes = segmented.binding.layer("strokes")
    before = np.array(strokes.data)
    strokes.name = "mine"
    segmented.binding.layer("segmentation").name = "result"
    hand.press(panel.live)
    viewer.layers.remove(segmented.binding.layer("segmentation"))  # while a job runs
    hand.wait_for(lambda: segmented.binding.layer("segmentation") is not None)
    viewer.layers.remove(strokes)
    assert row_of(segmented, 2).text(0) == "structure"
    hand.press(panel.strokes)  # brings them back
    np.testing.assert_array_equal(segmented.binding.layer("strokes").data, before)
    shown = session.segmentation
    hand.drag(liver + [0, 8, 0], liver + [8, 8, 0])
    hand.wait_for(lambda: session.segmentation is not shown)


def test_closing_the_scan_while_a_stroke_is_learned(segmented, viewer, hand, liver):
    hand.press(segmented.segment_panel.live)
    hand.drag(liver + [0, 8, 0], liver + [8, 8, 0])
    viewer.layers.remove(segmented.binding.layer("ct"))
    hand.wait_for(lambda: segmented.session.scan is None)
    hand.idle()  # nothing comes of the fit
    assert not segmented.segment_panel.strokes.isEnabled()
    assert len(viewer.layers) == 0


def test_closing_the_dock_while_a_stroke_is_learned(segmented, viewer, hand, liver):
    hand.press(segmented.segment_panel.live)
    layer = segmented.binding.layer("strokes")
    started = []
    segmented.session.job_started.connect(started.append)
    hand.drag(liver + [0, 8, 0], liver + [8, 8, 0])
    session, scan = segmented.session, segmented.session.scan
    viewer.window.remove_dock_widget(segmented)
    segmented.close()
    segmented.deleteLater()
    hand.idle()  # the stroke was about to be handed over
    hand.wait_for(lambda: not any(job.running for job in started))
    assert {job.state for job in started} <= {"cancelled", "done"}
    known, begun, shown = scan.strokes.now, len(started), scan.segmentation
    layer.data = np.zeros_like(layer.data)
    layer.undo()
    hand.idle()
    assert scan.strokes.now is known
    assert len(started) == begun
    assert scan.segmentation is shown
    assert session.segmentation is shown
