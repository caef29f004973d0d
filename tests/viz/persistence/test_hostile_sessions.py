"""Session files that are damaged or mean harm."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.io import save_map
from coralbay_core.spatial import LabelVolume
from coralbay_core.util.tensor_file import read_tensors, write_tensors
from coralbay_viz import Session
from coralbay_viz.persistence import session_file
from tests.support.sessions import MODEL, places

pytestmark = pytest.mark.forward


@pytest.fixture(scope="module")
def content(belly, tmp_path_factory):
    """Bytes of a sound session file."""
    folder = tmp_path_factory.mktemp("sound")
    session = Session(model=MODEL)
    session.open(save_map(folder / "a.nii.gz", belly.data, belly))
    session.compute()
    data = np.zeros(session.scan.label_grid.shape, np.uint8)
    data[8:12, 8:12, 8:12], data[20:24, 20:24, 20:24] = 2, 7
    session.segment(LabelVolume(data, session.scan.label_grid))
    session.compute_pca()
    session.click(places(belly, 0.5)[0])
    return session.save(folder / "work.coralbay").result.read_bytes()


@pytest.fixture
def saved(content, files, tmp_path):
    """A sound session file beside its scan."""
    path = tmp_path / "data" / "work.coralbay"
    path.write_bytes(content)
    return path


def test_what_is_spoiled_below_is_sound(saved):
    session = Session()
    session.load(saved)
    assert session.scan.segmentation is not None


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../secret.nii.gz", "a/../../b", "C:\\scan.nii", "\\\\host\\scan", "C:x", "a\0b", 7]
)
def test_paths_that_leave_the_folder_are_refused(saved, path):
    arrays, about = read_tensors(saved, "session", 1)
    about["scans"][0]["path"] = path
    write_tensors(saved, "session", 1, arrays, about)
    with pytest.raises(InputError) as error:
        Session().load(saved)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30))
def test_a_path_that_passes_stays_below_its_folder(text):
    from pathlib import Path

    try:
        session_file.require_relative(text)
    except InputError:
        return
    assert (Path("/base") / text).resolve().is_relative_to("/base")


def spoil_scan(key, value):
    return lambda arrays, about: about["scans"][0].__setitem__(key, value)


def spoil_part(part, key, value):
    return lambda arrays, about: about["scans"][0]["parts"][part].__setitem__(key, value)


def spoil_array(name, value):
    return lambda arrays, about: arrays.__setitem__(name, np.array(value))


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_scan("digest", "../../x"),
        spoil_scan("file", "a/b"),
        spoil_scan("series", "1.2; rm"),
        spoil_scan("parts", []),
        spoil_part("clicks", "positive", [[1, 2]]),
        spoil_part("clicks", "positive", "far"),
        spoil_part("clicks", "positive", [[1e9, 0, 0]]),
        spoil_part("strokes", "shape", [10**6, 10**6, 10**6]),
        spoil_part("strokes", "dtype", "O"),
        spoil_part("strokes", "names", ["x"]),
        spoil_array("0/strokes/index", [10**12] * 128),
        spoil_array("0/strokes/index", [-1] * 128),
        spoil_array("0/strokes/value", [10**6] * 128),
        spoil_array("0/strokes/value", [1]),
        spoil_array("7/strokes/value", [1]),
        spoil_array("stray", [1]),
        lambda arrays, about: about.pop("scans"),
        lambda arrays, about: about.__setitem__("session", 7),
        lambda arrays, about: about["session"]["settings"].__setitem__("share", "x"),
        lambda arrays, about: about["session"]["settings"].__setitem__("weights", {"4": -1}),
        lambda arrays, about: about["session"].__setitem__("model", {}),
        lambda arrays, about: about["session"]["settings"].__setitem__("components", [0, 1, 10**9]),
        lambda arrays, about: about["session"].__setitem__("basis", {"model": "x"}),
        spoil_part("probe", "form", "linear"),
        spoil_part("pca", "method", "x"),
    ],
)
def test_spoiled_sessions_are_refused_in_one_line(saved, spoil):
    arrays, about = read_tensors(saved, "session", 1)
    spoil(arrays, about)
    write_tensors(saved, "session", 1, arrays, about)
    session = Session()
    with pytest.raises(CoralBayError) as error:
        session.load(saved)
    assert "\n" not in str(error.value)
    assert session.scans == []


def test_files_that_are_no_session_are_refused(saved, tmp_path):
    good = saved.read_bytes()
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    lying = json.loads(json.dumps(header))
    lying["0/strokes/index"]["data_offsets"] = [0, 10**10]
    text = json.dumps(lying).encode()
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("session.json", b"\0" * 50_000_000)
    contents = {
        "pickle": pickle.dumps(print),
        "zip bomb": bomb.read_bytes(),
        "lying offsets": struct.pack("<Q", len(text)) + text + good[8 + length :],
        "cut": good[:-1],
        "header beyond the end": struct.pack("<Q", 2**63) + good[8:],
        "nothing": b"",
    }
    for name, content in contents.items():
        saved.write_bytes(content)
        with pytest.raises(InputError) as error:
            Session().load(saved)
        assert "\n" not in str(error.value), name
