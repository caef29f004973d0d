"""Bad NIfTI files: each is refused in one line."""

import warnings

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.io import load_labels, load_volume
from tests.support.nifti import hu, one_line, write_nifti


def _bad_missing(folder):
    return folder / "nothing.nii.gz"


def _bad_text(folder):
    (folder / "notes.nii.gz").write_text("this is no image")
    return folder / "notes.nii.gz"


def _bad_plain_text(folder):
    (folder / "notes.txt").write_text("this is no image\n" * 50)
    return folder / "notes.txt"


def _bad_empty(folder):
    (folder / "empty.nii").touch()
    return folder / "empty.nii"


def _bad_truncated_gzip(folder):
    path = write_nifti(folder / "ct.nii.gz", hu((40, 40, 40)))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _bad_gzip_header(folder):
    path = write_nifti(folder / "ct.nii.gz", hu((6, 5, 4)))
    path.write_bytes(path.read_bytes()[:60])
    return path


def _bad_truncated(folder):
    path = write_nifti(folder / "ct.nii", hu((40, 40, 40)))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _bad_damaged_gzip(folder):
    path = write_nifti(folder / "ct.nii.gz", hu((40, 40, 40)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    return path


def _bad_affine(value):
    def make(folder):
        path = write_nifti(folder / "ct.nii", hu((6, 5, 4)))
        content = bytearray(path.read_bytes())
        content[254:256] = (1).to_bytes(2, "little")  # sform_code
        content[280:296] = np.full(4, value, "<f4").tobytes()  # srow_x
        path.write_bytes(content)
        return path

    return make


def _bad_shape(shape):
    return lambda folder: write_nifti(folder / "ct.nii.gz", hu(shape))


def _bad_color(folder):
    data = np.zeros((6, 5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return write_nifti(folder / "rgb.nii", data)


def _bad_nan(folder):
    return write_nifti(folder / "nan.nii", np.full((6, 5, 4), np.nan, np.float32))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_bad_missing, "no such file"),
        (_bad_text, "not a readable NIfTI file"),
        (_bad_plain_text, "neither NIfTI nor DICOM"),
        (_bad_empty, "not a readable NIfTI file"),
        (_bad_truncated_gzip, "truncated or damaged"),
        (_bad_gzip_header, "not a readable NIfTI file|truncated"),
        (_bad_truncated, "truncated or damaged"),
        (_bad_damaged_gzip, "truncated or damaged"),
        (_bad_affine(np.nan), "NaN"),
        (_bad_affine(0.0), "singular affine"),
        (_bad_shape((6, 5)), "2-D image.*expected a 3-D volume"),
        (_bad_shape((6, 5, 4, 3)), r"4-D image.*found 6 x 5 x 4 x 3 vs expected a 3-D volume"),
        (_bad_shape((6, 5, 1)), "single slice"),
        (_bad_color, "not a scalar image"),
        (_bad_nan, "no voxel has a value"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, make, match):
    path = make(tmp_path)
    # Any warning of a reader, also one that other tests may ignore, would be a second line.
    with warnings.catch_warnings(action="error"), pytest.raises(CoralBayError, match=match) as error:
        load_volume(path)
    assert path.name in one_line(error)


def test_missing_file_is_also_the_builtin(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_volume(tmp_path / "nothing.nii")
    with pytest.raises(MissingFileError):
        load_labels(tmp_path / "nothing.nii")


def test_series_of_a_nifti_file(tmp_path):
    with pytest.raises(InputError, match="no series"):
        load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4))), series="1.2")
