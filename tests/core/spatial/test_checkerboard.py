"""Checkerboards of two arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, geometry
from coralbay_core.spatial.checkerboard import checkerboard


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.floats(0.5, 4)] * 3), st.floats(0.1, 30))
def test_neighboring_squares_are_of_different_arrays(shape, spacing, square_mm):
    grid = Grid(shape, geometry.scale(spacing))
    made = checkerboard(np.zeros(shape), np.ones(shape), grid, square_mm)
    size = np.maximum(1, np.rint(square_mm / grid.spacing_mm)).astype(int)
    assert made[0, 0, 0] == 0
    for axis in range(3):
        ahead = np.roll(made, -int(size[axis]), axis)
        inner = tuple(slice(0, max(0, n - size[axis]) if i == axis else n) for i, n in enumerate(shape))
        assert (made[inner] != ahead[inner]).all()


def test_what_makes_no_checkerboard():
    grid = Grid((2, 2, 2), np.eye(4))
    one = np.zeros((2, 2, 2))
    for size in (0, -1, np.nan):
        with pytest.raises(InputError, match="no size of squares"):
            checkerboard(one, one, grid, size)
    with pytest.raises(InputError, match="do not fit"):
        checkerboard(one, one[:1], grid, 5)
