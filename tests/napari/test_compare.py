"""Two scans, three planes, several windows, a library, a scorecard, a training: each as a user would."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from coralbay_core.io import save_map
from coralbay_core.spatial import LabelVolume
from coralbay_viz.controllers import ct_windows as ct_windows_controller
from coralbay_viz.controllers import training as training_controller
from coralbay_viz.display import napari_world
from coralbay_viz.model import library_hit
from coralbay_viz.napari_ui import context, views
from tests.support.dicom import write_series
from tests.support.eva_files import write_run
from tests.support.pretraining import finished_run


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


def shift(r, a, s):
    moved = np.zeros((4, 4))
    moved[:3, 3] = r, a, s
    return moved


# --- planes -------------------------------------------------------------------------------------------------------


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
    assert all(any(layer.name.startswith("similar") for layer in plane.model.layers) for plane in planes)
    explored.binding.layer("heat").opacity = 0.25
    twin = next(layer for layer in planes[0].model.layers if layer.name.startswith("similar"))
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
    canvas = plane.canvas.canvas
    shown = napari_world.napari_from_world(liver)[list(plane.model.dims.displayed)][::-1]
    x, y, *_, w = canvas.view.scene.transform.map(np.append(shown, [0, 1]))
    pixel = np.array([x, y]) / w + canvas.view.pos
    point = QPoint(*(round(float(v)) for v in pixel))
    QTest.mouseMove(canvas.native, point)
    QTest.mouseClick(canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    hand.wait_for(lambda: bool(explored.session.clicks.positive))
    (clicked,) = explored.session.clicks.positive
    assert np.linalg.norm(np.array(clicked) - liver) < 4
    points = explored.binding.layer("clicks")
    twin = next(layer for layer in plane.model.layers if layer.name == points.name)
    np.testing.assert_array_equal(twin.size, points.size)  # as small there as here


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


def test_hu_and_mm_stand_under_the_cursor(explored, viewer, hand, liver):
    hand.move(liver)
    text = viewer.canvas.overlays["coralbay_readout"].text
    volume = explored.session.volume
    hu = int(volume.data[tuple(np.rint(volume.grid.to_index(liver)).astype(int))])
    assert abs(int(text.split(" HU")[0]) - hu) < 60  # a pixel away may be another voxel
    assert "R" in text
    assert "mm" in text


def test_the_readout_is_of_the_slice_that_is_shown(explored, viewer, hand, liver):
    hand.move(liver)
    readout = viewer.canvas.overlays["coralbay_readout"]
    before = readout.text
    viewer.dims.set_point(0, viewer.dims.point[0] + 12)  # the mouse stays where it is
    assert readout.visible
    assert readout.text != before
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


# --- another scan -------------------------------------------------------------------------------------------------


def side_by_side(explored, hand):
    """Open the second scan beside the first, and return the panel."""
    panel = explored.compare_panel
    explored.show_tab("Compare")
    hand.settle()
    hand.press(panel.side_by_side)
    hand.wait_for(lambda: panel._dock.widget is not None)
    hand.settle()
    return panel


def test_what_is_clicked_here_is_searched_there(two, explored, viewer, hand, liver):
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
    assert "confirmed" in panel.match.text()
    best = second.heat.regions[0].position_mm
    assert np.linalg.norm(np.array(best) - expected) < 25
    view = panel._dock.widget.view
    assert any(layer.name.startswith("similar") and layer.visible for layer in view.model.layers)
    np.testing.assert_allclose(
        napari_world.world_from_napari(view.model.dims.point), second.matched.position_mm, atol=2
    )
    # The main canvas shows the active scan alone.
    assert not explored.binding.layer("heat", second).visible
    hand.press(panel.link)
    assert explored.session.linked is None
    hand.press(panel.search)
    hand.wait_for(lambda: second.heat is None)


def test_the_other_scan_goes_while_it_is_shown(two, explored, viewer, hand):
    first, second = two
    panel = side_by_side(explored, hand)
    viewer.layers.remove(explored.binding.layer("ct", second))
    hand.wait_for(lambda: panel._dock.widget is None)
    assert not panel.side_by_side.isEnabled()
    assert explored.session.scan is first


def test_the_scan_beside_is_never_the_active_one(two, explored, hand):
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
    assert not explored.binding.layer("heat", first).visible
    assert explored.binding.layer("pca", second).visible
    explored.session.activate(first)
    assert explored.binding.layer("heat", first).visible
    assert explored.binding.layer("clicks", first).visible
    assert not explored.binding.layer("pca", first).visible


# --- hover, windows, regions --------------------------------------------------------------------------------------


def test_hover_previews_while_picking(explored, viewer, hand, liver):
    hand.press(explored.similar_panel.hover)
    hand.move(liver)
    hand.wait_for(lambda: explored.session.scan.hover is not None)
    assert explored.binding.layer("hover") is not None
    assert not explored.session.clicks
    explored.tools.mode = "look"
    hand.wait_for(lambda: explored.binding.layer("hover") is None)
    explored.tools.mode = "pick"
    hand.move(liver + [9, 0, 0])
    hand.wait_for(lambda: explored.binding.layer("hover") is not None)
    hand.press(explored.similar_panel.hover)  # off, and the mouse is not over the canvas again
    hand.wait_for(lambda: explored.binding.layer("hover") is None)


def test_windows_are_inspected(explored, hand, liver):
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    panel = explored.similar_panel.windows
    panel.parent().head.click()
    hand.settle()
    panel.inspect.click()
    hand.wait_for(lambda: explored.session.scan.windows is not None)
    assert panel.answers.topLevelItemCount() == 3
    layer = explored.binding.layer("windows")
    assert 0 <= layer.data.min() <= layer.data.max() <= 1
    panel.shown.setCurrentText("Lung")
    panel.shown.textActivated.emit("Lung")
    assert "lung" in layer.name
    assert (layer.data == explored.session.scan.windows.shown["Lung"]).all()
    panel.shown.setCurrentText("Nothing")
    panel.shown.textActivated.emit("Nothing")
    assert explored.binding.layer("windows") is None


def test_windows_that_come_while_another_scan_is_looked_at(explored, hand, belly, liver, held):
    session, panel, first = explored.session, explored.similar_panel.windows, explored.session.scan
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    gate = held(ct_windows_controller, "inspect")
    panel.inspect.click()
    assert "…" in panel.hint.text()
    session.add(belly)
    assert panel.hint.text() == ""  # nothing is computed of this one
    gate.set()
    hand.wait_for(lambda: first.windows is not None)
    assert explored.binding.layer("windows") is None
    session.activate(first)
    assert panel.answers.topLevelItemCount() == 3
    assert explored.binding.layer("windows").visible
    assert not explored.binding.layer("heat").visible
    assert "by chance" in panel.hint.text()


def test_a_region_is_marked_and_keys_go_on(explored, viewer, hand, liver):
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    regions = explored.session.heat.regions
    explored.similar_panel.next_region()
    assert explored.session.scan.marked == 0
    np.testing.assert_allclose(explored.session.cursor_mm, regions[0].position_mm, atol=1.6)
    colors = explored.binding.layer("regions").border_color
    assert len(np.unique(colors, axis=0)) == min(2, len(regions))


# --- library, scorecard, training ---------------------------------------------------------------------------------


def test_a_library_is_made_and_searched(dock, hand, belly, liver, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    for name, change in (("one", 0), ("two", 6)):
        save_map(tmp_path / f"{name}.nii.gz", belly.data + np.int16(change), belly)
    monkeypatch.setattr(context.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "lib"))
    panel = dock.library_panel
    dock.show_tab("Library")
    dock.open(tmp_path / "one.nii.gz")
    hand.wait_for(lambda: dock.session.scan is not None)
    hand.press(panel.open)
    hand.press(panel.add)
    hand.wait_for(lambda: "1 scan" in panel.about.text())
    dock.open(tmp_path / "two.nii.gz")
    hand.wait_for(lambda: len(dock.session.scans) == 2)
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: dock.session.features is not None)
    dock.session.click(liver)
    hand.settle()
    hand.press(panel.search)
    hand.wait_for(lambda: bool(dock.session.library.hits) and dock.session.library.hits[0].thumbnail is not None)
    assert panel.found.topLevelItemCount() == len(dock.session.library.hits)
    assert not panel.found.topLevelItem(0).icon(0).isNull()
    panel.found.setCurrentItem(panel.found.topLevelItem(0))
    panel.found.itemActivated.emit(panel.found.topLevelItem(0), 0)
    assert dock.session.scan.name == "one"
    np.testing.assert_allclose(dock.session.cursor_mm, dock.session.library.hits[0].position_mm, atol=2)


def test_a_place_in_another_series_of_the_same_folder(dock, hand, tmp_path):
    rng = np.random.default_rng(0)
    for uid, slices in (("1.2.3", 6), ("1.2.4", 9)):
        write_series(tmp_path / "ct" / uid, rng.integers(-100, 100, (slices, 24, 24)), SeriesInstanceUID=uid)
    session, panel = dock.session, dock.library_panel
    session.open(tmp_path / "ct", "1.2.3")
    hand.wait_for(lambda: session.scan is not None)
    first, low = session.scan, session.volume.grid.bounds_mm[0]
    session.cursor_mm = low + 5
    hand.settle()
    before, place = first.cursor_mm, tuple(low + [9.0, 10, 14])
    session.library._set_hits((library_hit.LibraryHit("thick", str(tmp_path / "ct"), place, 1.0, 1.0, series="1.2.4"),))
    panel.found.setCurrentItem(panel.found.topLevelItem(0))
    panel.found.itemActivated.emit(panel.found.topLevelItem(0), 0)
    hand.wait_for(lambda: session.scan is not first)
    hand.settle()
    assert session.volume.shape[0] == 9
    np.testing.assert_allclose(session.cursor_mm, place, atol=1.6)
    assert first.cursor_mm == before  # where the other scan was left
    session.activate(first)
    panel.found.itemActivated.emit(panel.found.topLevelItem(0), 0)
    assert len(session.scans) == 2  # it is open already


def test_a_scorecard_against_a_labels_layer(explored, viewer, hand, phantom, liver, tmp_path):
    from coralbay_core.spatial.resampling import resample

    grid = explored.session.volume.grid
    data = resample(phantom.labels.data, phantom.labels.grid, grid, order=0).astype(np.uint8)
    labels = LabelVolume(data, grid, names=phantom.labels.names)
    viewer.add_labels(data, affine=napari_world.napari_affine(grid), name="truth")
    explored.session.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    panel = explored.scorecard_panel
    explored.show_tab("Score")
    hand.settle()
    panel.reference.setCurrentText("truth")
    assert (panel.reference.labels().data == labels.data).all()
    np.testing.assert_allclose(panel.reference.labels().grid.affine, grid.affine, atol=1e-6)
    for number in range(panel.models.count()):
        item = panel.models.item(number)
        wanted = item.text() in ("coralbay-mini", "hu-patch")
        item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
    hand.press(panel.compare)
    hand.wait_for(lambda: explored.session.scorecard.card is not None and explored.session.scorecard.card.is_done)
    rows = {panel.table.topLevelItem(n).text(0): panel.table.topLevelItem(n) for n in range(2)}
    assert set(rows) == {"coralbay-mini", "hu-patch"}
    assert all(0 < float(row.text(1)) <= 1 for row in rows.values())
    assert sum(row.font(1).bold() for row in rows.values()) == 1
    results = write_run(tmp_path / "run")
    explored.session.scorecard.eva_results = results
    (shipped,) = panel.table.findItems("coralbay-mini", Qt.MatchFlag.MatchExactly)
    assert shipped.text(2) == "btcv 0.600"
    assert str(results) in shipped.toolTip(2)


def darkest(widget):
    """Gray of the darkest pixel that is seen."""
    image = widget.grab().toImage()
    return min(image.pixelColor(x, y).lightness() for x in range(image.width()) for y in range(image.height()))


def test_a_training_is_watched(explored, viewer, hand, phantom, tmp_path, monkeypatch):
    run = finished_run(phantom, tmp_path / "run")
    monkeypatch.setattr(context.QFileDialog, "getExistingDirectory", lambda *_: str(run))
    panel = explored.training_panel
    explored.show_tab("Train")
    hand.settle()
    hand.press(panel.open)
    hand.wait_for(
        lambda: explored.session.training.state is not None and explored.session.training.state.shown is not None
    )
    state = explored.session.training.state
    assert explored.binding.layer("training_pca") is not None
    assert panel.slider.maximum() == len(state.steps) - 1
    assert "loss" in [panel.curve.itemText(n) for n in range(panel.curve.count())]
    assert state.steps == (2, 4, 6)
    viewer.theme = "light"
    hand.wait_for(lambda: darkest(panel.plot) < 110)  # its text, on white
    viewer.theme = "dark"
    panel.slider.setValue(0)
    hand.wait_for(lambda: state.shown.step == 2)
    assert not panel.newest.isChecked()
    hand.press(panel.stop)
    assert explored.session.training.state is None
    assert explored.binding.layer("training_pca") is None


def test_a_checkpoint_that_fails_is_told_once(explored, hand, phantom, tmp_path, monkeypatch):
    run, session, failures = finished_run(phantom, tmp_path / "run"), explored.session, []
    monkeypatch.setattr(
        context.notifications.notification_manager, "receive_error", lambda kind, error, trace: failures.append(error)
    )

    def fail(*_):
        raise RuntimeError("no such layer")

    explored.show_tab("Train")
    with monkeypatch.context() as patch:
        patch.setattr(training_controller, "view_of", fail)
        session.training.watch(run)
        hand.wait_for(lambda: bool(failures))
        for _ in range(3):
            job = session.training.refresh()
            hand.wait_for(lambda job=job: not job.running)
    assert len(failures) == 1
    assert "no such layer" in explored.training_panel.about.text()
    explored.training_panel.slider.setValue(0)  # another one is tried
    hand.wait_for(lambda: session.training.state.shown is not None)
    hand.press(explored.training_panel.newest)  # and this one again
    hand.wait_for(lambda: session.training.state.shown.step == 6)
    assert "no such layer" not in explored.training_panel.about.text()
