"""Parts of a training store for another machine."""

import subprocess
import sys

import numpy as np
import pytest

from coralbay_core.pretrain.store import StoreSource, content_key, create_store, write_volume
from tests.support import ROOT


def packing(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "pack_store.py", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture
def store(tmp_path):
    made = tmp_path / "store"
    create_store(made, 1.5)
    rng = np.random.default_rng(0)
    for _ in range(3):
        hu = rng.integers(-1000, 1000, (32, 32, 32)).astype(np.int16)
        assert write_volume(made, content_key(hu), hu, hu > -500)
    return made


def test_a_store_travels_in_parts(store, tmp_path):
    done = packing("pack", store, tmp_path / "parts", "--mib", "0.25")
    assert done.returncode == 0, done.stderr
    parts = sorted((tmp_path / "parts").iterdir())
    assert len(parts) > 1
    assert max(part.stat().st_size for part in parts) <= 0.25 * 2**20
    assert "3 volumes" in packing("unpack", tmp_path / "parts", tmp_path / "there").stdout
    here, there = StoreSource(store), StoreSource(tmp_path / "there")
    assert there.names == here.names
    for part in parts[1:]:
        part.unlink()
    packing("unpack", tmp_path / "parts", tmp_path / "some")
    assert 0 < len(StoreSource(tmp_path / "some").names) < 3


def test_what_cannot_be_packed_is_said(store, tmp_path):
    assert "does not fit" in packing("pack", store, tmp_path / "parts", "--mib", "0.1").stderr
    assert "not a training store" in packing("pack", tmp_path, tmp_path / "other").stderr
    (tmp_path / "empty").mkdir()
    assert "no part-*.tar" in packing("unpack", tmp_path / "empty", tmp_path / "there").stderr
