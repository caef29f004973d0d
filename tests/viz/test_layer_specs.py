"""From CoralBay's world to a viewer's, and what layers show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.spatial import Grid, LabelVolume, Volume, geometry
from coralbay_viz.display import layer_specs, napari_world
from coralbay_viz.model import grids, palette

SPL = np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]])
positions = st.tuples(*[st.floats(-1e3, 1e3)] * 3)


def grid_of(shape=(20, 30, 40), spacing=(5.0, 0.8, 0.8), turn_degrees=0.0) -> Grid:
    """An S, P, L grid, turned about the patient's long axis and tilted by the same angle."""
    angle = np.radians(turn_degrees)
    c, s = np.cos(angle), np.sin(angle)
    about_z, about_x = np.eye(4), np.eye(4)
    about_z[:2, :2] = [[c, -s], [s, c]]
    about_x[1:3, 1:3] = [[c, -s], [s, c]]
    return Grid(shape, geometry.translate([7, -9, 30]) @ about_x @ about_z @ SPL @ geometry.scale(spacing))


@given(positions)
def test_positions_survive_the_way_to_napari_and_back(position):
    np.testing.assert_allclose(
        napari_world.world_from_napari(napari_world.napari_from_world(position)), position, atol=1e-9
    )


def test_napari_axes_are_superior_posterior_left():
    right, anterior, superior = np.eye(3)
    assert napari_world.napari_from_world(superior).tolist() == [1, 0, 0]
    assert napari_world.napari_from_world(-anterior).tolist() == [0, 1, 0]
    assert napari_world.napari_from_world(-right).tolist() == [0, 0, 1]


def test_affine_of_a_straight_scan_is_diagonal():
    affine = napari_world.napari_affine(grid_of())
    np.testing.assert_allclose(affine[:3, :3], np.diag([5, 0.8, 0.8]), atol=1e-12)
    np.testing.assert_allclose(affine, napari_world.J @ grid_of().affine, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_rounding_noise_is_straightened(seed):
    """napari refuses to slice out of plane for an off-diagonal of 1e-8, and files hold more than that."""
    grid = grid_of()
    noise = np.zeros((4, 4))
    noise[:3, :3] = np.random.default_rng(seed).uniform(-1e-6, 1e-6, (3, 3))
    noisy = Grid(grid.shape, grid.affine + noise)
    affine = napari_world.napari_affine(noisy)
    assert np.count_nonzero(affine[:3, :3]) == 3
    corner = np.array(grid.shape) - 1
    np.testing.assert_allclose(
        geometry.apply(affine, corner), napari_world.napari_from_world(noisy.to_world(corner)), atol=1e-3
    )


@pytest.mark.parametrize("degrees", [0.7, 15.0, 40.0])
def test_oblique_grids_are_shown_through_a_straight_box_around_them(degrees):
    grid = grid_of(turn_degrees=degrees)
    shown = grids.viewing_grid(grid)
    assert not grids.is_sliceable(grid)
    assert grids.is_sliceable(shown)
    assert geometry.axis_codes(shown.affine) == ("S", "P", "L")
    ends = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape], indexing="ij"), -1).reshape(-1, 3)
    assert shown.contains(grid.to_world(ends)).all()


def test_straight_scans_are_shown_as_they_are():
    volume = Volume(np.zeros((20, 30, 40), np.int16), grid_of())
    assert grids.viewing_volume(volume) is volume


def test_an_oblique_scan_keeps_its_affine_and_its_places():
    grid = grid_of((40, 40, 40), (2.0, 2.0, 2.0), 20)
    data = np.full(grid.shape, -1000, np.int16)
    data[24:29, 9:14, 29:34] = 1000
    volume = Volume(data, grid, name="oblique")
    spec = layer_specs.ct_spec(volume)
    assert spec.metadata["coralbay"] is volume
    bright = np.argwhere(spec.data > 0).mean(0)
    found = napari_world.world_from_napari(geometry.apply(spec.affine, bright))
    np.testing.assert_allclose(found, grid.to_world([26, 11, 31]), atol=1.0)


@given(st.floats(0.5, 6), st.floats(0.5, 6))
def test_overlay_grids_share_the_low_edges_and_cover_the_scan(slice_mm, pixel_mm):
    grid = grid_of(spacing=(slice_mm, pixel_mm, pixel_mm))
    overlay = grids.overlay_grid(grid)
    np.testing.assert_allclose(overlay.to_world([-0.5] * 3), grid.to_world([-0.5] * 3), atol=1e-9)
    assert overlay.contains(grid.to_world(np.array(grid.shape) - 0.5 - 1e-5))
    assert (overlay.spacing_mm >= 3 - 1e-9).all()
    assert (overlay.spacing_mm >= grid.spacing_mm - 1e-9).all()  # or the viewer would step between the scan's slices


def test_heat_is_clear_below_the_threshold_and_seen_above():
    table = palette.heat_colors()
    assert table[0, 3] == 0
    assert (table[2:, 3] > 0.4).all()
    brightness = table[2:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) > 0).all()


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_heat_limits_always_rise(threshold, highest):
    low, high = layer_specs.heat_limits(threshold, highest)
    assert low == threshold
    assert high > low


def test_rgb_is_clear_where_there_is_no_body():
    data = np.zeros((4, 5, 6, 3), np.uint8)
    data[1:3, 1:3, 1:3] = (10, 0, 200)
    spec = layer_specs.rgb_spec(data, grid_of((4, 5, 6)), "pca")
    assert spec.is_rgb
    assert (spec.data[..., 3] > 0).sum() == 8


def test_classes_keep_their_colors_and_background_is_clear():
    data = np.zeros((3, 3, 3), np.uint8)
    data[0], data[1] = 1, 7
    labels = LabelVolume(data, grid_of((3, 3, 3)), names={1: "background", 7: "liver"})
    shown = layer_specs.labels_spec(labels).colors
    assert shown[1] == shown[0] == "#00000000"
    assert shown[7] == palette.class_color(7)


def test_strokes_have_a_color_for_every_class_and_gray_for_the_background():
    labels = LabelVolume(np.zeros((3, 3, 3), np.uint8), grid_of((3, 3, 3)), names={1: "background", 2: "liver"})
    shown = layer_specs.labels_spec(labels, "strokes").colors
    assert shown[0] == layer_specs.CLEAR
    assert shown[1] == palette.UNDECIDED
    assert all(shown[value] == palette.class_color(value) for value in range(2, 256))


def test_planes_hold_the_place_and_lie_on_the_grid():
    grid = grid_of((8, 9, 10))
    place = grid.to_world((2.3, 4.2, 6.4))
    for axis, plane in enumerate(grids.planes_at(grid, place)):
        assert plane.shape[axis] == 1
        index = grid.to_index(plane.to_world((0, 0, 0)))
        expected = np.zeros(3)
        expected[axis] = (2, 4, 6)[axis]
        np.testing.assert_allclose(index, expected, atol=1e-9)
    far = grids.planes_at(grid, place + 1000)
    assert all(grid.contains(plane.to_world((0, 0, 0))) for plane in far)


def test_projection_limits_follow_the_densest_bone():
    body = np.full((30, 30, 30), 40, np.int16)
    skull = body.copy()
    skull[:9] = 1600
    assert palette.projection_limits_hu(body)[1] == 1000
    assert palette.projection_limits_hu(skull)[1] == 2000
    assert palette.projection_limits_hu(np.full((3, 3, 3), -1000, np.int16))[1] == 1000


@pytest.mark.parametrize(("value", "dtype"), [(1000, np.int16), (40_000, np.float32), (2e6, np.float32)])
def test_large_values_of_an_oblique_scan_are_shown_as_they_are(value, dtype):
    grid = grid_of((20, 20, 20), (2.0, 2.0, 2.0), 20)
    shown = grids.viewing_volume(Volume(np.full(grid.shape, value, np.float32), grid))
    assert shown.data.dtype == dtype
    assert shown.data.max() == value
