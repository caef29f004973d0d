"""Random damage to files beside scans, for some seconds; `make fuzz` takes minutes, with other damage each time."""

import pytest

from benchmarks.fuzz_files import fuzz


@pytest.mark.slow
def test_damaged_files_load_or_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))
    counts = fuzz(tmp_path, 30, seed=0)
    assert {"session", "library", "model card", "landmarks in CSV", "label names"} <= set(counts)
    for name, counted in counts.items():
        assert counted["loaded"], name  # damage that is always found would test one check only
        assert counted["refused"] or name == "label names", name  # which become a note
