"""Values that cannot be HU are treated like NaN, in every format."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from coralbay_core.errors import InputError
from coralbay_core.io import checks, load_volume
from tests.support.dicom import write_series

LARGEST = {np.dtype(np.float32): np.finfo(np.float32).max, np.dtype(np.float64): np.finfo(np.float64).max}
SHAPE = (6, 5, 4)


def hu(dtype):
    return np.random.default_rng(0).integers(-900, 1500, SHAPE).astype(dtype)


def write(path, data):
    if path.suffix == ".nii":
        nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1, 1, 1])), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(data.transpose().copy()), str(path))
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wrong", ["largest", "lowest", 1e20, -1e20, np.inf, -np.inf, np.nan, -2e5])
def test_they_become_the_lowest_value_with_a_note(tmp_path, suffix, dtype, wrong):
    largest = LARGEST[np.dtype(dtype)]
    data = hu(dtype)
    data[:2, 1, 3] = {"largest": largest, "lowest": -largest}.get(wrong, wrong)
    volume = load_volume(write(tmp_path / f"scan{suffix}", data))
    assert any("2 voxels" in note and "set to" in note for note in volume.notes)
    expected = hu(np.int16)
    marked = np.zeros(SHAPE, bool)
    marked[:2, 1, 3] = True
    expected[marked] = expected[~marked].min()
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.source_grid.to_file(volume.data), expected)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_the_lowest_integer_outside_the_field_of_view(tmp_path, suffix):
    data = hu(np.int32)
    data[0, 0, :] = np.iinfo(np.int32).min
    volume = load_volume(write(tmp_path / f"scan{suffix}", data))
    assert any("4 voxels" in note for note in volume.notes)
    assert volume.data.min() == hu(np.int32)[1:].min()


@pytest.mark.parametrize("value", [-32768, 30000, 64511])
def test_what_16_bits_hold_is_kept(tmp_path, value):
    data = hu(np.float32)
    data[0, 0, 0] = value
    volume = load_volume(write(tmp_path / "scan.nii", data))
    assert volume.source_grid.to_file(volume.data)[0, 0, 0] == value
    assert not volume.notes


def test_nothing_but_such_values_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no voxel has a value"):
        load_volume(write(tmp_path / "scan.nii", np.full(SHAPE, -np.finfo(np.float64).max)))


def test_a_slope_that_overflows(tmp_path):
    path = write(tmp_path / "scan.nii", np.full(SHAPE, 100, np.int16))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([1e36, 0], "<f4").tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError, match="no voxel has a value"):
        load_volume(path)


def test_a_slice_with_a_wild_slope_is_noted(tmp_path):
    data = hu(np.int16)
    paths = write_series(tmp_path / "s", data)
    wild = pydicom.dcmread(paths[2])
    wild.RescaleSlope = "1e6"
    wild.save_as(paths[2])
    volume = load_volume(tmp_path / "s")
    assert any("voxels" in note and "set to" in note for note in volume.notes)
    assert np.array_equal(np.delete(volume.data, 2, 0), np.delete(data, 2, 0))


def write_pet(folder, slope, **changes):
    data = np.arange(60).reshape(3, 4, 5) + 1
    write_series(folder, data - 1024, RescaleSlope=slope, RescaleIntercept="0", **changes)
    return data


@pytest.mark.parametrize("slope", ["5000", "1000000"])
def test_large_values_of_another_modality_are_kept(tmp_path, slope):
    data = write_pet(tmp_path / "s", slope, Modality="PT")
    volume = load_volume(tmp_path / "s")
    assert (volume.data.max(), volume.data.dtype) == (60 * int(slope), np.float32)
    assert np.array_equal(volume.data, data * float(slope))
    assert not any("set to" in note for note in volume.notes)
    assert any("modality is PT" in note for note in volume.notes)


@pytest.mark.parametrize("modality", ["CT", ""])
def test_large_values_of_ct_and_of_no_modality_are_not(tmp_path, modality):
    write_pet(tmp_path / "s", "5000", Modality=modality)
    volume = load_volume(tmp_path / "s")
    assert volume.data.max() <= 100_000
    assert any("40 voxels" in note and "set to 5000 HU" in note for note in volume.notes)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e20, -np.finfo(np.float32).max])
def test_no_modality_has_what_marks_the_outside(wrong):
    data = np.full((3, 3, 3), 2e6, np.float32)
    data[0, 0, 0], data[1, 1, 1] = wrong, 5
    found, (note,) = checks.replace_implausible(data, "here", "PT")
    assert found[0, 0, 0] == 5
    assert found.max() == np.float32(2e6)
    assert note.startswith("1 voxels")
    assert "HU" not in note
    with pytest.raises(InputError, match="no voxel has a value"):
        checks.replace_implausible(np.full((3, 3, 3), wrong), "here", "PT")
