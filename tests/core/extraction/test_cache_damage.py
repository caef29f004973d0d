"""Caches that are damaged, incomplete or read-only."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.extraction.cache import FeatureStore, UnusableEntryError, open_features
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.spatial import Volume
from tests.support.disks import full_disk
from tests.support.encoders import PoolingEncoder
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward


@pytest.fixture
def volume():
    return ramp_volume((70, 70, 70))


@contextmanager
def unprivileged():
    """Be a user whom permissions bind: they do not bind root, as which containers run tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only_store(volume):
    """A store with the strides 4 and 8 of `volume`, in which nothing can be written."""
    root = Path(tempfile.mkdtemp())  # the folders above tmp_path are closed to other users
    whole = features_for(volume, PoolingEncoder(), strides=(4, 8), store=FeatureStore(root / "features"))
    assert whole.strides == (4, 8)
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield FeatureStore(root / "features")
    for path in filter(Path.exists, paths):
        path.chmod(0o755)
    shutil.rmtree(root)


def test_a_complete_cache_that_is_read_only_is_used(volume, read_only_store):
    encoder = PoolingEncoder()
    before = sorted(read_only_store.root.rglob("*"))
    with unprivileged():
        found = features_for(volume, encoder, strides=(4, 8), store=read_only_store)
        values = found.stages[4].data
        key = read_only_store.entries()[0].name
        assert read_only_store.complete(key, (4, 8)) is not None
        assert [(c.damaged, c.absent) for c in read_only_store.verify()] == [(0, 0)]
    assert encoder.calls == 0
    assert sorted(read_only_store.root.rglob("*")) == before
    expected = features_for(volume, PoolingEncoder(), strides=(4, 8), store=False)
    np.testing.assert_allclose(values, expected.stages[4].data, atol=1e-3)


@pytest.mark.parametrize("missing", ["a stage", "a scan", "a chunk", "soundness"])
def test_a_read_only_cache_that_lacks_something_says_so(volume, read_only_store, missing):
    strides = (4, 16) if missing == "a stage" else (4, 8)
    scan = Volume(volume.data + 1, volume.grid) if missing == "a scan" else volume
    chunk = next(path for path in read_only_store.root.rglob("stride-4/c/**/*") if path.is_file())
    if missing == "a chunk":
        chunk.parent.chmod(0o755)
        chunk.unlink()
        chunk.parent.chmod(0o555)
    elif missing == "soundness":
        chunk.chmod(0o644)
        chunk.write_bytes(b"x")
    with unprivileged(), pytest.raises(InputError, match=r"could not be written.*CORALBAY_CACHE"):
        features_for(scan, PoolingEncoder(), strides=strides, store=read_only_store)


def test_a_missing_chunk_of_the_body_mask_is_noticed(volume, tmp_path):
    store = FeatureStore(tmp_path)
    whole = features_for(volume, PoolingEncoder(), strides=(4,), store=store, name="scan")
    assert whole.body.any()
    (tmp_path / "scan" / "body" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(UnusableEntryError, match="damaged body mask"):
        _ = open_features(tmp_path / "scan").body
    assert "damaged body mask" in store.verify()[0].trouble
    assert store.infos() == []


def test_a_body_mask_of_the_cache_is_made_again(volume, tmp_path):
    store = FeatureStore(tmp_path)
    whole = features_for(volume, PoolingEncoder(), strides=(4,), store=store)
    next(tmp_path.glob("*/body/c/0/0/0")).unlink()
    again = features_for(volume, PoolingEncoder(), strides=(4,), store=store)
    assert np.array_equal(again.body, whole.body)


def test_missing_and_altered_chunks_are_noticed(tmp_path):
    volume = ramp_volume((150, 70, 70))
    store, encoder = FeatureStore(tmp_path), PoolingEncoder()
    whole = features_for(volume, encoder, strides=(4,), store=store, name="scan")
    values = whole.stages[4].data
    first, second = sorted(path for path in tmp_path.glob("scan/stride-4/c/**/*") if path.is_file())[:2]
    content = bytearray(first.read_bytes())
    content[100] ^= 1
    first.write_bytes(content)
    with pytest.raises(UnusableEntryError, match="damaged features"):
        _ = open_features(tmp_path / "scan").stages[4].data
    second.unlink()
    (check,) = store.verify()
    assert (check.damaged, check.absent) == (1, 1)
    (check,) = store.verify()
    assert (check.damaged, check.absent) == (0, 2)
    np.testing.assert_array_equal(
        features_for(volume, encoder, strides=(4,), store=store, name="scan").stages[4].data, values
    )


@pytest.mark.parametrize("text", ["inf", "nan", "-1", "0", "1e300", "much", " "])
def test_limits_that_are_no_number_of_gigabytes(monkeypatch, text):
    monkeypatch.setenv("CORALBAY_CACHE_GB", text)
    with pytest.raises(InputError, match="unusable limit - CORALBAY_CACHE_GB"):
        FeatureStore()


@pytest.mark.parametrize("limit", [100, 5_000])
def test_a_disk_that_fills_up_is_said_in_a_line(tmp_path, limit):
    volume = ramp_volume((150, 70, 70))
    store = FeatureStore(tmp_path)
    with full_disk(limit), pytest.raises(InputError, match=r"could not be written.*File too large.*CORALBAY_CACHE"):
        features_for(volume, PoolingEncoder(), strides=(2,), store=store)
    found = features_for(volume, PoolingEncoder(), strides=(2,), store=store)
    expected = features_for(volume, PoolingEncoder(), strides=(2,), store=False)
    np.testing.assert_allclose(found.stages[2].data, expected.stages[2].data, atol=1e-3)
