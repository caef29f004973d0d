"""Ray casting: a click in a 3-D view selects what the projection draws there."""

import numpy as np
import pytest

from coralbay_core.spatial import Grid, Volume
from coralbay_viz.display.raycast import brightest_drawn, place_on_ray
from coralbay_viz.model.scan import Scan

WINDOW = (-160.0, 240.0)
EVERYWHERE = np.ones(6, bool)


def test_bone_behind_fat_and_muscle_is_drawn():
    assert brightest_drawn(np.array([-100.0, 60, 60, 700, 60, -100]), EVERYWHERE, WINDOW, 1.0) == 3


def test_of_two_alike_the_nearer_one_is_drawn():
    assert brightest_drawn(np.array([-100.0, 700, 60, 60, 700, -100]), EVERYWHERE, WINDOW, 1.0) == 1


def test_what_lies_far_behind_dense_tissue_is_dimmed():
    near, far = [200.0] * 40, [230.0]
    chosen = brightest_drawn(np.array(near + far), np.ones(41, bool), WINDOW, 1.0)
    assert chosen < 40


def test_the_table_is_not_selected():
    hu = np.array([500.0, -1000, 40, 50, 40, -1000])
    assert brightest_drawn(hu, np.array([False, False, True, True, True, False]), WINDOW, 1.0) == 3
    assert brightest_drawn(hu, np.zeros(6, bool), WINDOW, 1.0) is None


@pytest.mark.parametrize("direction", [(0, 1, 0), (0, -2, 0)])
def test_a_ray_from_either_side_selects_the_bone(direction):
    hu = np.full((9, 9, 9), -1000, np.int16)
    hu[2:7, 2:7, 2:7] = 40
    hu[4, 4, 4] = 600
    scan = Scan(Volume(hu, Grid(hu.shape, np.diag([2.0, 2.0, 2.0, 1.0]))))
    origin = (8.0, 8.0 - 50 * np.sign(direction[1]), 8.0)
    np.testing.assert_allclose(place_on_ray(scan, None, WINDOW, origin, direction), (8, 8, 8))
    assert place_on_ray(scan, None, WINDOW, (0.0, -50.0, 0.0), (0, 1, 0)) is None  # through air alone
    assert place_on_ray(scan, None, WINDOW, (500.0, -50.0, 0.0), (0, 1, 0)) is None
