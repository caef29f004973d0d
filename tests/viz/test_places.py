"""Places inside a grid: setting one twice is setting it once, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid
from coralbay_viz.model.places import nearest_inside
from tests.support.strategies import affines, shapes

fractions = st.tuples(*[st.floats(-0.7, 1.7)] * 3)
margins = st.sampled_from((0.0, 0.5))


@given(shapes, affines(), fractions, margins)
def test_setting_a_place_twice_is_setting_it_once(shape, affine, fraction, margin):
    grid = Grid(shape, affine)
    once = nearest_inside(grid, grid.to_world(np.multiply(fraction, shape)), margin)
    assert nearest_inside(grid, once, margin) == once
    index = grid.to_index(once)
    assert (index >= -margin - 1e-5).all()
    assert (index <= np.array(shape) - 1 + margin + 1e-5).all()


@pytest.mark.parametrize("place", [(np.nan, 0, 0), (0, np.inf, 0), (0, 0), "here", None, (1e308, -1e308, 1e308)])
def test_what_is_no_place_is_refused(place):
    affine = np.diag([1e-3, 1e-3, 1e-3, 1.0])
    with pytest.raises(InputError, match="not a position"):
        nearest_inside(Grid((4, 4, 4), affine), place)
