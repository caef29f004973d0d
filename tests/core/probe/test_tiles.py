"""Tiles in which few classes compete: the same labels as all classes everywhere."""

import numpy as np
import pytest
from scipy import ndimage

from coralbay_core.probe import ScoreMap, tiles
from coralbay_core.probe.tiles import contenders
from coralbay_core.spatial import Grid, Volume, geometry
from coralbay_core.spatial.interpolation import Interpolator
from coralbay_core.spatial.resampling import resample
from tests.support.made_features import CT_GRID, made_features

CLASSES = 12


@pytest.fixture(scope="module")
def scores():
    """Smooth scores with a lead of several units in most places."""
    features = made_features()
    rng = np.random.default_rng(0)
    shape = features.finest.grid.shape
    data = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 2) for _ in range(CLASSES)])
    data = (data / data.std() * 8).astype(np.float32)
    return ScoreMap(data, features.finest.grid, tuple(range(1, CLASSES + 1)), 0, features)


def turned(degrees):
    """Grid of the CT, rotated about its center."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = CT_GRID.center_mm
    return Grid(CT_GRID.shape, geometry.translate(middle) @ turn @ geometry.translate(-middle) @ CT_GRID.affine)


@pytest.mark.parametrize("grid", [CT_GRID, turned(20)], ids=["parallel", "turned"])
@pytest.mark.parametrize("refine", [False, True])
def test_classes_that_are_left_out_win_nowhere(scores, monkeypatch, grid, refine):
    hu = np.random.default_rng(1).integers(-300, 400, grid.shape).astype(np.int16)
    guide = Volume(hu, grid) if refine else None
    few = scores.segment(grid, guide=guide)
    sure = scores.segment(grid, guide=guide, probability=True, margin=True)
    looked_at = []

    def everything(around, slack):
        looked_at.append(len(contenders(around, slack)))
        return np.arange(len(around))

    monkeypatch.setattr(tiles, "contenders", everything)
    monkeypatch.setattr(tiles, "TILE_MM", 1000.0)
    whole = scores.segment(grid, guide=guide, probability=True, margin=True)
    np.testing.assert_array_equal(few.labels, whole.labels)
    np.testing.assert_array_equal(sure.labels, whole.labels)
    np.testing.assert_allclose(sure.probability, whole.probability, atol=1e-5)
    np.testing.assert_allclose(sure.margin, whole.margin, atol=2e-5)
    assert len(np.unique(whole.labels)) > 5


def test_contenders():
    lead = np.array([[5.0, 5, 0], [0, 0, 5], [4, 0, 0], [-1, -1, -1]], np.float32)
    assert contenders(lead, 0).tolist() == [0, 1, 2]
    assert contenders(lead, 1).tolist() == [0, 1, 2, 3]
    assert contenders(lead[:, :2], 0.5).tolist() == [0]


@pytest.mark.parametrize("grid", [CT_GRID, turned(7)], ids=["parallel", "turned"])
def test_boxes_are_parts_of_the_whole(scores, grid):
    channel = scores.data[:1]
    whole = resample(channel[0], scores.grid, grid)
    bring = Interpolator(scores.grid, grid)
    part = (slice(20, 31), slice(15, 40), slice(20, 27))
    box = bring.needed(part)
    assert channel[(slice(None), *box)].size < channel.size / 4
    found = bring(channel[(slice(None), *box)], box, part)[0]
    np.testing.assert_allclose(found, whole[part], atol=1e-4)
