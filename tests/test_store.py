"""Features on disk: found again, never wrong, never half-written."""

import numpy as np
import pytest
from encoders import PoolingEncoder
from test_extract import ramp_volume

from coralbay_core.encoder import Tiling
from coralbay_core.errors import Cancelled
from coralbay_core.pipeline import features_for
from coralbay_core.store import FeatureStore
from coralbay_core.volume import Grid, Volume


@pytest.fixture
def volume():
    return ramp_volume((70, 70, 70))


def test_second_call_computes_nothing(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    first = features_for(volume, encoder, store=store)
    calls = encoder.calls
    again = features_for(volume, encoder, store=store)
    assert encoder.calls == calls > 0
    assert again.grid == first.grid
    assert np.array_equal(again.body, first.body)
    for stride in first.strides:
        assert np.array_equal(again.stages[stride].data, first.stages[stride].data)
        assert again.stages[stride].grid == first.stages[stride].grid


def test_key_depends_on_everything_that_matters(volume, tmp_path):
    store = FeatureStore(tmp_path)
    keys = {store.key(volume, PoolingEncoder())}
    changed = volume.data.copy()
    changed[5, 5, 5] += 1
    keys.add(store.key(Volume(changed, volume.grid), PoolingEncoder()))
    keys.add(
        store.key(Volume(volume.data, Grid(volume.shape, volume.affine * [[1.1], [1], [1], [1]])), PoolingEncoder())
    )
    keys.add(store.key(volume, PoolingEncoder(128, 96)))
    other = PoolingEncoder()
    other.fingerprint = "other weights"
    keys.add(store.key(volume, other))
    assert len(keys) == 5
    assert PoolingEncoder().tiling == Tiling(96, 64)


def test_more_stages_join_the_entry(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    features_for(volume, encoder, strides=(4, 8), store=store)
    features_for(volume, encoder, strides=(16,), store=store)
    calls = encoder.calls
    assert features_for(volume, encoder, strides=(4, 16), store=store).strides == (4, 16)
    assert encoder.calls == calls


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all"])
def test_damaged_files_are_computed_again(volume, tmp_path, damage):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    first = features_for(volume, encoder, store=store)
    victim = next(tmp_path.glob("*/stride-8.safetensors"))
    victim.write_bytes(damage)
    again = features_for(volume, encoder, store=store)
    assert np.array_equal(again.stages[8].data, first.stages[8].data)
    assert victim.stat().st_size > len(damage)


def test_cancelled_work_leaves_nothing(volume, tmp_path):
    with pytest.raises(Cancelled):
        features_for(volume, PoolingEncoder(), store=FeatureStore(tmp_path), cancelled=lambda: True)
    assert not list(tmp_path.rglob("*"))


def test_oldest_entries_are_pruned(tmp_path):
    store = FeatureStore(tmp_path, limit_bytes=1)
    encoder = PoolingEncoder()
    for shape in ((64, 64, 64), (64, 64, 80)):
        features_for(ramp_volume(shape), encoder, store=store)
    assert len(list(tmp_path.iterdir())) == 1
    calls = encoder.calls
    features_for(ramp_volume((64, 64, 80)), encoder, store=store)
    assert encoder.calls == calls
