"""Layers that a user renames, deletes, adds or shows in 3-D."""

import gc
from dataclasses import replace

import numpy as np

from coralbay_viz.display import napari_world
from coralbay_viz.model import palette
from coralbay_viz.napari_ui import views
from tests.support.scans import cut


def test_layers_may_be_renamed_and_deleted_and_those_of_a_scan_go_with_it(explored, viewer, hand, liver):
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    layer = explored.binding.layer("heat")
    layer.name = "my favorite"
    hand.click(liver + [10, 0, 0])
    hand.wait_for(lambda: len(explored.session.heat.clicks.positive) == 2)
    assert explored.binding.layer("heat") is layer
    viewer.layers.remove(layer)
    hand.click(liver + [-10, 0, 0])
    hand.wait_for(lambda: len(explored.session.heat.clicks.positive) == 3)
    assert explored.binding.layer("heat") in viewer.layers
    viewer.layers.remove(explored.binding.layer("ct"))
    assert len(viewer.layers) == 0
    assert explored.session.scan is None
    assert not explored.feature_panel.compute.isEnabled()


def test_closing_the_widget_during_work_does_no_harm(dock, viewer, hand, phantom):
    dock.session.add(cut(phantom.volume, phantom.landmarks["kidney_left"], 130))
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    viewer.window.remove_dock_widget(dock)
    dock.close()
    dock.deleteLater()
    hand.wait_for(lambda: job.cancelled)
    viewer.dims.ndisplay = 3
    viewer.layers.clear()
    hand.wait_for(lambda: not job.running)
    hand.settle()
    assert job.state == "cancelled"
    assert len(viewer.layers) == 0


def test_a_layer_with_time_does_not_lead_astray(explored, viewer, hand, liver):
    hand.press(explored.scan_panel.orthogonal)
    viewer.add_image(np.zeros((3, 10, 10, 10)), name="time")
    hand.settle()
    explored.binding.go_to(liver)
    hand.settle()
    assert np.abs(explored.session.cursor_mm - liver).max() <= 1.6
    for plane in explored.planes.widget.planes:
        assert np.abs(napari_world.napari_from_world(liver) - plane.model.dims.point[-3:]).max() <= 1.6
    for number, (view, top, right) in enumerate(
        [(views.AXIAL, "A", "L"), (views.CORONAL, "S", "L"), (views.SAGITTAL, "S", "P"), (views.VOLUME, None, None)]
    ):
        hand.press(explored.scan_panel.views.button(number))
        assert views.current_view(viewer) == view
        if view == views.VOLUME:
            assert viewer.scene.camera.handedness == "left"
        else:
            letters = viewer.canvas.overlays
            assert (letters["coralbay_top_center"].text, letters["coralbay_middle_right"].text) == (top, right)


def test_window_presets_and_3d_keep_their_gray_scales_apart(dock, viewer, hand, belly):
    dock.session.add(belly)
    layer = dock.binding.layer("ct")
    dock.scan_panel.windows.textActivated.emit("Lung")
    assert tuple(layer.contrast_limits) == (-1350, 150)
    hand.press(dock.scan_panel.views.button(views.VIEWS.index(views.VOLUME)))
    assert layer.contrast_limits[1] >= 1000
    dock.scan_panel.windows.textActivated.emit("Bone")
    hand.press(dock.scan_panel.views.button(views.VIEWS.index(views.AXIAL)))
    assert tuple(layer.contrast_limits) == (-500, 1300)


def test_scans_that_come_and_go_in_3d_have_its_gray_scale(dock, viewer, hand, belly):
    views.show_view(viewer, views.VOLUME)
    for number in range(6):
        dock.session.add(replace(belly, name=f"scan {number}"))
        ct = dock.binding.layer("ct")
        assert tuple(ct.contrast_limits) == palette.projection_limits_hu(ct.data)
        viewer.layers.remove(ct)
        del ct
        gc.collect()
