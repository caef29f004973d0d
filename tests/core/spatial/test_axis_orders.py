"""Volumes without a file whose axes have any of the 48 orders and directions: nothing is mirrored."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from coralbay_core.extraction.cache.keys import content_digest
from coralbay_core.extraction.extraction_input import on_model_grid
from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.spatial import Grid, LabelVolume, Volume, geometry
from coralbay_core.spatial.preprocessing import model_grid
from coralbay_core.spatial.resampling import resample
from coralbay_core.spatial.volume import AXIS_CODES

CODES = [
    "".join("RAS"[axis] if sign > 0 else "LPI"[axis] for axis, sign in zip(order, signs, strict=True))
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3))
]
SHAPE = (3, 4, 5)


def grid_of(codes, shape=SHAPE, spacing=(2.0, 3.0, 5.0), origin=(-40.0, 25.0, 310.0), degrees=0.0):
    affine = np.eye(4)
    for column, (code, mm) in enumerate(zip(codes, spacing, strict=True)):
        axis = "RASLPI".index(code)
        affine[:3, column] = np.eye(3)[axis % 3] * (mm if axis < 3 else -mm)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ affine
    affine[:3, 3] = origin
    return Grid(shape, affine)


def by_place(data, affine):
    """Values by position, rounded to a hundredth of a millimeter."""
    index = np.array(list(np.ndindex(*data.shape)))
    places = np.round(geometry.apply(affine, index), 2) + 0.0
    return dict(zip(map(tuple, places), data.reshape(-1), strict=True))


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("codes", CODES)
def test_every_voxel_is_written_where_it_lies(tmp_path, codes, degrees):
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    grid = grid_of(codes, degrees=degrees)
    for made in (Volume(data, grid), LabelVolume(data, grid)):
        written = nib.load(save_map(tmp_path / "map.nii", made.data, made))
        assert nib.aff2axcodes(written.affine) == ("R", "A", "S")
        assert by_place(np.asarray(written.dataobj), written.affine) == by_place(data, grid.affine)


def test_colors_are_written_where_they_lie(tmp_path):
    grid = grid_of("LSA")
    rgb = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    written = nib.load(save_map(tmp_path / "rgb.nii", rgb, Volume(np.zeros(SHAPE, np.int16), grid)))
    assert by_place(np.asarray(written.dataobj)["G"], written.affine) == by_place(rgb[..., 1], grid.affine)


@pytest.mark.parametrize("codes", CODES)
def test_an_encoder_sees_what_it_sees_of_the_file(tmp_path, codes):
    shape, data = (12, 14, 16), np.random.default_rng(0).integers(-1000, 1000, (12, 14, 16)).astype(np.int16)
    volume = Volume(data, grid_of(codes, shape))
    read = load_volume(save_map(tmp_path / "ct.nii", data, volume))
    model, expected = model_grid(volume.grid, 4.0), model_grid(read.grid, 4.0)
    assert geometry.axis_codes(model.affine) == AXIS_CODES
    assert model == expected
    np.testing.assert_allclose(on_model_grid(volume, model), on_model_grid(read, expected), atol=1e-3)
    assert content_digest(volume) == content_digest(read)


@pytest.mark.parametrize("codes", ["RAS", "PIL", "LSA", "SPL"])
@pytest.mark.parametrize("order", [0, 1])
def test_resampling_does_not_depend_on_the_order_of_axes(codes, order):
    coarse = grid_of("SPL", (4, 5, 6), (9, 8, 7))
    values = np.random.default_rng(0).normal(size=coarse.shape).astype(np.float32)
    fine = grid_of(codes, (7, 8, 9), (2.5, 3.5, 4.5), origin=coarse.center_mm)
    found = resample(values, coarse, fine, order=order)
    turned = fine.orientation
    np.testing.assert_allclose(
        turned.from_file(found), resample(values, coarse, turned.grid, order=order), rtol=0, atol=1e-5
    )


def test_labels_drawn_on_a_volume_of_other_axes_are_turned_to_it(tmp_path):
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    volume = Volume(data, grid_of("LAI"))
    path = save_map(tmp_path / "labels.nii", data, volume)
    labels = load_labels(path, like=volume)
    assert np.array_equal(labels.data, data)
    again = nib.load(save_map(tmp_path / "again.nii", labels.data, labels))
    assert by_place(np.asarray(again.dataobj), again.affine) == by_place(data, volume.affine)
