"""Faults under the cache: killed processes, clocks that go back, other processes that remove what is in use."""

import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from coralbay_core.errors import CoralBayError
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.sliding_window import ExtractionCallbacks
from tests.support.encoders import PoolingEncoder, SlowEncoder, SmallDevice
from tests.support.scans import ramp_volume
from tests.support.waiting import wait_until

pytestmark = pytest.mark.forward

DAY_S = 86_400.0


@pytest.fixture
def volume():
    return ramp_volume((200, 70, 70))


def assert_right(found, volume) -> None:
    expected = features_for(volume, PoolingEncoder(), strides=found.strides, store=False)
    np.testing.assert_array_equal(found.body, expected.body)
    for stride in found.strides:
        np.testing.assert_allclose(found.stages[stride].data, expected.stages[stride].data, atol=1e-3)


class Disturbed(PoolingEncoder):
    """Calls a function in the second pass."""

    def __init__(self, disturb):
        super().__init__()
        self.disturb = disturb

    def __call__(self, x, strides):
        if self.calls == 1:
            self.disturb()
        return super().__call__(x, strides)


# --- killed processes


def test_a_stage_of_which_only_the_folder_was_made(volume, tmp_path):
    store = FeatureStore(tmp_path)
    features_for(volume, PoolingEncoder(), strides=(4,), store=store)
    (entry,) = store.entries()
    (entry / "stride-8").mkdir()
    (entry / "stride-8" / f"zarr.{'0' * 32}.partial").write_text("{")
    assert_right(features_for(volume, PoolingEncoder(), strides=(4, 8), store=store), volume)


def test_half_written_chunks_are_swept(volume, tmp_path):
    store = FeatureStore(tmp_path)
    features_for(volume, PoolingEncoder(), strides=(4,), store=store)
    (entry,) = store.entries()
    chunk = entry / "stride-4" / "c" / "0" / "0" / "0" / "0"
    half = chunk.rename(chunk.with_name(f"0.{'a' * 32}.partial"))
    assert_right(features_for(volume, PoolingEncoder(), strides=(4,), store=store), volume)
    assert not half.exists()


def test_folders_of_the_user_are_no_leftovers(volume, tmp_path):
    own, stale = tmp_path / "chapter.part", tmp_path / "key.4711.part"
    for folder in (own, stale):
        folder.mkdir()
        os.utime(folder, (0, 0))
    features_for(volume, PoolingEncoder(), store=FeatureStore(tmp_path), name="scan")
    assert own.is_dir()
    assert not stale.exists()


# --- a clock that goes back


def test_a_leftover_from_the_future_is_swept_an_hour_later(tmp_path):
    store, stale = FeatureStore(tmp_path), tmp_path / "key.4711.part"
    stale.mkdir()
    os.utime(stale, (time.time() + DAY_S,) * 2)
    store.prune()
    assert stale.is_dir()  # it may be in work
    os.utime(stale, (stale.stat().st_mtime - 7200,) * 2)
    store.prune()
    assert not stale.exists()


def test_an_entry_from_the_future_becomes_the_oldest_in_time(tmp_path):
    store = FeatureStore(tmp_path)
    features_for(ramp_volume((64, 64, 64)), PoolingEncoder(), store=store)
    (old,) = store.entries()
    os.utime(old, (time.time() + DAY_S,) * 2)
    store.prune()  # it now counts as used at this moment
    features_for(ramp_volume((64, 64, 80)), PoolingEncoder(), store=store)
    newest = max(store.entries(), key=lambda entry: entry != old)
    os.utime(newest, (time.time() + 30,) * 2)  # half a minute later
    size = next(info.bytes for info in store.infos() if info.key == newest.name)
    FeatureStore(tmp_path, limit_bytes=size).prune()
    assert store.entries() == [newest]


# --- removed while it is in use


def test_a_cache_that_is_deleted_while_features_are_computed(volume, tmp_path):
    root = tmp_path / "cache"
    encoder = Disturbed(lambda: shutil.rmtree(root))
    with pytest.raises(CoralBayError, match=r"features .* - .*compute them again|could not be written"):
        features_for(volume, encoder, strides=(4,), store=FeatureStore(root))
    assert_right(features_for(volume, PoolingEncoder(), strides=(4,), store=FeatureStore(root)), volume)


def test_a_folder_of_features_that_is_deleted_while_they_are_computed(volume, tmp_path):
    encoder, store = Disturbed(lambda: shutil.rmtree(tmp_path / "scan")), FeatureStore(tmp_path)
    with pytest.raises(CoralBayError, match="compute them again"):
        features_for(volume, encoder, strides=(4, 8), store=store, name="scan")
    assert_right(features_for(volume, PoolingEncoder(), strides=(4, 8), store=store, name="scan"), volume)


def test_a_device_that_is_too_small_gives_way_and_the_features_are_kept(volume, tmp_path):
    encoder, said, store = SmallDevice(0), [], FeatureStore(tmp_path)
    encoder.device = torch.device("mps")
    assert_right(
        features_for(volume, encoder, strides=(4,), store=store, watch=ExtractionCallbacks(say=said.append)), volume
    )
    assert said == ["mps is too small for one tile: going on with the CPU"]
    again = PoolingEncoder(64, 32)
    assert_right(features_for(volume, again, strides=(4,), store=store), volume)
    assert again.calls == 0


def _compute_slowly(root, shape) -> None:
    features_for(ramp_volume(shape), SlowEncoder(), strides=(4,), store=FeatureStore(root))


def test_a_cache_that_another_process_clears_and_prunes_meanwhile(volume, tmp_path):
    store = FeatureStore(tmp_path, limit_bytes=1)
    features_for(ramp_volume((64, 64, 64)), PoolingEncoder(), strides=(4,), store=store)
    (idle,) = store.entries()
    worker = multiprocessing.get_context("spawn").Process(target=_compute_slowly, args=(tmp_path, volume.shape))
    worker.start()
    wait_until(lambda: [entry for entry in store.entries() if entry != idle] or not worker.is_alive())
    assert [info.key for info in store.clear()] == [idle.name]
    store.prune()
    worker.join()
    assert worker.exitcode == 0
    encoder = PoolingEncoder()
    assert_right(features_for(volume, encoder, strides=(4,), store=FeatureStore(tmp_path)), volume)
    assert encoder.calls == 0


def test_the_lock_of_an_entry_is_removed_while_it_is_held(volume, tmp_path, monkeypatch):
    """Removed later, it may be the lock of a process that has just made the entry again: a third would not see it."""
    store, held, unlink = FeatureStore(tmp_path), [], Path.unlink
    features_for(volume, PoolingEncoder(), strides=(4,), store=store)

    def watched(path, missing_ok=False):
        if path.suffix == ".lock":
            with pytest.raises(Timeout):
                FileLock(path).acquire(timeout=0)
            held.append(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    store.clear()
    assert len(held) == 1
    assert not held[0].exists()
