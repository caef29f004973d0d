"""Features on disk: found again, never wrong, never half-written."""

import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coralbay_core.errors import Cancelled, InputError
from coralbay_core.extraction.cache import FeatureStore, UnusableEntryError, key_of, open_features, signature
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.models.encoder import Tiling
from coralbay_core.spatial import Grid, Volume
from tests.support import ROOT
from tests.support.encoders import PoolingEncoder, SlowEncoder
from tests.support.scans import ramp_volume
from tests.support.waiting import wait_until

pytestmark = pytest.mark.forward


@pytest.fixture
def volume():
    return ramp_volume((70, 70, 70))


@pytest.fixture
def large():
    """Three chunks along z."""
    volume = ramp_volume((250, 70, 70))
    rng = np.random.default_rng(3)
    return Volume(rng.normal(0, 200, volume.shape).astype(np.float32), volume.grid)


def chunk_files(root: Path) -> list[Path]:
    # `os.walk` bears folders that another process renames meanwhile.
    files = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    return sorted(path for path in files if re.search("/stride-[^/]*/c/", path.as_posix()))


def same(a, b) -> None:
    assert a.grid == b.grid
    assert np.array_equal(a.body, b.body)
    assert a.strides == b.strides
    for stride in a.strides:
        assert a.stages[stride].grid == b.stages[stride].grid
        np.testing.assert_allclose(a.stages[stride].data, b.stages[stride].data, atol=1e-3)


def test_second_call_computes_nothing(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    first = features_for(volume, encoder, store=store)
    calls = encoder.calls
    again = features_for(volume, encoder, store=store)
    assert encoder.calls == calls > 0
    same(first, again)
    same(first, features_for(volume, encoder, store=False))


def test_key_depends_on_everything_that_matters(volume):
    other = PoolingEncoder()
    other.fingerprint = "other weights"
    changed = volume.data.copy()
    changed[5, 5, 5] += 1
    moved = Grid(volume.shape, volume.affine * [[1.1], [1], [1], [1]])
    signatures = [
        signature(volume, PoolingEncoder()),
        signature(Volume(changed, volume.grid), PoolingEncoder()),
        signature(Volume(volume.data, moved), PoolingEncoder()),
        signature(volume, PoolingEncoder(128, 96)),
        signature(volume, other),
    ]
    assert len({key_of(s) for s in signatures}) == 5
    renamed = Volume(volume.data, volume.grid, name="another name", path=Path("elsewhere.nii.gz"))
    assert key_of(signature(renamed, PoolingEncoder())) == key_of(signatures[0])
    assert PoolingEncoder().tiling == Tiling(96, 64)


def test_an_entry_of_another_signature_is_not_used(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    features_for(volume, encoder, store=store)
    entry = next(path for path in tmp_path.iterdir() if path.is_dir())
    metadata = entry / "zarr.json"
    content = json.loads(metadata.read_text())
    content["attributes"]["coralbay"]["signature"]["fingerprint"] = "other weights"
    metadata.write_text(json.dumps(content))
    calls = encoder.calls
    features_for(volume, encoder, store=store)
    assert encoder.calls > calls
    with pytest.raises(InputError, match="folder holds something else"):
        features_for(ramp_volume((64, 70, 70)), encoder, store=store, name=entry.name)


def test_more_stages_join_the_entry(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    features_for(volume, encoder, strides=(4, 8), store=store)
    features_for(volume, encoder, strides=(16,), store=store)
    calls = encoder.calls
    assert features_for(volume, encoder, strides=(4, 16), store=store).strides == (4, 16)
    assert encoder.calls == calls


def test_a_region_joins_what_the_whole_scan_uses(large, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    box = large.grid.to_world((10, 10, 10)), large.grid.to_world((40, 60, 60))
    part = features_for(large, encoder, roi_mm=box, store=store)
    assert part.grid.shape[0] == 64
    calls = encoder.calls
    assert 0 < calls < 4
    same(part, features_for(large, PoolingEncoder(), roi_mm=box, store=False))
    whole = features_for(large, encoder, store=store)
    assert encoder.calls <= 5  # the tile on the border of the first chunk is needed twice
    same(whole, features_for(large, PoolingEncoder(), store=False))
    again = features_for(large, encoder, roi_mm=box, store=store)
    np.testing.assert_array_equal(again.stages[4].data, whole.stages[4].data[:, :16, :16, :16])


def test_cancelled_work_goes_on_where_it_stopped(large, tmp_path):
    encoder, store = PoolingEncoder(96, 96), FeatureStore(tmp_path)
    with pytest.raises(Cancelled, match="2 of 3 tiles"):
        features_for(large, encoder, store=store, cancelled=lambda: encoder.calls == 2)
    kept = chunk_files(tmp_path)
    assert kept
    whole = features_for(large, encoder, store=store)
    assert encoder.calls < 5
    same(whole, features_for(large, PoolingEncoder(96, 96), store=False))
    assert set(kept) < set(chunk_files(tmp_path))


def test_what_is_not_computed_is_not_body(large, tmp_path):
    encoder, store = PoolingEncoder(96, 96), FeatureStore(tmp_path)
    with pytest.raises(Cancelled):
        features_for(large, encoder, store=store, name="scan", cancelled=lambda: encoder.calls == 2)
    part = open_features(tmp_path / "scan")
    assert part.body[:60].any()
    assert not part.body[-50:].any()


_COMPUTE = """
import os, sys
sys.path[:0] = [{repository!r}]
from tests.support.encoders import PoolingEncoder, SlowEncoder
from tests.support.scans import ramp_volume
from tests.support.waiting import wait_until
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.cache import FeatureStore
features_for(ramp_volume((400, 70, 70)), SlowEncoder(96, 96), strides=(4,), store=FeatureStore({root!r}))
"""


def test_killed_in_the_middle_of_a_scan(tmp_path):
    code = _COMPUTE.format(repository=str(ROOT), root=str(tmp_path))
    worker = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: chunk_files(tmp_path) or worker.poll() is not None)
    assert worker.poll() is None
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    kept = len(chunk_files(tmp_path))
    encoder = PoolingEncoder(96, 96)
    volume = ramp_volume((400, 70, 70))
    resumed = features_for(volume, encoder, strides=(4,), store=FeatureStore(tmp_path))
    full = PoolingEncoder(96, 96)
    same(resumed, features_for(volume, full, strides=(4,), store=False))
    assert kept
    assert encoder.calls < full.calls


def _compute_slowly(root: Path, results: "multiprocessing.Queue[int]") -> None:
    encoder = SlowEncoder(96, 96)
    features_for(ramp_volume((200, 70, 70)), encoder, strides=(4,), store=FeatureStore(root))
    results.put(encoder.calls)


def test_two_processes_do_the_work_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_compute_slowly, args=(tmp_path, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    calls = sorted(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert calls[0] == 0
    assert calls[1] > 0


def test_waiting_for_another_process_can_be_cancelled(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    key = key_of(signature(volume, encoder))
    with store.locked(key), pytest.raises(Cancelled, match="waiting"):
        features_for(volume, encoder, store=FeatureStore(tmp_path), cancelled=lambda: True)


@pytest.mark.parametrize("damage", [b"", b"not a chunk at all", "flip"])
def test_damaged_chunks_are_computed_again(volume, tmp_path, damage):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    first = features_for(volume, encoder, store=store)
    wanted = {stride: stage.data.copy() for stride, stage in first.stages.items()}
    victim = next(tmp_path.glob("*/stride-8/c/0/0/0/0"))
    content = bytearray(victim.read_bytes())
    content[100] ^= 1
    victim.write_bytes(content if damage == "flip" else damage)
    again = features_for(volume, encoder, store=store)
    for stride, data in wanted.items():
        assert np.array_equal(again.stages[stride].data, data)


@pytest.mark.parametrize("victim", ["zarr.json", "body/zarr.json", "body/c/0/0/0", "stride-4/zarr.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 90_000, b'{"zarr_format": 2}'])
def test_damaged_entries_are_made_again(volume, tmp_path, victim, damage):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    features_for(volume, encoder, store=store, name="scan")
    (tmp_path / "scan" / victim).write_bytes(damage)
    if victim.startswith("stride"):
        same(features_for(volume, encoder, store=store, name="scan"), features_for(volume, encoder, store=False))
        return
    with pytest.raises(InputError, match="folder holds something else"):  # a folder of the user's own is not replaced
        features_for(volume, encoder, store=store, name="scan")
    key = key_of(signature(volume, encoder))
    (tmp_path / "scan").rename(tmp_path / key)
    same(features_for(volume, encoder, store=store), features_for(volume, encoder, store=False))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_hostile_entries_run_nothing_and_write_nowhere_else(volume, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path / "cache")
    features_for(volume, encoder, store=store, name="scan")
    entry = tmp_path / "cache" / "scan"
    proof, outside = tmp_path / "proof", tmp_path / "outside"
    outside.mkdir()

    # A codec that unpickles: refused by its name, before anything is decoded.
    metadata = entry / "stride-4" / "zarr.json"
    content = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(content | {"codecs": [{"name": "numcodecs.pickle"}]}))
    (entry / "stride-4" / "c" / "0" / "0" / "0" / "0").write_bytes(pickle.dumps(Touch(proof)))
    with pytest.raises(UnusableEntryError, match="codecs"):
        _ = open_features(entry).stages[4].data
    # A shape that would take all memory.
    metadata.write_text(json.dumps(content | {"shape": [10**6] * 4}))
    with pytest.raises(UnusableEntryError, match="shape"):
        _ = open_features(entry).stages[4].data
    metadata.write_text(json.dumps(content))

    # A link by which chunks would be written elsewhere.
    shutil.rmtree(entry / "stride-8" / "c")
    (entry / "stride-8" / "c").symlink_to(outside, target_is_directory=True)
    with pytest.raises(UnusableEntryError, match="link"):
        open_features(entry)
    entry.rename(tmp_path / "cache" / key_of(signature(volume, encoder)))
    features_for(volume, encoder, store=store)
    assert not proof.exists()
    assert not list(outside.iterdir())
    for name in ("../outside", "/tmp/outside", "..", ".hidden", ""):
        with pytest.raises(InputError, match="unusable name"):
            store.folder(name)


def test_nothing_of_the_patient_is_in_the_cache(volume, tmp_path):
    marked = Volume(volume.data, volume.grid, name="DOE^JANE", path=Path("/scans/DOE^JANE/19700101.nii.gz"))
    features_for(marked, PoolingEncoder(), store=FeatureStore(tmp_path))
    for path in tmp_path.rglob("*"):
        assert "DOE" not in str(path.relative_to(tmp_path))
        if path.is_file():
            content = path.read_bytes()
            assert b"DOE" not in content
            assert b"1970" not in content
            assert b"scans" not in content


def test_features_that_are_gone_are_no_zeros(volume, tmp_path):
    store = FeatureStore(tmp_path)
    maps = features_for(volume, PoolingEncoder(), store=store)
    store.clear()
    with pytest.raises(UnusableEntryError):
        _ = maps.stages[4].data


def test_reading_a_few_points_reads_few_chunks(large, tmp_path):
    store = FeatureStore(tmp_path)
    maps = features_for(large, PoolingEncoder(), strides=(4,), store=store)
    whole = features_for(large, PoolingEncoder(), strides=(4,), store=False)
    points = large.grid.to_world(np.array([[5, 10, 20], [40.3, 33.1, 60.9], [0, 0, 0]]))
    expected = whole.sample(points)[4]
    for far in tmp_path.glob("*/stride-4/c/0/2/*/*"):
        far.write_bytes(b"would raise if it were read")
    np.testing.assert_allclose(maps.sample(points)[4], expected, atol=1e-3)


def test_reading_needs_no_torch(volume, tmp_path):
    features_for(volume, PoolingEncoder(), store=FeatureStore(tmp_path), name="scan")
    code = (
        "import sys; from coralbay_core.extraction.cache import open_features; "
        f"maps = open_features({str(tmp_path / 'scan')!r}); "
        "print(maps.sample(maps.grid.to_world((20, 20, 20)))[4].shape, 'torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.split("\n")[0] == "(1, 1) False"


# --- the store as a whole


def test_oldest_entries_are_pruned(tmp_path):
    store = FeatureStore(tmp_path, limit_bytes=1)
    encoder = PoolingEncoder()
    for shape in ((64, 64, 64), (64, 64, 80)):
        features_for(ramp_volume(shape), encoder, store=store)
    assert len(store.entries()) == 1
    calls = encoder.calls
    features_for(ramp_volume((64, 64, 80)), encoder, store=store)
    assert encoder.calls == calls


def test_an_entry_in_work_is_not_removed(tmp_path):
    store = FeatureStore(tmp_path)
    for shape in ((64, 64, 64), (64, 64, 80)):
        features_for(ramp_volume(shape), PoolingEncoder(), store=store)
    busy = store.entries()[0].name
    with FeatureStore(tmp_path).locked(busy):
        gone = store.clear()
    assert [info.key for info in gone] != [busy]
    assert [info.key for info in store.infos()] == [busy]


def test_list_clear_and_verify(volume, tmp_path):
    store = FeatureStore(tmp_path)
    features_for(volume, PoolingEncoder(), store=store, strides=(4, 8))
    (info,) = store.infos()
    assert (info.model, info.strides, info.size_mm) == ("pooling", (4, 8), (105, 105, 105))
    assert info.bytes == sum(path.stat().st_size for path in (tmp_path / info.key).rglob("*") if path.is_file())
    assert [(c.chunks, c.damaged) for c in store.verify()] == [(2, 0)]
    next(tmp_path.glob("*/stride-4/c/0/0/0/0")).write_bytes(b"x")
    assert [(c.chunks, c.damaged) for c in store.verify()] == [(2, 1)]
    assert [(c.chunks, c.damaged) for c in store.verify()] == [(1, 0)]
    (tmp_path / info.key / "zarr.json").write_text("nonsense")
    assert store.infos()[0].model == ""
    assert "removed" in store.verify()[0].trouble
    assert store.infos() == []


def test_unusable_settings(monkeypatch, volume, tmp_path):
    for limit in ("inf", "nan", "1e300", "-1", "much"):
        monkeypatch.setenv("CORALBAY_CACHE_GB", limit)
        with pytest.raises(InputError, match="CORALBAY_CACHE_GB"):
            FeatureStore()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        features_for(volume, PoolingEncoder(), store=FeatureStore(tmp_path / "file" / "cache", limit_bytes=1))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match="not enough space"):
        features_for(volume, PoolingEncoder(), store=FeatureStore(tmp_path / "cache", limit_bytes=1))
