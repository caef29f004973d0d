"""Slices, crosshair and the layers of a scan stand at one place: that of the patient."""

import numpy as np
from scipy.spatial.transform import Rotation

from coralbay_core.spatial import Grid, Volume
from coralbay_viz.display.napari_world import world_from_napari
from coralbay_viz.napari_ui import views


def turned_volume() -> Volume:
    """A block whose axes no axis of the world follows."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xz", (0.31, 0.17)).as_matrix() @ np.array(
        [[0, 0, -1.1], [0, -1.7, 0], [2.3, 0, 0]]
    )
    affine[:3, 3] = 83.1, -127.7, -401.9
    data = np.random.default_rng(0).integers(-1000, 400, (12, 14, 20)).astype(np.int16)
    return Volume(data, Grid(data.shape, affine), name="turned")


def test_a_cursor_set_twice_is_set_once(dock, viewer):
    session = dock.session
    session.add(turned_volume())
    grid, told = session.volume.grid, []
    session.cursor_changed.connect(told.append)
    index = np.random.default_rng(0).uniform(-0.2, 1.2, (15, 3)) * grid.shape
    for position in grid.to_world(index):
        session.cursor_mm = position
        kept, point = session.cursor_mm, tuple(viewer.dims.point)
        shown = world_from_napari(views.place_of(viewer))
        assert np.abs(shown - kept).max() <= grid.spacing_mm.max()
        told.clear()
        session.cursor_mm = position
        viewer.dims.point = point
        assert (session.cursor_mm, tuple(viewer.dims.point), told) == (kept, point, [])


def assert_answers_where_it_shows(dock, viewer, hand, position):
    """A real click must reach the session at the place whose voxel is drawn under the pointer."""
    dock.tools.mode = "look"
    dock.binding.go_to(position)
    hand.settle()
    hand.click(position)
    shown = dock.binding.layer("ct").get_value(views.place_of(viewer), world=True)
    grid = dock.session.volume.grid
    assert shown == dock.session.volume.data[tuple(grid.nearest_index(dock.session.cursor_mm))]
    np.testing.assert_allclose(dock.session.cursor_mm, position, atol=1.6)


MOVES = {
    "affine": lambda layer: setattr(layer, "affine", _shifted(layer)),
    "scale": lambda layer: setattr(layer, "scale", (2, 1, 0.5)),
    "translate": lambda layer: setattr(layer, "translate", (0, 60, 0)),
    "rotate": lambda layer: setattr(layer, "rotate", (0, 0, 30)),
    "shear": lambda layer: setattr(layer, "shear", (0.2, 0, 0)),
    "units": lambda layer: setattr(layer, "units", ("cm",) * 3),
}


def _shifted(layer):
    moved = np.array(layer.affine.affine_matrix)
    moved[2, 3] += 60
    return moved


def test_layers_of_a_scan_that_are_moved_are_put_back(explored, viewer, hand, told, liver):
    explored.session.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    layers = explored.binding.layers_of(explored.session.scan)
    assert len(layers) >= 4
    for layer in layers:
        before = layer.extent.world.copy(), np.array(layer.affine.affine_matrix)
        for move in MOVES.values():
            move(layer)
            np.testing.assert_allclose(layer.extent.world, before[0], atol=1e-6)
            np.testing.assert_allclose(layer.affine.affine_matrix, before[1], atol=1e-9)
            np.testing.assert_allclose(explored.session.cursor_mm, liver, atol=1.6)  # the slices stay, too
    assert sum("is back in its place" in line for line in told) == 1

    # As a user does it: napari's transform mode and a mouse
    told.clear()
    explored._said_at = -100.0
    ct = explored.binding.layer("ct")
    viewer.layers.selection.active = ct
    before = ct.extent.world.copy()
    controls = viewer.window._qt_viewer.controls.widgets[ct]
    hand.press(controls.transform_button)
    assert ct.mode == "pan_zoom"
    assert controls.panzoom_button.isChecked()
    hand.drag(liver, liver + [25, 20, 0])
    np.testing.assert_allclose(ct.extent.world, before, atol=1e-6)
    assert sum("is back in its place" in line for line in told) == 1
    assert_answers_where_it_shows(explored, viewer, hand, liver + [9, 6, 0])

    own = viewer.add_labels(np.ones((4, 5, 6), np.uint8))
    own.translate = (0, 60, 0)
    assert tuple(own.translate) == (0, 60, 0)


def test_a_scan_moved_before_the_dock_opens_is_put_back(viewer, hand, belly, told):
    from coralbay_viz.display.layer_specs import ct_spec
    from coralbay_viz.napari_ui.layer_data import layer_data

    layer = viewer._add_layer_from_data(*layer_data(ct_spec(belly)))[0]
    before = layer.extent.world.copy()
    layer.translate = (0, 60, 0)
    _, widget = viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
    hand.settle()
    np.testing.assert_allclose(layer.extent.world, before, atol=1e-6)
    assert any("is back in its place" in line for line in told)
    widget.session.close()


def test_layers_in_other_units_do_not_change_where_places_are(explored, viewer, hand, liver):
    micrometers = {"scale": (1000,) * 3, "units": ("um",) * 3}
    layer = viewer.add_image(np.zeros((8, 8, 8)), name="microscope", visible=False, **micrometers)
    hand.settle()
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), (1, 2, 3))  # in mm
    np.testing.assert_allclose(explored.session.cursor_mm, liver, atol=1.6)
    viewer.layers.units = ("cm",) * 3
    hand.settle()
    assert_answers_where_it_shows(explored, viewer, hand, liver + [9, 6, 0])
