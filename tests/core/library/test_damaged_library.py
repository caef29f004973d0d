"""Files of a library and lists of landmarks that fuzzing found: one line of error each."""

import json

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.library import Library
from coralbay_core.library.reduction import load_compact
from coralbay_core.matching import read_landmarks
from coralbay_core.util.tensor_file import write_tensors


@pytest.mark.parametrize("kept", ["x", None, {}, 10**400])
def test_a_damaged_basis(tmp_path, kept):
    axes = np.eye(8, 2, dtype=np.float32)
    path = write_tensors(tmp_path / "basis.safetensors", "basis", 1, {"axes": axes}, {"kept": kept})
    with pytest.raises(InputError, match="damaged basis"):
        load_compact(path)


@pytest.mark.parametrize(
    "changes",
    [{"strides": [1e999]}, {"channels": {"4": 1e999}}, {"entry": {"name": []}}, {"entry": {"tokens": "many"}},
     {"entry": {"path": 7}}, {"entry": {"series": [1]}}, {"entry": {"scan": 7}}],
)  # fmt: skip
def test_a_damaged_manifest(tmp_path, changes):
    entry = {"scan": "ab", "name": "one", "path": "", "key": "cd", "tokens": 1} | changes.get("entry", {})
    content = {"version": 1, "model": "m", "fingerprint": "f", "strides": [4], "channels": {"4": 8}, "scans": [entry]}
    content |= {key: value for key, value in changes.items() if key != "entry"}
    (tmp_path / "library.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="damaged library"):
        Library(tmp_path).manifest  # noqa: B018


def test_a_position_beyond_all_numbers(tmp_path):
    (tmp_path / "a.json").write_text('{"one": [1' + "0" * 400 + ", 0, 0]}")
    with pytest.raises(InputError, match="unreadable landmarks"):
        read_landmarks(tmp_path / "a.json")
