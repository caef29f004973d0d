"""Metadata of cache entries that were damaged or made up: one error, no allocation by what they declare."""

import json
import math

import numpy as np
import pytest

from coralbay_core.extraction.cache import Entry, EntryMetadata, UnusableEntryError
from coralbay_core.spatial import Grid


@pytest.fixture
def entry(tmp_path):
    grid = Grid((16, 16, 16), np.diag([1.5, -1.5, -1.5, 1.0]))
    affine = tuple(tuple(float(v) for v in row) for row in grid.affine)
    about = EntryMetadata({"schema": 2}, grid.shape, affine, "a model", "", {4: 8})
    return Entry.create(tmp_path / "entry", about, np.ones(grid.shape, bool)).folder


def test_the_entry_opens_as_it_was_written(entry):
    assert Entry.open(entry).body.all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shape", [math.inf, 16, 16]),
        ("shape", [math.nan, 16, 16]),
        ("shape", [5000, 5000, 5000]),
        ("shape", [16, 16]),
        ("shape", 16),
        ("channels", {"4": math.inf}),
        ("channels", {"4": -1}),
        ("channels", {}),
        ("channels", [4]),
        ("affine", [[math.nan] * 4] * 4),
        ("affine", [[10**400] * 4] * 4),
        ("affine", "x"),
        ("signature", 5),
    ],
    ids=str,
)
def test_impossible_metadata_are_one_error(entry, field, value):
    path = entry / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["coralbay"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UnusableEntryError):
        Entry.open(entry)


def test_a_body_mask_without_its_chunk_is_damaged(entry):
    (entry / "body" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(UnusableEntryError, match="damaged body mask"):
        _ = Entry.open(entry).body


@pytest.mark.parametrize("value", [True, "x", 5, ["x"], None], ids=str)
def test_attributes_and_codecs_of_another_type_are_one_error(entry, value):
    for path, field in ((entry / "body" / "zarr.json", "codecs"), (entry / "zarr.json", "attributes")):
        content = json.loads(path.read_text())
        content[field] = value
        path.write_text(json.dumps(content))
        with pytest.raises(UnusableEntryError):
            _ = Entry.open(entry).body
