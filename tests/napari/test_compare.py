"""A second scan, a follow-up, and the other side of the patient: each as a user would."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from coralbay_core.spatial import LabelVolume
from coralbay_viz.display import napari_world
from coralbay_viz.napari_ui import context
from tests.support.scans import shift


@pytest.fixture
def two(explored, hand, belly):
    """The same with a second scan, which lies elsewhere and whose values are noisy."""
    first = explored.session.scan
    grid = replace(belly.grid, affine=np.diag([1.0, 1, 1, 1]) @ belly.grid.affine + shift(30, -20, 40))
    noise = np.random.default_rng(0).normal(0, 8, belly.data.shape).astype(np.int16)
    second = explored.session.add(replace(belly, data=belly.data + noise, grid=grid, name="other"))
    hand.press(explored.feature_panel.compute)
    hand.wait_for(lambda: second.pca is not None)
    explored.session.activate(first)
    return first, second


def side_by_side(explored, hand):
    """Open the second scan beside the first, and return the panel."""
    panel = explored.compare_panel
    explored.show_tab("Compare")
    hand.settle()
    hand.press(panel.side_by_side)
    hand.wait_for(lambda: panel._dock.widget is not None)
    hand.settle()
    return panel


def test_what_is_clicked_here_is_searched_there(two, explored, viewer, hand, liver, told):
    _, second = two
    panel = side_by_side(explored, hand)
    hand.press(panel.search)
    hand.press(panel.link)
    explored.tools.mode = "pick"
    hand.click(liver)
    explored.binding.go_to(liver)
    hand.wait_for(lambda: second.heat is not None and second.matched is not None)
    expected = liver + [30, -20, 40]
    assert np.linalg.norm(second.matched.position_mm - expected) < 12
    assert "confirmed" in panel.match.text() or "confidence" in panel.match.text()
    best = second.heat.regions[0].position_mm
    assert np.linalg.norm(np.array(best) - expected) < 25
    view = panel._dock.widget.view
    assert any("similar" in layer.name and layer.visible for layer in view.model.layers)
    np.testing.assert_allclose(
        napari_world.world_from_napari(view.model.dims.point), second.matched.position_mm, atol=2
    )
    hand.wait_for(lambda: not second.heat.provisional and panel.alignment.text())
    assert "lignment is" in panel.alignment.text()
    assert panel._dock.widget.title.text() == "other"
    # Either crosshair leads.
    view.tools.placed.emit(expected + 10)
    hand.wait_for(lambda: np.linalg.norm(explored.session.cursor_mm - (liver + 10)) < 8)
    hand.idle()
    assert explored.session.linked_cursor_mm == tuple(expected + 10)
    np.testing.assert_allclose(
        explored.binding.viewer.dims.point, napari_world.napari_from_world(explored.session.cursor_mm), atol=3
    )
    below = napari_world.napari_from_world(expected + (10, 10, -20))
    view.model.dims.set_point(0, below[0])
    hand.wait_for(lambda: abs(explored.session.cursor_mm[2] - (liver[2] - 20)) < 8)
    # The main canvas shows the active scan alone.
    assert explored.binding.layer("heat", second) not in viewer.layers
    hand.press(panel.link)
    assert explored.session.linked is None
    hand.press(panel.search)
    hand.wait_for(lambda: second.heat is None)
    hand.press(panel.search)
    hand.wait_for(lambda: second.heat is not None)
    # A click there is a prompt of that scan: it leaves the search from the other, and says so.
    assert second.origin is explored.session.scan
    native = view.canvas.canvas.native
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, native.rect().center())
    hand.wait_for(lambda: second.heat is not None and second.clicks.now.positive)
    assert second.origin is None
    assert any("prompts of its own" in line for line in told)
    assert len(explored.session.scan.clicks.now.positive) == 1
    hand.wait_for(lambda: not panel.search.isChecked())
    # The key takes back the last prompt, which was one there.
    QTest.keyClick(native, Qt.Key.Key_U)
    assert not second.clicks.now
    assert len(explored.session.scan.clicks.now.positive) == 1
    QTest.keyClick(native, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert len(second.clicks.now.positive) == 1
    hand.press(panel.side_by_side)
    hand.wait_for(lambda: panel._dock.widget is None)
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_U)
    assert not explored.session.scan.clicks.now
    assert len(second.clicks.now.positive) == 1


def test_the_scan_beside_is_never_the_active_one_and_may_go(two, explored, hand):
    first, second = two
    panel = side_by_side(explored, hand)
    beside = panel._dock.widget
    assert (beside.scan, beside.title.text()) == (second, "other")
    explored.scan_panel.scans.activated.emit(1)
    hand.settle()
    assert explored.session.scan is second
    assert panel.target is first
    assert (panel._dock.widget.scan, beside.title.text()) == (first, "belly")
    assert [layer.name for layer in beside.view.model.layers if layer.name == "belly"]
    assert panel.side_by_side.isChecked()
    explored.session.remove(first)  # the one beside
    hand.wait_for(lambda: panel._dock.widget is None)
    assert not panel.side_by_side.isEnabled()
    assert explored.session.scan is second


def test_landmarks_are_found_in_the_follow_up(two, explored, hand, liver, tmp_path, monkeypatch):
    _, second = two
    path = tmp_path / "before.csv"
    path.write_text("name,x_mm,y_mm,z_mm\nliver,{},{},{}\n".format(*liver))
    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    panel = explored.compare_panel
    explored.show_tab("Compare")
    hand.settle()
    hand.press(panel.landmarks)
    hand.wait_for(lambda: second.follow_up is not None)
    assert panel.table.topLevelItemCount() == 1
    assert panel.table.topLevelItem(0).text(0) == "liver"
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "after.csv"), ""))
    hand.press(panel.save)
    assert "liver" in (tmp_path / "after.csv").read_text()


def test_the_other_side_of_the_patient(explored, hand, liver):
    explored.binding.go_to(liver)
    explored.show_tab("Compare")
    hand.settle()
    hand.press(explored.compare_panel.mirror)
    hand.wait_for(lambda: explored.session.scan.symmetry is not None)
    assert "Difference" in explored.compare_panel.sides.text()
    assert explored.binding.layer("found") is not None
    assert explored.binding.layer("symmetry") is not None
    hand.press(explored.compare_panel.hide_sides)
    assert explored.binding.layer("found") is None
    assert explored.binding.layer("symmetry") is None


def test_what_was_deleted_of_the_other_side_stays_away(explored, viewer, hand, liver, monkeypatch):
    from coralbay_core.similarity import HeatMap

    explored.session.mirror(liver)
    hand.wait_for(lambda: explored.binding.layer("symmetry") is not None)
    viewer.layers.remove(explored.binding.layer("symmetry"))
    in_the_gui = []
    real = HeatMap.resample_to

    def resample_to(self, grid):
        in_the_gui.append(threading.current_thread() is threading.main_thread())
        return real(self, grid)

    monkeypatch.setattr(HeatMap, "resample_to", resample_to)
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    hand.idle()
    assert explored.binding.layer("symmetry") is None
    assert "Difference" in explored.compare_panel.sides.text()
    assert in_the_gui
    assert not any(in_the_gui)


def test_each_scan_shows_again_what_it_showed(two, explored, hand, liver):
    first, second = two
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: first.heat is not None)
    assert explored.binding.layer("heat", first).visible
    assert not explored.binding.layer("pca", first).visible
    explored.session.activate(second)
    assert explored.binding.layer("heat", first) not in explored.binding.viewer.layers
    assert explored.binding.layer("pca", second).visible
    explored.session.activate(first)
    assert explored.binding.layer("heat", first).visible
    assert explored.binding.layer("clicks", first).visible
    assert not explored.binding.layer("pca", first).visible


def test_labels_and_grays_of_one_scan_are_laid_over_the_other(two, explored, hand, monkeypatch):
    first, second = two
    asked = []
    monkeypatch.setattr(explored.session, "transfer", asked.append)
    panel = side_by_side(explored, hand)
    assert not panel.copy_labels.isEnabled()
    data = np.zeros(first.label_grid.shape, np.uint8)
    data[2:6, 2:6, 2:6] = 4
    explored.session.controllers.segmentation.accept_labels(LabelVolume(data, first.label_grid), first)
    hand.wait_for(panel.copy_labels.isEnabled)
    hand.press(panel.copy_labels)
    assert asked == [second]
    hand.press(panel.overlay)  # in squares
    hand.wait_for(lambda: first.warped is not None)
    layer, ct = explored.binding.layer("warped"), explored.binding.layer("ct")
    assert panel.overlay.isChecked()
    assert layer.visible
    assert not explored.binding.layer("pca").visible  # grays are compared, without colors over them
    assert tuple(layer.contrast_limits) == tuple(ct.contrast_limits)
    ct.contrast_limits = (-100, 300)
    assert tuple(layer.contrast_limits) == (-100, 300)
    coarse = layer.data
    panel.square.setValue(10)
    assert (explored.binding.layer("warped").data != coarse).any()
    hand.press(panel.overlay)
    assert explored.binding.layer("warped") is None
    assert first.warped is None
