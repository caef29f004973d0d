"""Affines: half-voxel terms, axis codes and the way there and back."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from coralbay_core.errors import InputError, OutsideVolumeError
from coralbay_core.spatial import Grid, LabelVolume, SourceGrid, Volume, geometry
from coralbay_core.spatial.volume import AXIS_CODES, labeled_voxels
from tests.support.strategies import affines, shapes

ALL_CODES = [
    "".join(signs[axis] for axis in order) for order in permutations(range(3)) for signs in product("RL", "AP", "SI")
]


def affine_of(codes: str) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        world = "RASLPI".index(code) % 3
        affine[world, axis] = 1 if code in "RAS" else -1
    return affine


@pytest.mark.parametrize("codes", ALL_CODES)
def test_axis_codes_of_all_48_orientations(codes):
    affine = affine_of(codes)
    assert "".join(geometry.axis_codes(affine)) == codes
    order, flips = geometry.reorient(affine, AXIS_CODES)
    assert geometry.axis_codes(geometry.reoriented_affine(affine, (3, 4, 5), order, flips)) == AXIS_CODES


@given(affines(), shapes)
def test_reorientation_moves_no_voxel(affine, shape):
    source = SourceGrid.of(shape, affine)
    labels = np.arange(np.prod(shape)).reshape(shape)
    turned = source.from_file(labels)
    assert geometry.axis_codes(source.grid.affine) == AXIS_CODES
    assert np.array_equal(source.to_file(turned), labels)
    # The number in a voxel names the file index it came from: both affines must put it at one place.
    index = np.array(np.unravel_index(turned.ravel(), shape)).T
    here = source.grid.to_world(np.array(list(np.ndindex(*turned.shape))))
    np.testing.assert_allclose(here, geometry.apply(affine, index), atol=1e-6)


@given(shapes)
def test_rgb_goes_back_with_its_channels_last(shape):
    source = SourceGrid.of(shape, affine_of("LPS"))
    rgb = np.arange(np.prod(shape) * 3).reshape(*source.grid.shape, 3)
    back = source.to_file(rgb)
    assert back.shape == (*shape, 3)
    for channel in range(3):
        assert np.array_equal(back[..., channel], source.to_file(rgb[..., channel]))


@given(affines(), shapes, st.lists(st.floats(-3, 9), min_size=3, max_size=3))
def test_world_and_index_are_inverse(affine, shape, index):
    grid = Grid(shape, affine)
    np.testing.assert_allclose(grid.to_index(grid.to_world(index)), index, atol=1e-6)


@given(affines(), st.sampled_from([2, 4, 8, 16, 32]))
def test_coarse_cells_are_centered_on_the_voxels_they_cover(affine, stride):
    corners = np.array(list(product((0, stride - 1), repeat=3)))
    coarse = geometry.coarsen(affine, stride)
    np.testing.assert_allclose(coarse[:3, 3], geometry.apply(affine, corners).mean(0), atol=1e-6)
    next_cell = geometry.apply(coarse, (1, 0, 0))
    np.testing.assert_allclose(next_cell, geometry.apply(affine, corners + (stride, 0, 0)).mean(0), atol=1e-6)


@given(affines(), st.integers(1, 4), st.integers(1, 4))
def test_coarsening_twice_is_coarsening_once(affine, a, b):
    np.testing.assert_allclose(
        geometry.coarsen(geometry.coarsen(affine, a), b), geometry.coarsen(affine, a * b), atol=1e-6
    )


@pytest.mark.parametrize("degrees", [0, 0.5, 0.999, 1.5, 20, 44])
def test_obliqueness_is_the_angle_of_rotation(degrees):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix() * (1, 2, 3)
    assert geometry.obliqueness_degrees(affine) == pytest.approx(degrees, abs=1e-5)
    assert geometry.is_axis_aligned(affine) == (degrees <= 1)


def test_unknown_axis_code_is_an_error():
    with pytest.raises(InputError, match="found X"):
        geometry.reorient(np.eye(4), ("S", "P", "X"))


def test_bounds_are_the_outer_edges():
    grid = Grid((4, 5, 6), geometry.reoriented_affine(np.diag([2.0, 3.0, 4.0, 1.0]), (6, 5, 4), (2, 1, 0), (0, 1, 1)))
    low, high = grid.bounds_mm
    np.testing.assert_allclose(low, (-1, -1.5, -2))
    np.testing.assert_allclose(high, (11, 13.5, 14))
    assert grid.contains((-0.99, 13.4, 13.9))
    assert not grid.contains((-1.01, 0, 0))


def test_a_point_outside_is_told_the_bounds():
    grid = Grid((4, 5, 6), affine_of("SPL"))
    with pytest.raises(
        OutsideVolumeError, match=r"found 40, 0, 0 vs expected mm within R -5\.5\.\.0\.5, A .*, S "
    ) as info:
        grid.require_inside([(0, 0, 0), (40, 0, 0)], where="--at")
    assert "\n" not in str(info.value)
    assert isinstance(info.value, IndexError)


def test_a_stage_grid_covers_all_voxels():
    grid = Grid((33, 32, 31), affine_of("SPL"))
    assert grid.coarsen(16).shape == (3, 2, 2)


@pytest.mark.parametrize(
    "affine", [np.full((4, 4), np.nan), np.diag([1.0, 1, 0, 1]), np.diag([1e200, 1e200, 1, 1]), np.eye(3)]
)
def test_unusable_affines(affine):
    with pytest.raises(InputError, match="unusable affine"):
        Grid((2, 2, 2), affine)


def test_arrays_must_fit_their_grid():
    grid = Grid((2, 3, 4), affine_of("SPL"))
    with pytest.raises(InputError, match="array and grid differ"):
        Volume(np.zeros((4, 3, 2), np.int16), grid)
    with pytest.raises(InputError, match="not integer"):
        LabelVolume(np.zeros((2, 3, 4)), grid)


@given(
    st.sampled_from([np.uint8, np.int16, np.int32, np.int64]),
    st.integers(0, 700),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_labelled_voxels_are_those_that_are_not_0(dtype, size, share, seed):
    rng = np.random.default_rng(seed)
    data = np.where(rng.random(size) < share**3, rng.integers(1, 100, size), 0).astype(dtype)
    np.testing.assert_array_equal(labeled_voxels(data), np.flatnonzero(data))


@given(affines(), shapes)
def test_cells_corners_and_the_middle_of_a_grid(affine, shape):
    grid = Grid(shape, affine)
    mask = np.random.default_rng(sum(shape)).random(shape) < 0.4
    expected = grid.to_world(np.argwhere(mask))
    np.testing.assert_array_equal(grid.cell_positions(mask), expected)
    np.testing.assert_array_equal(grid.cell_positions(np.flatnonzero(mask)), expected)
    assert grid.cell_positions(np.zeros(0, int)).shape == (0, 3)
    everywhere = grid.cell_positions(np.ones(shape, bool))
    ends = everywhere.reshape(*shape, 3)[:: shape[0] - 1, :: shape[1] - 1, :: shape[2] - 1]
    np.testing.assert_allclose(grid.corner_positions, ends.reshape(-1, 3), atol=1e-9)
    np.testing.assert_allclose(grid.center_mm, everywhere.mean(0), atol=1e-6)


@given(affines(), shapes, st.tuples(*[st.floats(-20, 20)] * 3))
def test_the_nearest_index_is_that_of_a_cell(affine, shape, index):
    grid = Grid(shape, affine)
    found = grid.nearest_index(grid.to_world(index))
    assert ((found >= 0) & (found < shape)).all()
    np.testing.assert_array_equal(np.abs(found - np.clip(index, 0, np.array(shape) - 1)) <= 0.5 + 1e-6, True)
    inside = np.stack([np.zeros(3), np.array(shape) - 1])
    np.testing.assert_array_equal(grid.nearest_index(grid.to_world(inside)), inside)


def test_a_ball_and_a_box_around_a_place():
    grid = Grid((20, 30, 40), geometry.translate((5, -7, 9)) @ affine_of("SPL") @ geometry.scale((3.0, 1.0, 2.0)))
    for place in (grid.center_mm, grid.to_world((0, 0, 0)), grid.to_world((-40, 3, 3))):
        found = np.zeros(grid.shape, bool)
        box, near = grid.ball(place, 8.0)
        found[box] = near
        away = np.linalg.norm(grid.cell_positions(np.ones(grid.shape, bool)) - place, axis=1)
        np.testing.assert_array_equal(found.reshape(-1), away <= 8.0)
    low, high = grid.box_around(grid.center_mm, 5.0)
    np.testing.assert_allclose([low, high], [grid.center_mm - 5, grid.center_mm + 5])
    np.testing.assert_allclose(grid.box_around(grid.center_mm, 1e4), grid.bounds_mm)


def test_the_box_of_another_grid_holds_the_cells_inside_it():
    grid = Grid((20, 30, 40), geometry.translate((3, -4, 5)) @ geometry.scale((2, 2, 2)))
    other = grid.crop((slice(4, 9), slice(0, 3), slice(35, 40)))
    box = grid.box_of(other)
    inside = other.contains(grid.to_world(np.stack(np.indices(grid.shape), -1)))
    assert inside.sum() == 5 * 3 * 5
    assert inside[box].sum() == inside.sum()
    assert np.prod(inside[box].shape) < np.prod(grid.shape) / 50
    np.testing.assert_allclose(other.to_world((1, 2, 3)), grid.to_world((5, 2, 38)))
    assert grid.box_of(grid) == (slice(0, 20), slice(0, 30), slice(0, 40))
    assert grid.box_of(Grid(grid.shape, geometry.translate((500, 0, 0)) @ grid.affine)) is None
