"""Real files of the CT pack."""

import numpy as np
import pytest

from coralbay_core.io import load_labels, load_volume
from coralbay_core.spatial import geometry
from coralbay_core.spatial.volume import AXIS_CODES


@pytest.mark.parametrize(
    ("name", "shape", "spacing", "note"),
    [
        ("dicom_lung_rtstruct", (41, 138, 141), (3, 0.977, 0.977), "1 RTSTRUCT"),
        ("dicom_body_jpeg2000", (20, 512, 512), (2, 0.9766, 0.9766), None),
        ("nifti_lps_sts_012.nii.gz", (53, 155, 159), (3.27, 0.9766, 0.9766), None),
        ("nifti_tilted_cq500_5.nii.gz", (53, 256, 256), (3, 0.9766, 0.9766), "sheared by 7.4 degrees"),
    ],
)
def test_raw_files_open(ct_pack, name, shape, spacing, note):
    volume = load_volume(ct_pack / "raw" / name)
    assert volume.shape == shape
    assert volume.data.dtype == np.int16
    assert geometry.axis_codes(volume.affine) == AXIS_CODES
    np.testing.assert_allclose(volume.grid.spacing_mm, spacing, atol=2e-2)
    assert volume.data.min() in (-1000, -1024)
    assert volume.data.max() > 1000
    assert len(volume.notes) == (note is not None)
    assert all(note in text for text in volume.notes)


def test_the_two_ways_of_storing_one_subject_agree(ct_pack):
    """sts_012 is in the pack raw (axes L, P, S) and resampled (R, A, S): bone must be at one place."""
    raw = load_volume(ct_pack / "raw" / "nifti_lps_sts_012.nii.gz")
    prepared = load_volume(ct_pack / "train" / "sts_012.nii.gz")
    points = raw.grid.to_world(np.argwhere(raw.data > 900))
    inside = points[prepared.grid.contains(points)]
    index = np.clip(np.rint(prepared.grid.to_index(inside)).astype(int), 0, np.subtract(prepared.shape, 1))
    assert len(inside) > 500
    assert np.median(prepared.data[tuple(index.T)]) > 600


def test_real_labels_fit_their_ct(ct_pack):
    folder = ct_pack / "labelled" / "totalseg_example"
    volume = load_volume(folder / "ct.nii.gz")
    labels = load_labels(folder / "labels.nii.gz", like=volume)
    center = {
        name: labels.grid.to_world(np.argwhere(labels.data == value)).mean(0)
        for value, name in labels.names.items()
        if name in ("liver", "spleen", "vertebrae_L3", "urinary_bladder")
    }
    assert center["liver"][0] > center["spleen"][0]  # the liver is on the right
    assert center["liver"][2] > center["urinary_bladder"][2]
    assert center["urinary_bladder"][1] > center["vertebrae_L3"][1]
