"""Files are written whole or not at all."""

import os
import stat

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.util.atomic_file import atomic_path, write_atomically
from coralbay_core.util.tensor_file import write_tensors


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
