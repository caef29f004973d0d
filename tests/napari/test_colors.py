"""Colors, clusters and the scatter plot, with a real mouse on a real window."""

import gc
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest

from coralbay_core.errors import CoralBayError
from coralbay_viz.display import napari_world
from coralbay_viz.model import palette
from coralbay_viz.napari_ui import context, raster, views


@pytest.fixture
def colored(dock, hand, belly, liver):
    """A scan with its colors, and their tab open."""
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.go_to(liver)
    dock.show_tab("Colors")
    hand.settle()
    return dock


@pytest.fixture
def plotted(colored, hand):
    """With its scatter plot open."""
    hand.press(colored.colors_panel.scatter)
    hand.wait_for(lambda: colored.session.scan.scatter is not None)
    hand.settle()
    return colored


def plot_of(dock):
    return dock.colors_panel._dock.widget


def choose(chooser, number):
    chooser.setCurrentIndex(number)
    chooser.activated.emit(number)


def press_in(hand, widget, pixels, button=Qt.MouseButton.LeftButton):
    """Press at the first pixel, move over the others, release at the last."""
    points = [QPoint(*(round(float(v)) for v in pixel)) for pixel in pixels]
    QTest.mousePress(widget, button, Qt.KeyboardModifier.NoModifier, points[0])
    for point in points[1:]:
        QTest.mouseMove(widget, point)
        hand.settle()
    QTest.mouseRelease(widget, button, Qt.KeyboardModifier.NoModifier, points[-1])
    hand.settle()


# --- colors -------------------------------------------------------------------------------------------------------


def test_components_and_opacity_are_chosen(colored, hand, picture_of):
    panel, session = colored.colors_panel, colored.session
    before = session.pca
    assert "%" in panel.about.text()
    choose(panel.components[0], 3)
    hand.wait_for(lambda: session.pca is not before)
    np.testing.assert_array_equal(session.pca.rgb.components[1:], before.rgb.components[1:])
    assert not np.allclose(session.pca.rgb.components[0], before.rgb.components[0])
    assert np.array_equal(colored.binding.layer("pca").data[..., :3], session.pca.shown)
    picture_of("colors")
    layer, slider = colored.binding.layer("pca"), panel.opacity
    slider.setValue(25)
    assert layer.opacity == 0.25
    layer.opacity = 0.8  # napari's own control
    assert slider.value() == 80
    body = np.asarray(layer.data)[..., 3] > 0
    assert (np.asarray(layer.data)[~body] == 0).all()  # clear outside of the body
    assert body.any()


def test_a_locked_basis_colors_the_next_scan(colored, hand, belly, tmp_path, monkeypatch):
    panel, session = colored.colors_panel, colored.session
    hand.press(panel.lock)
    basis = session.basis
    assert basis is session.pca.basis
    assert panel.lock.text() == "Locked"
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "b.safetensors"), ""))
    panel.basis.menu().actions()[0].trigger()
    hand.wait_for(lambda: (tmp_path / "b.safetensors").is_file())
    second = session.add(replace(belly, name="other", data=np.ascontiguousarray(belly.data[::-1])))
    session.compute()
    hand.wait_for(lambda: second.pca is not None)
    assert second.pca.basis is basis
    hand.press(panel.lock)
    assert session.basis is None
    hand.press(panel.share)
    hand.wait_for(lambda: session.basis is not None and second.pca.basis is session.basis)
    assert session.basis.scans == 2
    colored.scan_panel.scans.activated.emit(0)
    hand.wait_for(lambda: session.scans[0].pca.basis is session.basis)
    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "b.safetensors"), ""))
    panel.basis.menu().actions()[1].trigger()
    hand.wait_for(lambda: session.pca.basis is session.basis)
    assert session.basis.scans == 1


@pytest.mark.slow  # umap compiles for half a minute in each process
def test_umap_its_coordinates_its_lock_and_back(colored, hand, belly, picture_of):
    pytest.importorskip("umap", reason="pip install 'coralbay[umap]'")
    panel, session = colored.colors_panel, colored.session
    choose(panel.method, 1)
    assert "while" in panel.about.text()
    hand.wait_for(lambda: session.pca.method == "umap", 300)
    assert colored.binding.layer("pca").name == "belly - UMAP colors"
    picture_of("umap")
    before = session.pca
    assert panel.components[0].count() == 3
    choose(panel.components[0], 2)
    hand.wait_for(lambda: session.pca is not before)
    assert session.pca.embedding is before.embedding  # another order needs no other UMAP
    np.testing.assert_array_equal(session.pca.rgb.components[0], before.rgb.components[2])
    hand.press(panel.lock)
    second = session.add(replace(belly, name="other", data=np.ascontiguousarray(belly.data[::-1])))
    session.compute()
    hand.wait_for(lambda: second.pca is not None, 300)
    assert second.pca.embedding.model is before.embedding.model
    colored.scan_panel.scans.activated.emit(0)
    choose(panel.method, 0)
    hand.wait_for(lambda: session.pca.method == "pca")
    assert colored.binding.layer("pca").name == "belly - PCA colors"


def test_without_umap_one_notification_and_the_colors_stay(colored, hand, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    before = colored.session.pca
    choose(colored.colors_panel.method, 1)
    hand.wait_for(lambda: any("coralbay[umap]" in text for text in told))
    hand.idle()
    assert [text for text in told if "umap" in text] == [
        text for text in told if 'pip install "coralbay[umap]"' in text
    ]
    assert sum("umap" in text for text in told) == 1
    assert colored.session.pca is before
    assert colored.colors_panel.method.currentText() == "PCA"


def test_colors_are_seen_in_3d(colored, viewer, hand, picture_of):
    views.show_view(viewer, views.VOLUME)
    colored.binding.set_visible("ct", False)
    picture = hand.picture()
    spread = np.ptp(picture, axis=-1)
    assert (spread > 60).mean() > 0.05  # red, green and blue, not gray
    picture_of("colors3d")


def test_clusters_become_labels(colored, hand, picture_of):
    panel, session = colored.colors_panel, colored.session
    panel.count.setValue(5)
    hand.press(panel.clusters)
    hand.wait_for(lambda: session.scan.clusters is not None)
    layer = colored.binding.layer("clusters")
    assert set(np.unique(layer.data)) == {0, 1, 2, 3, 4, 5}
    colored.binding.set_visible("pca", False)
    picture_of("clusters")
    layer.name = "mine"
    panel.count.setValue(3)
    hand.press(panel.clusters)
    hand.wait_for(lambda: len(session.scan.clusters.names) == 3)
    assert layer.name == "mine"
    assert set(np.unique(layer.data)) == {0, 1, 2, 3}


# --- the scatter plot ---------------------------------------------------------------------------------------------


def test_points_and_places_are_linked_both_ways(plotted, viewer, hand, liver, picture_of):
    plot, points = plot_of(plotted), plotted.session.scan.scatter
    number = int(points.points[:, 0].argmax())  # one that lies alone
    press_in(hand, plot.canvas, [plot.canvas.pixel_of(number)])
    assert plot.canvas.marked is not None
    place = points.position_mm[plot.canvas.marked]
    np.testing.assert_allclose(points.points[plot.canvas.marked], points.points[number], atol=0.5)
    assert np.abs(napari_world.world_from_napari(np.array(viewer.dims.point)) - place).max() <= 1.6
    mark = plotted.binding.layer("mark")
    shown = napari_world.world_from_napari(np.asarray(mark.data)[0] * mark.scale)
    np.testing.assert_allclose(shown, place, atol=1e-3)
    picture_of("scatter")
    native = hand.viewer.window._qt_viewer.canvas.native
    plotted.binding.go_to(liver)  # the point may lie in another slice
    hand.settle()
    for offset in (0, 20):
        place = liver + [0, offset, 0]
        QTest.mouseMove(native, QPoint(*(round(float(v)) for v in hand.pixel_of(place))))
        hand.wait_for(lambda place=place: plot.canvas.marked == points.point_at(place), 5)
    number = int(points.points[:, 1].argmin())
    QTest.mouseMove(plot.canvas, QPoint(*(round(float(v)) for v in plot.canvas.pixel_of(number))))
    hand.settle()
    mark = plotted.binding.layer("mark")
    shown = napari_world.world_from_napari(np.asarray(mark.data)[0] * mark.scale)
    np.testing.assert_allclose(shown, points.position_mm[plot.canvas.marked], atol=1e-3)
    assert "mm" in plot.about.text()


def lasso_right_half(hand, plot):
    width, height = plot.canvas.width(), plot.canvas.height()
    middle = width * 0.5
    corners = [(middle, 2), (width - 2, 2), (width - 2, height - 2), (middle, height - 2), (middle, 4)]
    press_in(hand, plot.canvas, corners)


def test_a_lasso_is_looked_into_and_becomes_labels(plotted, hand, picture_of):
    plot, session = plot_of(plotted), plotted.session
    assert not plot.to_labels.isEnabled()
    whole = session.scan.scatter
    lasso_right_half(hand, plot)
    hand.press(plot.inside)
    hand.wait_for(lambda: session.scan.scatter is not whole)
    inner = session.scan.scatter
    assert 0 < len(inner.points) < len(whole.points)
    hand.press(plot.all)
    hand.wait_for(lambda: session.scan.scatter is not inner)
    assert len(session.scan.scatter.points) == len(whole.points)
    assert session.scan.selection is None
    assert plotted.binding.layer("lasso") is None
    lasso_right_half(hand, plot)
    points = session.scan.scatter
    right = plot.canvas.view.pixels(points.points, (plot.canvas.width(), plot.canvas.height()))[:, 0]
    chosen = session.scan.selection[points.inside]
    assert (chosen == (right > plot.canvas.width() * 0.5)).mean() > 0.98
    layer = plotted.binding.layer("lasso")
    assert 0 < np.count_nonzero(layer.data) < layer.data.size
    picture_of("lasso")
    covered = np.asarray(layer.data) != 0
    hand.press(plot.to_labels)
    assert plotted.binding.layer("lasso") is None
    value = plotted.context.painting.selected
    assert plotted.context.painting.names()[value] == "lasso"
    np.testing.assert_array_equal(np.asarray(plotted.binding.layer("strokes").data) == value, covered)
    assert session.scan.strokes.now.names[value] == "lasso"


def test_points_have_the_colors_of_the_overlay_or_the_clusters_and_can_be_moved(plotted, hand):
    plot, session = plot_of(plotted), plotted.session
    number = int(session.scan.scatter.points[:, 0].argmax())

    def drawn():
        column, row = plot.canvas.pixel_of(number).astype(int)
        picture = plot.canvas.grab().toImage()
        return np.array(picture.pixelColor(column, row).getRgb()[:3])

    index = tuple(np.argwhere(session.scan.scatter.inside)[number])
    expected = 255 * session.pca.rgb.components[(slice(None), *index)].clip(0, 1)
    assert np.abs(drawn() - expected).max() < 2
    session.compute_clusters(4)
    hand.wait_for(lambda: session.scan.clusters is not None)
    choose(plot.colors, 1)
    value = session.scan.clusters.data
    at = np.rint(session.scan.clusters.grid.to_index(session.scan.scatter.position_mm[number]))
    wanted = QColor(palette.class_color(int(value[tuple(at.astype(int))])))
    assert np.abs(drawn() - wanted.getRgb()[:3]).max() < 2
    canvas = plot.canvas
    before = canvas.view
    pixel = np.array([50.0, 60.0])
    fixed = before.place(pixel, (canvas.width(), canvas.height()))
    zoomed = before.zoomed(2, pixel, (canvas.width(), canvas.height()))
    np.testing.assert_allclose(zoomed.place(pixel, (canvas.width(), canvas.height())), fixed)
    press_in(hand, canvas, [(50, 60), (70, 60), (90, 60)], Qt.MouseButton.RightButton)
    moved = canvas.view.place((90, 60), (canvas.width(), canvas.height()))
    np.testing.assert_allclose(moved, fixed, atol=1e-6)
    assert session.scan.selection is None  # no lasso
    QTest.mouseDClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(50, 60))
    np.testing.assert_allclose(canvas.view.center, before.center)


def test_points_land_where_they_belong():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(250_000, 2)).astype(np.float32)
    size = (300, 200)
    view = raster.view_of(points, size)
    picture = raster.rasterize(points, np.full(len(points), 0xFFFF0000, np.uint32), view, size)
    assert picture.shape == (200, 300)
    lone = int(points[:, 1].argmax())
    column, row = view.pixels(points[lone : lone + 1], size)[0].astype(int)
    assert picture[row, column] == 0xFFFF0000
    assert (picture[:2] != 0xFFFF0000).all()  # the margin
    covered = picture == 0xFFFF0000
    assert 0.1 < covered.mean() < 0.9


def test_a_failure_elsewhere_leaves_the_choices_alone(plotted, hand, told, monkeypatch):
    plot, panel, session = plot_of(plotted), plotted.colors_panel, plotted.session
    plot.method.setCurrentText("UMAP")
    panel.method.setCurrentText("UMAP")
    session.failed.emit(CoralBayError("disk is full"))
    assert (plot.method.currentText(), panel.method.currentText()) == ("UMAP", "UMAP")
    monkeypatch.setitem(sys.modules, "umap", None)
    plot.method.activated.emit(1)
    assert plot.about.text() == "Computing…"
    hand.wait_for(lambda: plot.method.currentText() == "PCA")  # this one is theirs
    assert "voxels" in plot.about.text()
    assert panel.method.currentText() == "UMAP"


def used_once(dock, hand):
    """Use the plot; only a weak reference is left, as a copy of a frame's variables may outlive a `del` in it."""
    plot = plot_of(dock)
    lasso_right_half(hand, plot)
    plot.canvas.hovered.emit(3)
    return weakref.ref(plot)


def test_the_plot_closes_and_opens_again(plotted, viewer, hand):
    panel, known = plotted.colors_panel, used_once(plotted, hand)
    assert plotted.binding.layer("mark") is not None
    links = len(plotted.context._links)
    hand.press(panel.scatter)
    hand.wait_for(lambda: plot_of(plotted) is None)
    hand.settle()
    gc.collect()
    assert known() is None  # nor are its points kept
    assert len(plotted.context._links) < links
    assert plotted.binding.layer("mark") is None
    assert plotted.session.scan.selection is None
    hand.press(panel.scatter)
    second = plot_of(plotted)
    assert len(plotted.context._links) == links
    assert len(second._places) == len(plotted.session.scan.scatter.points)
    second.parent().title.close_button.click()  # napari's own cross
    hand.wait_for(lambda: not panel.scatter.isChecked())
    before = plotted.session.scan.scatter
    plotted.session.compute_scatter()
    hand.wait_for(lambda: plotted.session.scan.scatter is not before)
    assert plot_of(plotted) is None


def test_deleting_the_scan_empties_the_plot(plotted, viewer, hand):
    plot = plot_of(plotted)
    lasso_right_half(hand, plot)
    plotted.session.compute_scatter()
    viewer.layers.remove(plotted.binding.layer("ct"))
    hand.wait_for(lambda: len(viewer.layers) == 0 and len(plot._places) == 0)
    hand.idle()  # the points that were under way do not come
    assert len(plot._places) == 0
    plot.canvas.lassoed.emit(np.array([[0, 0], [1, 0], [1, 1.0]]))
    QTest.mouseMove(plot.canvas, QPoint(20, 20))
    hand.settle()
    assert plotted.binding.layer("mark") is None
    assert plotted.binding.layer("lasso") is None


def test_deleting_layers_while_colors_are_computed(colored, viewer, hand):
    panel = colored.colors_panel
    choose(panel.components[0], 4)
    viewer.layers.remove(colored.binding.layer("pca"))
    hand.wait_for(lambda: colored.binding.layer("pca") is not None)
    assert colored.session.components[0] == 4
    np.testing.assert_array_equal(colored.binding.layer("pca").data[..., :3], colored.session.pca.shown)
    hand.press(panel.clusters)
    hand.wait_for(lambda: colored.binding.layer("clusters") is not None)
    removed = colored.binding.layer("clusters")
    viewer.layers.remove(removed)
    hand.press(panel.clusters)
    hand.wait_for(lambda: colored.binding.layer("clusters") is not None)
    assert colored.binding.layer("clusters") is not removed
    np.testing.assert_array_equal(colored.binding.layer("clusters").data, colored.session.scan.clusters.data)
