"""Files are written whole or not at all."""

import os
import stat
import time

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.util.atomic_file import atomic_path, write_atomically
from coralbay_core.util.tensor_file import read_tensors, write_tensors
from tests.support.disks import full_disk


def test_a_file_appears_whole_in_folders_that_were_not_there(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    with atomic_path(path) as temporary:
        temporary.write_text("a,b\n")
        assert not path.exists()
    assert path.read_text() == "a,b\n"
    assert list(path.parent.iterdir()) == [path]


def test_what_stood_there_stays_where_writing_fails(tmp_path):
    path = write_atomically(tmp_path / "notes.txt", "old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_system_refuses_is_said_in_a_line(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "taken", tmp_path / "file" / "below.txt"):
        with pytest.raises(InputError, match=rf"cannot write - .*{path.name}"):
            write_atomically(path, b"content")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken"]


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_colleagues_can_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_tensors(tmp_path / "a.query", "query", 1, {"a": np.zeros(3)}, {})  # safetensors gives 0600
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")
    assert write_atomically(path, "x").read_text() == "x"


@pytest.mark.parametrize("kind", ["text", "tensors"])
def test_a_disk_that_fills_up_is_said_in_a_line(tmp_path, kind):
    path = tmp_path / "a.query"
    values = np.zeros(100_000)

    def write():
        if kind == "text":
            write_atomically(path, values.tobytes())
        else:
            write_tensors(path, "query", 1, {"a": values}, {})

    with full_disk(50_000), pytest.raises(InputError, match=r"cannot write - .*a\.query - found File too large"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path):
    names = {
        "stale": ".coralbay-0123456789abcdef0123456789abcdef.nii.gz",
        "stale too": ".coralbay-0123456789abcdef0123456789abcde0.part",
        "in work": ".coralbay-0123456789abcdef0123456789abcdee.part",
        "the user's": ".coralbay-notes.part",
    }
    for what, name in names.items():
        (tmp_path / name).write_text("half")
        if what != "in work":
            os.utime(tmp_path / name, (0, 0))
    write_atomically(tmp_path / "table.csv", "a,b\n")
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"table.csv", names["in work"], names["the user's"]}


def test_a_part_from_the_future_is_swept_an_hour_later(tmp_path):
    """It is left from before the clock was set back."""
    part = tmp_path / ".coralbay-0123456789abcdef0123456789abcdef.part"
    part.write_text("half")
    os.utime(part, (time.time() + 86_400,) * 2)
    write_atomically(tmp_path / "table.csv", "a,b\n")
    assert part.stat().st_mtime <= time.time()
    os.utime(part, (part.stat().st_mtime - 7200,) * 2)
    write_atomically(tmp_path / "table.csv", "a,b\n")
    assert not part.exists()


@pytest.mark.parametrize("metadata", ["[]", "7", '{"format": 7}', '{"format": "query x"}', '{"format": "query 1"}'])
def test_metadata_of_another_form_are_said_in_a_line(tmp_path, metadata):
    header = f'{{"__metadata__": {metadata}}}'.encode()
    (tmp_path / "a.query").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match=r"not a query, or damaged - .*a\.query"):
        read_tensors(tmp_path / "a.query", "query", 1)
