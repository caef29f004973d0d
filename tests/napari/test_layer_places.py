"""Slices, crosshair and the layers of a scan stand at one place: that of the patient."""

import numpy as np
import pytest
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


@pytest.mark.parametrize("turned", [False, True])
def test_a_cursor_set_twice_is_set_once(dock, viewer, hand, belly, turned):
    session = dock.session
    session.add(turned_volume() if turned else belly)
    grid, told = session.volume.grid, []
    session.cursor_changed.connect(told.append)
    index = np.random.default_rng(0).uniform(-0.2, 1.2, (25, 3)) * grid.shape
    for position in grid.to_world(index):
        session.cursor_mm = position
        kept, point = session.cursor_mm, tuple(viewer.dims.point)
        shown = world_from_napari(views.place_of(viewer))
        assert np.abs(shown - kept).max() <= grid.spacing_mm.max()
        told.clear()
        session.cursor_mm = position
        viewer.dims.point = point
        assert (session.cursor_mm, tuple(viewer.dims.point), told) == (kept, point, [])
