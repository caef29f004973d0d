"""Two scans in one window: each has its own slider and its own place."""

from dataclasses import replace

import numpy as np
import pytest

from coralbay_viz.display.napari_world import world_from_napari
from tests.support.scans import shift


@pytest.fixture
def apart(dock, hand, belly):
    """Two scans that lie 1.5 m apart on their scanners."""
    first = dock.session.add(belly)
    grid = replace(belly.grid, affine=belly.grid.affine + shift(0, 0, -1500))
    second = dock.session.add(replace(belly, grid=grid, name="other"))
    hand.settle()
    return first, second


def slider(viewer):
    return [(one.start, one.stop, one.step) for one in viewer.dims.range]


def test_each_scan_has_its_own_slider_and_place(apart, dock, viewer, hand, belly):
    first, second = apart
    spacing = belly.grid.spacing_mm
    assert viewer.dims.nsteps == belly.shape
    np.testing.assert_allclose([step for *_, step in slider(viewer)], spacing)
    place = np.array(second.cursor_mm)
    dock.session.activate(first)
    hand.settle()
    assert viewer.dims.nsteps == belly.shape
    assert belly.grid.contains(world_from_napari(viewer.dims.point))
    viewer.dims.set_current_step(0, 3)
    there = first.cursor_mm
    dock.session.activate(second)
    np.testing.assert_allclose(second.cursor_mm, place)  # not at the height of the first scan
    dock.session.activate(first)
    np.testing.assert_allclose(first.cursor_mm, there)
