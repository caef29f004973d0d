"""Values and notes of NIfTI files, whatever their type and scale."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from coralbay_core.io import load_volume, save_map
from coralbay_core.spatial import geometry
from tests.support.nifti import LPS_AFFINE, hu, write_nifti


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_whole_hu_become_int16(tmp_path, dtype):
    values = np.arange(120).reshape(6, 5, 4)
    volume = load_volume(write_nifti(tmp_path / "ct.nii", values.astype(dtype)))
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.source_grid.to_file(volume.data), values)


@pytest.mark.parametrize("values", [np.linspace(-1000, 1000, 120), np.linspace(-1000, 70000, 120).round()])
def test_other_hu_become_float32(tmp_path, values):
    values = values.astype(np.float32).reshape(6, 5, 4)
    volume = load_volume(write_nifti(tmp_path / "ct.nii", values))
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.source_grid.to_file(volume.data), values)


def test_rescale_of_the_header_is_applied(tmp_path):
    stored = np.arange(120, dtype=np.uint16).reshape(6, 5, 4)
    image = nib.Nifti1Image(stored, LPS_AFFINE)
    image.header.set_slope_inter(2, -1024)
    nib.save(image, tmp_path / "ct.nii.gz")
    # nibabel scales on writing: what counts is what any reader would see.
    expected = nib.load(tmp_path / "ct.nii.gz").get_fdata()
    volume = load_volume(tmp_path / "ct.nii.gz")
    assert np.array_equal(volume.source_grid.to_file(volume.data), expected)


def test_big_endian_files_are_native_in_memory(tmp_path):
    image = nib.Nifti1Image(hu((6, 5, 4)), LPS_AFFINE, nib.Nifti1Header(endianness=">"))
    nib.save(image, tmp_path / "ct.nii")
    volume = load_volume(tmp_path / "ct.nii")
    assert volume.data.dtype.isnative
    assert volume.data.flags.c_contiguous
    assert np.array_equal(volume.source_grid.to_file(volume.data), hu((6, 5, 4)))


def test_voxels_without_a_value_become_the_lowest(tmp_path):
    values = hu((6, 5, 4)).astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, -np.inf
    volume = load_volume(write_nifti(tmp_path / "ct.nii", values))
    assert any("2 voxels" in note and "NaN" in note for note in volume.notes)
    data = volume.source_grid.to_file(volume.data)
    assert data[0, 0, 0] == data[1, 1, 1] == np.nanmin(values[np.isfinite(values)])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (hu((6, 5, 4)).astype(np.int32) + 1024, "do not look like Hounsfield units"),
        (np.linspace(0, 1, 120, dtype=np.float32).reshape(6, 5, 4), "do not look like Hounsfield units"),
        (np.full((6, 5, 4), -1000, np.int16), "all voxels have the same value"),
    ],
)
def test_values_that_are_no_hu_are_noted(tmp_path, values, match):
    values = values.astype(np.uint16) if values.dtype == np.int32 else values
    notes = load_volume(write_nifti(tmp_path / "ct.nii", values)).notes
    assert any(match in note for note in notes)


def test_disagreeing_forms_and_odd_units_are_noted(tmp_path):
    image = nib.Nifti1Image(hu((6, 5, 4)), LPS_AFFINE)
    image.set_sform(geometry.translate(5) @ LPS_AFFINE, code=1)
    image.set_qform(LPS_AFFINE, code=1)
    nib.save(image, tmp_path / "ct.nii")
    volume = load_volume(tmp_path / "ct.nii")
    assert any("sform and qform" in note for note in volume.notes)
    np.testing.assert_allclose(volume.source_grid.affine, geometry.translate(5) @ LPS_AFFINE, atol=1e-4)
    meters = load_volume(write_nifti(tmp_path / "m.nii", hu((6, 5, 4)), geometry.scale(0.001) @ LPS_AFFINE))
    assert any("unusual" in note for note in meters.notes)


def test_a_trailing_axis_of_one_is_dropped(tmp_path):
    volume = load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4, 1))))
    assert volume.shape == (4, 5, 6)
    assert any("trailing" in note for note in volume.notes)
    assert nib.load(save_map(tmp_path / "m.nii", volume.data, volume)).shape == (6, 5, 4)


def test_gzip_is_read_whatever_made_it(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", hu((6, 5, 4)))
    (tmp_path / "again.nii.gz").write_bytes(gzip.compress(path.read_bytes(), 9))
    assert np.array_equal(load_volume(tmp_path / "again.nii.gz").data, load_volume(path).data)
