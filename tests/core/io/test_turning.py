"""A scan that is turned to S, P, L: no voxel changes, and nothing is copied without need."""

import itertools

import numpy as np
import pytest

from coralbay_core.io.checks import contiguous


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4"])
def test_turning_a_scan_changes_no_voxel(order, flips, dtype):
    made = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(dtype)
    turned = made.transpose(order)[tuple(slice(None, None, step) for step in flips)]
    expected = turned.copy()
    found = contiguous(turned)
    assert found.flags.c_contiguous
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


def test_a_scan_that_is_only_flipped_is_not_copied():
    """A copy of a scan of 3 GB needs 3 GB."""
    made = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    assert np.shares_memory(contiguous(made[::-1, :, ::-1]), made)
    made.flags.writeable = False
    assert not np.shares_memory(contiguous(made[::-1, :, ::-1]), made)
