"""No feature that is NaN or infinite is stored or returned."""

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.cache.entry import Entry
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.spatial import Volume
from tests.support.encoders import PoolingEncoder
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward


class BrokenEncoder(PoolingEncoder):
    """One value of one stage is `wrong`."""

    def __init__(self, wrong: float):
        super().__init__(64, 32)
        self.wrong = wrong

    def __call__(self, x, strides):
        maps = super().__call__(x, strides)
        maps[8][0, 0, 1, 1, 1] = self.wrong
        return maps


def body_volume():
    grid = ramp_volume((64, 64, 64)).grid
    return Volume(np.full(grid.shape, 40, np.int16), grid)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1e6])
@pytest.mark.parametrize("stored", [True, False])
def test_an_encoder_that_gives_no_number_is_an_error(tmp_path, wrong, stored):
    store = FeatureStore(tmp_path) if stored else None
    with pytest.raises(InputError, match=r"not finite - pooling at stride 8.*weights damaged"):
        features_for(body_volume(), BrokenEncoder(wrong), strides=(4, 8), store=store)
    assert not list(tmp_path.rglob("stride-*"))


def test_a_volume_with_nan_is_an_error():
    volume = body_volume()
    data = volume.data.astype(np.float32)
    data[30, 30, 30] = np.nan
    with pytest.raises(InputError, match=r"not finite.*NaN or infinity in the scan.*air"):
        features_for(Volume(data, volume.grid), PoolingEncoder(64, 32), strides=(4,), store=None)


def test_nan_that_was_stored_before_is_computed_again(tmp_path):
    volume, encoder, store = body_volume(), PoolingEncoder(64, 32), FeatureStore(tmp_path)
    expected = np.array(features_for(volume, encoder, strides=(4,), store=store).stages[4].data)
    entry = Entry.open(next(path for path in tmp_path.iterdir() if path.is_dir()))
    wrong = expected.copy()
    wrong[0, 1, 1, 1] = np.nan
    entry.write(4, (0, 0, 0), wrong)
    found = features_for(volume, encoder, strides=(4,), store=store).stages[4].data
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("stored", [True, False])
def test_a_scan_without_a_body_is_an_error_before_anything_is_stored(tmp_path, stored):
    grid = body_volume().grid
    air = Volume(np.full(grid.shape, -1000, np.int16), grid, name="air")
    with pytest.raises(InputError, match=r"no body found - air.*-1000..-1000.*Hounsfield units, in mm"):
        features_for(air, PoolingEncoder(64, 32), store=FeatureStore(tmp_path) if stored else None)
    assert not [path for path in tmp_path.rglob("*") if path.suffix != ".lock"]


def test_a_region_without_a_body_has_features_of_zero(tmp_path):
    grid = ramp_volume((250, 64, 64)).grid
    data = np.full(grid.shape, -1000, np.int16)
    data[:60] = 40
    low, high = grid.to_world((200, 0, 0)), grid.to_world((249, 63, 63))
    encoder = PoolingEncoder(64, 32)
    maps = features_for(Volume(data, grid), encoder, strides=(4,), roi_mm=(low, high), store=FeatureStore(tmp_path))
    assert not maps.body.any()
    assert not maps.stages[4].data.any()


def test_a_body_mask_that_lost_its_chunk_is_computed_again(tmp_path):
    volume, encoder, store = body_volume(), PoolingEncoder(64, 32), FeatureStore(tmp_path)
    expected = features_for(volume, encoder, strides=(4,), store=store)
    next(tmp_path.glob("*/body/c/0/0/0")).unlink()
    found = features_for(volume, encoder, strides=(4,), store=store)
    assert found.body.all()
    assert np.array_equal(found.stages[4].data, expected.stages[4].data)
