"""Label maps: on the grid of their scan, or refused."""

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume
from coralbay_core.spatial import geometry
from tests.support.nifti import LPS_AFFINE, hu, one_line, write_nifti


def test_labels_in_another_axis_order_fit(tmp_path):
    volume = load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4))))
    labels = np.arange(120, dtype=np.uint8).reshape(6, 5, 4)
    flipped = LPS_AFFINE @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    loaded = load_labels(write_nifti(tmp_path / "labels.nii", labels[::-1], flipped), like=volume)
    assert np.array_equal(loaded.data, volume.source_grid.from_file(labels))


def test_whole_floats_are_labels(tmp_path):
    values = np.arange(-60, 60).reshape(6, 5, 4)
    labels = load_labels(write_nifti(tmp_path / "labels.nii", values.astype(np.float64)))
    assert np.issubdtype(labels.data.dtype, np.integer)
    assert np.array_equal(labels.source_grid.to_file(labels.data), values)


@pytest.mark.parametrize(
    ("data", "affine", "match"),
    [
        (np.zeros((6, 5, 5), np.uint8), LPS_AFFINE, r"found 5 x 5 x 6 vs expected 4 x 5 x 6"),
        (np.zeros((6, 5, 4), np.uint8), geometry.translate((0, 0, 1)) @ LPS_AFFINE, r"1\.00 mm apart"),
        (np.zeros((6, 5, 4), np.uint8), LPS_AFFINE @ geometry.scale((1.1, 1, 1)), "mm apart"),
        (np.full((6, 5, 4), 0.5, np.float32), LPS_AFFINE, "non-integer values"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, data, affine, match):
    volume = load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4))))
    with pytest.raises(InputError, match=match) as error:
        load_labels(write_nifti(tmp_path / "labels.nii", data, affine), like=volume)
    one_line(error)
