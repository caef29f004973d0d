"""A scan opens in the window that suits its content."""

import numpy as np
import pytest

from coralbay_core.io import load_volume
from coralbay_core.spatial import Grid, Volume
from coralbay_viz.model.first_window import first_window

_SPACING_MM = 2.0


def ball(shape, radius_mm):
    index = np.indices(shape) - np.reshape([(n - 1) / 2 for n in shape], (3, 1, 1, 1))
    return np.linalg.norm(index * _SPACING_MM, axis=0) < radius_mm


def scan(data):
    affine = np.diag([_SPACING_MM] * 3 + [1.0])[[2, 1, 0, 3]]
    return Volume(data.astype(np.int16), Grid(data.shape, affine))


def test_a_skull_opens_in_the_brain_window():
    shape = (90, 90, 90)
    data = np.full(shape, -1000)
    data[ball(shape, 85)] = 50  # scalp
    data[ball(shape, 80)] = 900
    data[ball(shape, 72)] = 35
    assert first_window(scan(data)) == "Brain"
    assert first_window(scan(np.where(data == 900, 50, data))) == "Soft tissue"  # without the skull


def test_a_torso_opens_in_the_soft_tissue_window(phantom):
    assert first_window(phantom.volume) == "Soft tissue"


@pytest.mark.parametrize("case", ["openkbp_312", "lung1_002"])
def test_real_necks_and_chests_open_in_the_soft_tissue_window(ct_pack, case):
    assert first_window(load_volume(ct_pack / "labelled" / case / "ct.nii.gz")) == "Soft tissue"


def test_a_real_head_opens_in_the_brain_window(ct_pack):
    assert first_window(load_volume(ct_pack / "train" / "cptac_gbm_01192.nii.gz")) == "Brain"
