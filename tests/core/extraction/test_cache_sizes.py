"""Sizes of entries that the limit of the cache is kept by: counted once, and again after a process was killed."""

import json
import os
import shutil
import sys

import pytest

from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.cache.sizes import NOTE, TABLE, count_bytes, read_note
from coralbay_core.extraction.pipeline import features_for
from tests.support.encoders import PoolingEncoder
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward

SHAPES = ((64, 64, 64), (64, 64, 80), (64, 64, 96))


@pytest.fixture
def store(tmp_path):
    """A cache of three scans, with a limit that is far away."""
    store = FeatureStore(tmp_path, limit_bytes=10**12)
    for shape in SHAPES:
        features_for(ramp_volume(shape), PoolingEncoder(), strides=(4,), store=store)
    return store


def table(store) -> dict[str, int]:
    return json.loads((store.root / TABLE).read_text())


def total(store) -> int:
    return sum(info.bytes for info in store.infos())


def limited(store, limit_bytes) -> list[str]:
    """Keys that are left after the limit was kept, the one used last first."""
    FeatureStore(store.root, limit_bytes=limit_bytes).prune()
    return [folder.name for folder in store.entries()]


def test_the_table_holds_the_sizes_of_all_entries(store):
    sizes = table(store)
    assert set(sizes) == {folder.name for folder in store.entries()}
    # The note itself was written after its files were counted.
    for folder in store.entries():
        assert sizes[folder.name] == count_bytes(folder) - (folder / NOTE).stat().st_size


def test_entries_that_are_known_are_not_read(store):
    for folder in store.entries():
        (folder / NOTE).write_text("9" * 15)
    assert len(limited(store, total(store))) == 3


def test_the_limit_removes_what_was_unused_for_longest(store):
    oldest = store.entries()[-1].name
    assert oldest not in limited(store, total(store) - 100)
    assert len(store.entries()) == 2
    store.prune()
    assert set(table(store)) == {folder.name for folder in store.entries()}


def test_what_a_killed_process_wrote_is_counted_again(store):
    newest = store.entries()[0]
    before = total(store)
    store.forget_size(newest.name)
    (newest / "stride-4" / "c" / "0" / "0" / "0" / "9").write_bytes(bytes(50_000))
    assert len(limited(store, before)) < 3
    assert table(store)[newest.name] > 50_000
    assert read_note(newest) == table(store)[newest.name]


def test_an_entry_whose_process_was_killed_before_its_note_gets_one_when_it_is_read(store):
    newest = store.entries()[0]
    size = read_note(newest)
    store.forget_size(newest.name)
    features_for(ramp_volume(SHAPES[-1]), PoolingEncoder(), strides=(4,), store=store)
    assert read_note(newest) == size


def test_stale_temporary_files_of_the_table_and_the_notes_are_swept(store):
    left = [folder / f".coralbay-{'0' * 32}.part" for folder in (store.root, store.entries()[0])]
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    store.forget_size(store.entries()[0].name)
    features_for(ramp_volume(SHAPES[-1]), PoolingEncoder(), strides=(4, 8), store=store)
    assert not any(path.exists() for path in left)


def test_an_entry_in_work_is_counted_and_not_remembered(store):
    busy = store.entries()[0].name
    with FeatureStore(store.root).locked(busy):
        store.forget_size(busy)
        store.prune()
        assert busy not in table(store)
    store.prune()
    assert busy in table(store)


def test_a_note_older_than_its_files_is_counted_again(store):
    newest = store.entries()[0]
    (store.root / TABLE).unlink()
    (newest / "stride-4" / "c" / "0" / "0" / "0" / "9").write_bytes(bytes(50_000))
    assert read_note(newest) is None
    store.prune()
    assert table(store)[newest.name] > 50_000


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": -1, "b": "x", "c": true}'])
def test_a_damaged_table_is_made_again(store, content):
    before = table(store)
    (store.root / TABLE).write_text(content)
    store.prune()
    assert table(store) == before


def test_an_entry_that_was_removed_by_hand_does_not_count(store):
    gone, *left = store.entries()
    limit = total(store) - 100
    shutil.rmtree(gone)
    assert limited(store, limit) == [folder.name for folder in left]
    assert gone.name not in table(store)


def test_features_in_a_folder_of_the_user_have_no_table(tmp_path):
    store = FeatureStore(tmp_path, limit_bytes=sys.maxsize)
    features_for(ramp_volume(SHAPES[0]), PoolingEncoder(), strides=(4,), store=store, name="scan")
    assert not (tmp_path / TABLE).exists()
