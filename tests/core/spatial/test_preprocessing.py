"""The model grid, resampling both ways, the HU window and the body mask."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume
from coralbay_core.spatial import Grid, geometry
from coralbay_core.spatial.body_mask import body_mask
from coralbay_core.spatial.preprocessing import model_grid, to_unit
from coralbay_core.spatial.resampling import resample, resample_blocks
from coralbay_core.spatial.volume import AXIS_CODES
from tests.support.strategies import affines, shapes

SPL = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def spl_grid(shape, spacing, origin=(0.0, 0.0, 0.0)):
    return Grid(shape, geometry.translate(origin) @ SPL @ geometry.scale(spacing))


def tilted(shape, spacing, degrees):
    affine = SPL @ geometry.scale(spacing)
    affine[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    return Grid(shape, affine)


spacings = st.tuples(*[st.floats(0.5, 6)] * 3)


def linear_field(grid, slope=(3.0, -2.0, 1.5)):
    """HU that grow linearly in mm: linear interpolation must reproduce them anywhere inside."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    return (grid.to_world(index) @ slope).astype(np.float32)


# --- model grid ---------------------------------------------------------------------------------------------------


@given(shapes, spacings, st.floats(0.75, 4))
def test_model_grid_follows_the_rule(shape, spacing, model_mm):
    grid = spl_grid(shape, spacing, (30, -40, 500))
    model = model_grid(grid, model_mm)
    ratio = model_mm / np.asarray(spacing)
    expected = grid.affine @ geometry.translate((ratio - 1) / 2) @ geometry.scale(ratio)
    np.testing.assert_allclose(model.affine, expected, atol=1e-9)
    # Low edges are shared, and the high end is covered but for a sliver.
    np.testing.assert_allclose(model.to_world((-0.5,) * 3), grid.to_world((-0.5,) * 3), atol=1e-6)
    covered = np.asarray(model.shape) * model_mm
    extent = np.asarray(shape) * spacing
    assert np.all(covered >= extent - 0.011 * model_mm)
    assert np.all(covered < extent + model_mm)


def test_model_grid_of_matching_spacing_is_the_grid():
    grid = spl_grid((7, 6, 5), (1.5, 1.5, 1.5), (3, 4, 5))
    assert model_grid(grid) == grid


@given(affines(), shapes, st.floats(0.75, 4))
def test_oblique_volumes_get_a_box_along_the_world(affine, shape, model_mm):
    assume(geometry.obliqueness_degrees(affine) > 1.01)
    grid = Grid(shape, affine)
    model = model_grid(grid, model_mm)
    np.testing.assert_allclose(model.affine[:3, :3], SPL[:3, :3] * model_mm, atol=1e-9)
    assert geometry.axis_codes(model.affine) == AXIS_CODES
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.asarray(shape) - 0.5
    index = model.to_index(grid.to_world(corners))
    np.testing.assert_allclose(index.min(0), -0.5, atol=1e-6)
    assert np.all(index.max(0) <= np.asarray(model.shape) - 0.5 + 0.011)


def test_a_slight_rotation_keeps_the_axes_of_the_volume():
    grid = tilted((20, 20, 20), (1, 1, 1), 0.9)
    assert geometry.obliqueness_degrees(model_grid(grid).affine) == pytest.approx(0.9)
    assert geometry.obliqueness_degrees(model_grid(tilted((20, 20, 20), (1, 1, 1), 1.1)).affine) == pytest.approx(0)


# --- resampling ---------------------------------------------------------------------------------------------------


@given(shapes, spacings, st.floats(0.75, 4))
def test_linear_fields_survive_inside(shape, spacing, model_mm):
    grid = spl_grid(shape, spacing, (30, -40, 500))
    model = model_grid(grid, model_mm)
    field = resample(linear_field(grid), grid, model)
    position = np.stack(np.meshgrid(*map(np.arange, model.shape), indexing="ij"), -1)
    source = grid.to_index(model.to_world(position))
    # Smoothing and clamping bend the field near the edges only.
    reach = np.ceil(4 * np.maximum(0, (model_mm / np.asarray(spacing) - 1) / 2))
    inside = np.all((source >= reach) & (source <= np.asarray(shape) - 1 - reach), axis=-1)
    np.testing.assert_allclose(field[inside], linear_field(model)[inside], atol=0.02)


def test_resampling_matches_scipy():
    source = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)
    grid, fine = spl_grid(source.shape, (3, 2, 2)), spl_grid((20, 15, 14), (1.213, 1.317, 1.419), (0.31, -0.73, 1.17))
    matrix = grid.index_from_world @ fine.affine
    expected = ndimage.affine_transform(source, matrix[:3, :3], matrix[:3, 3], fine.shape, order=1, mode="nearest")
    np.testing.assert_allclose(resample(source, grid, fine), expected, atol=1e-5)
    nearest = ndimage.affine_transform(source, matrix[:3, :3], matrix[:3, 3], fine.shape, order=0, mode="nearest")
    assert np.array_equal(resample(source, grid, fine, order=0), nearest)


def test_coarsening_filters_what_the_grid_cannot_hold():
    grid, coarse = spl_grid((40, 40, 40), (1, 1, 1)), spl_grid((10, 10, 10), (4, 4, 4))
    checkers = np.indices(grid.shape).sum(0) % 2 * 2000 - 1000
    values = resample(checkers.astype(np.int16), grid, coarse)
    assert np.abs(values[2:-2, 2:-2, 2:-2]).max() < 20


@pytest.mark.parametrize("value", [-1000, 37])
def test_constants_stay_constant(value):
    grid = spl_grid((7, 8, 9), (2.5, 0.7, 0.7))
    data = np.full(grid.shape, value, np.int16)
    for target in (model_grid(grid), spl_grid((20, 5, 5), (9, 9, 9)), tilted((5, 6, 7), (2, 2, 2), 30)):
        np.testing.assert_allclose(resample(data, grid, target), value, rtol=1e-5)


@given(shapes, st.sampled_from([1, 2, 3]))
def test_labels_come_back_from_a_finer_grid(shape, factor):
    """Up by a whole factor and down again, every voxel keeps its label and its type."""
    grid = spl_grid(shape, (3, 3, 3))
    labels = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    fine = model_grid(grid, 3 / factor)
    up = resample(labels, grid, fine, order=0)
    assert up.dtype == labels.dtype
    assert np.array_equal(resample(up, fine, grid, order=0), labels)


def test_a_marked_voxel_stays_where_it_was():
    """The classic fault is a shift by half a voxel: the center of mass in mm must not move."""
    grid = spl_grid((40, 60, 60), (2.5, 0.8, 0.8), (17, 23, -400))
    data = np.zeros(grid.shape, np.float32)
    data[18, 25, 33] = 1000
    data = ndimage.gaussian_filter(data, (2, 4, 4))
    there = model_grid(grid)
    back = resample(resample(data, grid, there), there, grid)
    centers = []
    for values, on in ((data, grid), (resample(data, grid, there), there), (back, grid)):
        centers.append(on.to_world(ndimage.center_of_mass(values)))
    np.testing.assert_allclose(centers[1], centers[0], atol=0.02)
    np.testing.assert_allclose(centers[2], centers[0], atol=0.02)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("degrees", [0, 25])
def test_blocks_are_the_whole(order, degrees):
    data = np.random.default_rng(0).integers(-1000, 1000, (12, 10, 9)).astype(np.int16)
    grid = spl_grid(data.shape, (2, 1, 1))
    target = tilted((17, 11, 12), (1.5, 1.5, 1.5), degrees)
    whole = resample(data, grid, target, order=order)
    parts = list(resample_blocks(data, grid, target, order=order, block_voxels=300))
    assert len(parts) > 3
    assert [p.start for p, _ in parts] == [0, *[p.stop for p, _ in parts[:-1]]]
    np.testing.assert_allclose(np.concatenate([block for _, block in parts]), whole, atol=1e-3)
    assert whole.dtype == (np.int16 if order == 0 else np.float32)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("degrees", [0, 20])
def test_limits_clip_before_resampling(degrees, dtype):
    grid = spl_grid((24, 22, 20), (1, 1, 1))
    data = np.random.default_rng(0).integers(-1000, 1000, grid.shape).astype(dtype)
    before = data.copy()
    target = tilted((6, 5, 7), (3, 3, 3), degrees)
    found = resample(data, grid, target, limits=(-300, 400))
    np.testing.assert_allclose(found, resample(np.clip(data, -300, 400), grid, target), atol=1e-3)
    assert np.abs(found - resample(data, grid, target)).max() > 10
    np.testing.assert_array_equal(data, before)


def test_a_part_of_the_target_has_the_values_of_the_whole():
    grid = spl_grid((40, 50, 60), (1, 1, 1))
    data = np.random.default_rng(0).normal(0, 500, grid.shape).astype(np.float32)
    target, box = model_grid(grid, 4), (slice(3, 9), slice(5, 7), slice(0, 12))
    whole = resample(data, grid, target)
    np.testing.assert_allclose(resample(data, grid, target.crop(box)), whole[box], atol=1e-2)


def test_out_takes_the_result(tmp_path):
    grid = spl_grid((6, 7, 8), (3, 3, 3))
    out = np.lib.format.open_memmap(tmp_path / "up.npy", "w+", np.float32, model_grid(grid).shape)
    data = linear_field(grid)
    assert resample(data, grid, model_grid(grid), out=out) is out
    np.testing.assert_array_equal(out, resample(data, grid, model_grid(grid)))


@pytest.mark.parametrize("degrees", [0, 30])
def test_outside_is_filled(degrees):
    grid = spl_grid((6, 6, 6), (2, 2, 2))
    target = Grid(
        (20, 20, 20), geometry.translate((14.3, 14.2, -14.1)) @ tilted((20, 20, 20), (2, 2, 2), degrees).affine
    )
    data = np.full(grid.shape, 100, np.int16)
    filled = resample(data, grid, target, fill=-1000)
    index = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)
    inside = grid.contains(target.to_world(index))
    assert 0 < inside.mean() < 0.2
    np.testing.assert_allclose(filled[inside], 100, rtol=1e-5)
    assert np.all(filled[~inside] == -1000)


def test_oblique_volumes_show_air_around_them():
    grid = tilted((30, 30, 30), (1.5, 1.5, 1.5), 20)
    data = np.full(grid.shape, 50, np.int16)
    data[0, 0, 0] = -1000
    model = model_grid(grid)
    view = resample(data, grid, model)
    assert view[0, 0, 0] == view[-1, -1, -1] == -1000
    assert view[tuple(n // 2 for n in model.shape)] == pytest.approx(50)


def test_oblique_positions_are_true():
    grid = tilted((40, 40, 40), (1.5, 1.2, 1.2), 17)
    blob = np.zeros(grid.shape, np.float32)
    blob[10, 25, 30] = 1
    blob = ndimage.gaussian_filter(blob, 2)
    model = model_grid(grid)
    center = model.to_world(ndimage.center_of_mass(resample(blob, grid, model, fill=0)))
    np.testing.assert_allclose(center, grid.to_world((10, 25, 30)), atol=0.05)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16])
def test_types_that_scipy_does_not_know(dtype):
    grid = spl_grid((8, 8, 8), (2, 2, 2))
    data = np.random.default_rng(0).integers(0, 2, grid.shape).astype(dtype)
    for target in (model_grid(grid), tilted((9, 9, 9), (2, 2, 2), 30)):
        assert resample(data, grid, target, order=0).dtype == dtype
        assert resample(data, grid, target).dtype == np.float32


@pytest.mark.parametrize(("data", "order"), [(np.zeros((3, 3, 3)), 1), (np.zeros((4, 4, 4)), 3)])
def test_wrong_requests(data, order):
    grid = spl_grid((4, 4, 4), (1, 1, 1))
    with pytest.raises(InputError):
        resample(data, grid, grid, order=order)


def test_a_resampled_scan_keeps_its_labels_in_place(ct_pack):
    """Down to the model grid and back, HU inside organs of a real scan stay those of the organs."""
    folder = ct_pack / "labelled" / "totalseg_example"
    volume = load_volume(folder / "ct.nii.gz")
    labels = load_labels(folder / "labels.nii.gz", like=volume)
    model = model_grid(volume.grid, 3.0)
    hu = resample(volume.data, volume.grid, model)
    coarse = resample(labels.data, labels.grid, model, order=0)
    for value in (5, 21, 29):  # liver, bladder, a vertebra
        assert np.median(hu[coarse == value]) == pytest.approx(np.median(volume.data[labels.data == value]), abs=12)


# --- window -------------------------------------------------------------------------------------------------------


def test_window_becomes_zero_to_one():
    unit = to_unit(np.array([-2000, -1000, 0, 1000, 3000], np.int16), (-1000, 1000))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, [0, 0, 0.5, 1, 1])
    with pytest.raises(InputError, match="empty HU window"):
        to_unit(np.zeros(3), (400, -160))


# --- body ---------------------------------------------------------------------------------------------------------


def elliptic_body(spacing=(3.0, 1.5, 1.5)):
    """An ellipse of tissue with two lungs and a curved table below it, in air."""
    z, y, x = np.meshgrid(*(np.arange(n) * mm for n, mm in zip((30, 160, 220), spacing, strict=True)), indexing="ij")
    hu = np.full(z.shape, -1000, np.float32)
    body = ((x - 165) / 140) ** 2 + ((y - 100) / 85) ** 2 < 1
    lungs = (((np.abs(x - 165) - 65) / 40) ** 2 + ((y - 95) / 50) ** 2 < 1) & (z > 20)
    table = np.abs(y - 215 + 2e-4 * (x - 165) ** 2) < 2
    hu[table] = 100
    hu[body] = 40
    hu[lungs] = -850
    noise = np.random.default_rng(0).normal(0, 20, hu.shape)
    return (hu + noise).astype(np.int16), body, table, spacing


def test_body_includes_lungs_and_excludes_the_table():
    hu, body, table, spacing = elliptic_body()
    mask = body_mask(hu, spacing)
    assert mask.shape == hu.shape
    assert mask.dtype == bool
    assert mask[body].mean() > 0.99
    assert mask[table].mean() < 0.01
    assert mask[~body].mean() < 0.02


def test_a_crop_inside_a_lung_is_body():
    hu, _, _, spacing = elliptic_body()
    crop = hu[12:28, 40:90, 110:170]
    assert (crop < -500).mean() > 0.3
    assert body_mask(crop, spacing).mean() > 0.99


def test_nothing_but_air_or_nothing_but_tissue():
    assert not body_mask(np.full((20, 30, 30), -1000, np.int16), (1.5, 1.5, 1.5)).any()
    assert body_mask(np.full((20, 30, 31), 40, np.int16), (1.5, 1.5, 1.5)).all()


def test_body_of_the_phantom(phantom):
    mask = body_mask(phantom.volume.data, phantom.volume.grid.spacing_mm)
    assert mask[phantom.labels.data > 0].mean() > 0.97
    assert 0.1 < mask.mean() < 0.9


@pytest.mark.parametrize("case", ["totalseg_example", "lung1_002", "openkbp_265"])
def test_body_of_real_scans(ct_pack, case):
    folder = ct_pack / "labelled" / case
    volume = load_volume(folder / "ct.nii.gz")
    labels = load_labels(folder / "labels.nii.gz", like=volume)
    mask = body_mask(volume.data, volume.grid.spacing_mm)
    assert mask[labels.data > 0].mean() > 0.995
    air = ndimage.binary_erosion(ndimage.uniform_filter(volume.data.astype(np.float32), 3) < -980, iterations=3)
    assert mask[air].mean() < 0.05


def test_body_without_the_table(ct_pack):
    volume = load_volume(ct_pack / "raw" / "dicom_body_jpeg2000")
    mask = body_mask(volume.data, volume.grid.spacing_mm)
    assert mask[:, 256, 256].all()
    table = volume.data[:, 425:] > -500  # this patient lies above row 420
    assert table.sum() > 10_000
    assert not mask[:, 425:].any()
