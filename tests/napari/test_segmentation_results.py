"""Suggestions, maps, statistics and exports of a segmentation, and layers that vanish, in a real window."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from coralbay_core.spatial import LabelVolume
from coralbay_viz.display import napari_world
from coralbay_viz.napari_ui import context
from tests.support.dicom import write_series
from tests.support.strokes import choose, row_of, strokes_of


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
