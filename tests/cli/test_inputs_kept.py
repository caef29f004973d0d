"""No command writes over a file that it reads, under whatever name; all are refused before any work."""

import os
import shutil

import numpy as np
import pytest

from coralbay_core.io import load_volume, save_map
from coralbay_core.matching.landmarks import write_landmarks
from coralbay_core.spatial import Grid, Volume
from tests.support.dicom import write_series

ENTERED = "would overwrite the input"
PLACE = {"name": "a", "x_mm": 0.0, "y_mm": 0.0, "z_mm": 0.0}


@pytest.fixture
def files(tmp_path):
    """One small file of each kind that commands read; contents matter only where a command is to succeed."""
    hu = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7))
    write_series(tmp_path / "dcm", hu, StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.4")
    ct = Volume(hu.astype(np.int16), Grid(hu.shape, np.diag([1.0, 1.0, 1.0, 1.0])))
    for name in ("ct", "strokes", "region", "protected"):
        save_map(tmp_path / f"{name}.nii.gz", (hu > 0).astype(np.uint8) if name != "ct" else ct.data, ct)
    (tmp_path / "strokes.json").write_text('{"1": "liver"}')
    write_landmarks(tmp_path / "places.csv", [PLACE])
    for name in ("probe.safetensors", "basis.safetensors", "weights.safetensors", "a.query", "b.query"):
        (tmp_path / name).write_bytes(b"not yet looked at")
    shutil.copy(tmp_path / "ct.nii.gz", tmp_path / "image.data")
    (tmp_path / "image.nhdr").write_text("NRRD0004\ndata file: image.data\n")
    return tmp_path


COMMANDS = (
    ("strokes.nii.gz", "query ct.nii.gz --strokes strokes.nii.gz -o OUT"),
    ("region.nii.gz", "query ct.nii.gz --region region.nii.gz -o OUT"),
    ("strokes.json", "query ct.nii.gz --strokes strokes.nii.gz --table OUT"),
    ("a.query", "query ct.nii.gz --use a.query --save OUT"),
    ("ct.nii.gz", "query ct.nii.gz --at 0,0,0 -o OUT"),
    ("ct.nii.gz", "query strokes.nii.gz --at 0,0,0 --in ct.nii.gz -o OUT"),
    ("strokes.nii.gz", "symmetry strokes.nii.gz --at 0,0,0 -o OUT"),
    ("places.csv", "match ct.nii.gz region.nii.gz --landmarks places.csv -o OUT"),
    ("a.query", "queries merge a.query b.query -o OUT"),
    ("basis.safetensors", "project ct.nii.gz --basis basis.safetensors --save-basis OUT"),
    ("region.nii.gz", "project ct.nii.gz --inside region.nii.gz -o OUT"),
    ("weights.safetensors", "probe fit ct.nii.gz --labels strokes.nii.gz --model weights.safetensors -o OUT"),
)


@pytest.mark.parametrize(("read", "command"), COMMANDS)
@pytest.mark.parametrize("how", ["same", "relative", "symlink", "hard link"])
def test_what_is_read_is_not_written(coralbay, files, monkeypatch, read, command, how):
    monkeypatch.chdir(files)
    out = read
    if how == "relative":
        out = os.path.join("dcm", "..", read)
    elif how != "same":
        (files / "other").mkdir()
        out = os.path.join("other", read)
        (os.symlink if how == "symlink" else os.link)(files / read, out)
    before = (files / read).read_bytes()
    code, _, err = coralbay(*command.replace("OUT", out).split())
    assert code == 2
    assert ENTERED in err
    assert (files / read).read_bytes() == before


def test_a_slice_of_the_series_is_not_replaced_by_its_segmentation(coralbay, succeed, files):
    slices = {path: path.read_bytes() for path in sorted((files / "dcm").iterdir())}
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[2, 2:4, 2:4] = 1
    save_map(files / "seg.nii.gz", labels, load_volume(files / "dcm"))
    first = next(iter(slices))
    for given in (files / "dcm", first):
        for out in slices:
            code, _, err = coralbay("export", files / "seg.nii.gz", "--dicom", given, "-o", out)
            assert (code, ENTERED in err) == (2, True)
    bare = first.rename(first.with_name("IM0000"))
    code, _, err = coralbay("export", files / "seg.nii.gz", "--dicom", files / "dcm", "-o", bare)
    assert (code, ENTERED in err) == (2, True)
    # A new object may lie beside the series, and may be exported again.
    for _ in range(2):
        succeed("export", files / "seg.nii.gz", "--dicom", files / "dcm", "-o", files / "dcm" / "seg.dcm")
    assert sorted(p.read_bytes() for p in (*slices, bare) if p.exists()) == sorted(slices.values())


def test_the_data_file_of_a_detached_header_counts_as_input(coralbay, files):
    (files / "image.nhdr").write_text("NRRD0004\ndata file: image.nii.gz\n")
    shutil.copy(files / "ct.nii.gz", files / "image.nii.gz")
    code, _, err = coralbay("symmetry", files / "image.nhdr", "--at", "0,0,0", "-o", files / "image.nii.gz")
    assert (code, ENTERED in err) == (2, True)


def test_two_outputs_need_two_paths(coralbay, files):
    out = files / "map.nii.gz"
    code, _, err = coralbay(
        "project", files / "ct.nii.gz", "-o", out, "--labels", files / "dcm" / ".." / "map.nii.gz", "--clusters", 3
    )
    assert (code, "two outputs have the same path" in err) == (2, True)
    assert not out.exists()


@pytest.mark.forward
def test_corrected_labels_survive(coralbay, succeed, scan, tmp_path):
    for name in ("ct.nii.gz", "strokes.nii.gz"):
        shutil.copy(scan / name, tmp_path / name)
    ct, strokes, probe = tmp_path / "ct.nii.gz", tmp_path / "strokes.nii.gz", tmp_path / "p.safetensors"
    succeed("probe", "fit", ct, "--labels", strokes, "-o", probe, "--model", "hu-patch", "--stages", "4,8")
    before = strokes.read_bytes()
    code, _, err = coralbay("probe", "apply", probe, ct, "--protect", strokes, "-o", strokes)
    assert (code, ENTERED in err, strokes.read_bytes() == before) == (2, True, True)
