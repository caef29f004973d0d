"""Outputs never take the place of what a command reads."""

import os
import shutil

import numpy as np
import pytest

from coralbay_core.cli import run
from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume, require_no_input, save_dicom, save_map
from coralbay_core.spatial import LabelVolume
from tests.support.dicom import write_rtstruct, write_series

pytestmark = pytest.mark.forward

MODEL = ["--model", "hu-patch", "--stages", "16"]
AT = ["--at", "0,0,0"]
# Output option and the input that it must not replace; files lie in the current folder.
COMMANDS = [
    ["query", "ct.nii.gz", *AT, "-o", "ct.nii.gz"],
    ["query", "ct.nii.gz", "--region", "mask.nii.gz", "-o", "mask.nii.gz"],
    ["query", "ct.nii.gz", "--strokes", "mask.nii.gz", "-o", "mask.nii.gz"],
    ["query", "ct.nii.gz", *AT, "--in", "other.nii.gz", "-o", "other.nii.gz"],
    ["query", "ct.nii.gz", *AT, "--use", "q.query", "--save", "q.query"],
    ["query", "ct.nii.gz", "--region", "mask.nii.gz", "--table", "mask.json"],
    ["symmetry", "ct.nii.gz", *AT, "-o", "ct.nii.gz"],
    ["project", "ct.nii.gz", "-o", "ct.nii.gz"],
    ["project", "ct.nii.gz", "--inside", "mask.nii.gz", "-o", "mask.nii.gz"],
    ["project", "ct.nii.gz", "--clusters", "3", "--labels", "ct.nii.gz"],
    ["project", "ct.nii.gz", "--inside", "mask.nii.gz", "--clusters", "3", "--labels", "mask.nii.gz"],
    ["project", "ct.nii.gz", "--fit-with", "other.nii.gz", "-o", "other.nii.gz"],
    ["probe", "apply", "p.safetensors", "ct.nii.gz", "-o", "ct.nii.gz"],
    ["probe", "apply", "p.safetensors", "ct.nii.gz", "--protect", "mask.nii.gz", "-o", "mask.nii.gz"],
    ["probe", "apply", "p.safetensors", "ct.nii.gz", "-o", "s.nii.gz", "--protect", "mask.nii.gz"]
    + ["--margin", "mask.nii.gz"],
    ["probe", "fit", "ct.nii.gz", "--labels", "mask.nii.gz", "--model", "w.safetensors", "-o", "w.safetensors"],
    ["match", "ct.nii.gz", "other.nii.gz", "--landmarks", "l.csv", "-o", "l.csv"],
    ["queries", "merge", "q.query", "r.query", "-o", "q.query"],
    ["models", "convert", "w.safetensors", "-o", "w.safetensors"],
]


@pytest.fixture(scope="module")
def inputs(scan, click, tmp_path_factory):
    """Folder with all kinds of inputs."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copy(scan / "ct.nii.gz", folder)
    shutil.copy(scan / "ct.nii.gz", folder / "other.nii.gz")
    shutil.copy(scan / "strokes.nii.gz", folder / "mask.nii.gz")
    shutil.copy(scan / "strokes.json", folder / "mask.json")
    (folder / "l.csv").write_text("name,x_mm,y_mm,z_mm\na," + click + "\n")
    ct = str(folder / "ct.nii.gz")
    for name in "qr":
        assert run(["query", ct, "--at", click, "--save", str(folder / f"{name}.query"), *MODEL]) == 0
    strokes = ["--labels", str(folder / "mask.nii.gz")]
    assert run(["probe", "fit", ct, *strokes, "-o", str(folder / "p.safetensors"), *MODEL]) == 0
    shutil.copy(folder / "p.safetensors", folder / "w.safetensors")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


ALIASES = ("absolute", "dotted", "symlink", "hardlink")
CASES = [(call, "same") for call in COMMANDS]
CASES += [(call, alias) for call in (COMMANDS[1], COMMANDS[13], COMMANDS[16]) for alias in ALIASES]


@pytest.mark.parametrize(("arguments", "alias"), CASES, ids=lambda a: a if isinstance(a, str) else " ".join(a)[:60])
def test_an_output_is_no_input(coralbay, inputs, tmp_path, monkeypatch, arguments, alias):
    folder = tmp_path / "in"
    shutil.copytree(inputs, folder)
    monkeypatch.chdir(folder)
    target = folder / arguments[-1]
    link = tmp_path / ("out" + "".join(target.suffixes[-2:]))
    if alias == "symlink":
        link.symlink_to(target)
    elif alias == "hardlink":
        os.link(target, link)
    out = {"same": arguments[-1], "absolute": target, "dotted": f"../in/{arguments[-1]}"}.get(alias, link)
    before = contents(folder)
    code, told, err = coralbay(*arguments[:-1], out, *(MODEL if arguments[0] == "query" else []))
    assert (code, told) == (2, "")
    assert "error: would overwrite the input" in err
    assert err.count("\n") == 1
    assert contents(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["project", "ct.nii.gz", "-o", "a.nii.gz", "--clusters", "3", "--labels", "A.nii.gz"],
        ["probe", "apply", "p.safetensors", "ct.nii.gz", "-o", "s.nii.gz", "--margin", "./s.nii.gz"],
    ],
)
def test_two_outputs_have_two_paths(coralbay, inputs, monkeypatch, arguments):
    monkeypatch.chdir(inputs)
    code, _, err = coralbay(*arguments)
    assert code == 2
    assert "two outputs have the same path" in err


@pytest.fixture
def series(tmp_path):
    """A DICOM series and a label map on it."""
    folder = tmp_path / "dicom"
    uids = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    write_series(folder, np.random.default_rng(0).integers(-1000, 1000, (4, 6, 7)), **uids)
    volume = load_volume(folder)
    data = np.zeros(volume.shape, np.uint8)
    data[1:3, 2:4, 2:5] = 1
    save_map(tmp_path / "seg.nii.gz", data, volume)
    return folder


@pytest.mark.parametrize("how", ["slice", "without suffix", "hard link", "damaged slice", "plan"])
def test_an_export_is_no_slice(coralbay, series, tmp_path, how):
    target = sorted(series.iterdir())[1]
    if how == "without suffix":
        for path in sorted(series.iterdir()):
            path.rename(path.with_suffix(""))
        target = target.with_suffix("")
    elif how == "hard link":
        os.link(target, tmp_path / "out.dcm")
        target = tmp_path / "out.dcm"
    elif how == "damaged slice":
        target = series / "image_900.dcm"
        target.write_bytes(b"")
    elif how == "plan":
        target = write_rtstruct(series / "plan.dcm")
    before = contents(series)
    code, _, err = coralbay("export", tmp_path / "seg.nii.gz", "--dicom", series, "-o", target)
    assert code == 2
    assert "would overwrite the input" in err
    slice_as_input = next(path for path in sorted(series.iterdir()) if path != target)
    assert coralbay("export", tmp_path / "seg.nii.gz", "--dicom", slice_as_input, "-o", target)[0] == 2
    assert contents(series) == before


def test_an_own_export_in_the_folder_is_replaced(succeed, series, tmp_path):
    for _ in range(2):
        succeed("export", tmp_path / "seg.nii.gz", "--dicom", series, "-o", series / "seg.dcm")
    assert load_volume(series).shape == (4, 6, 7)


def test_the_core_compares_files_too(inputs, series, tmp_path):
    volume, labels = load_volume(inputs / "ct.nii.gz"), load_labels(inputs / "mask.nii.gz")
    (tmp_path / "link.nii.gz").symlink_to(inputs / "ct.nii.gz")
    os.link(inputs / "mask.nii.gz", tmp_path / "hard.nii.gz")
    for path, read in (("link.nii.gz", volume), ("hard.nii.gz", labels)):
        with pytest.raises(InputError, match="would overwrite the input"):
            save_map(tmp_path / path, np.zeros(read.shape, np.uint8), read)
    ct = load_volume(series)
    made = LabelVolume(np.ones(ct.shape, np.uint8), ct.grid)
    slice_path = sorted(series.iterdir())[0]
    with pytest.raises(InputError, match="would overwrite the input"):
        save_dicom(slice_path, made, series)
    disguised = slice_path.rename(series / "slice.nii.gz")
    with pytest.raises(InputError, match="would overwrite the input"):
        save_map(disguised, made.data, ct)


def test_a_header_counts_with_its_data(tmp_path):
    (tmp_path / "ct.mhd").write_text("NDims = 3\nElementDataFile = voxels.json\n")
    (tmp_path / "ct.nhdr").write_text("NRRD0004\ndimension: 3\ndata file: other.csv\n")
    for name in ("voxels.json", "other.csv"):
        (tmp_path / name).write_text("")
        with pytest.raises(InputError, match="would overwrite the input"):
            require_no_input([tmp_path / name], [tmp_path / "ct.mhd", tmp_path / "ct.nhdr"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["query", "ct.nii.gz", *AT, "-o", "l.csv/heat.nii.gz"], "output is not in a folder"),
        (["query", "ct.nii.gz", *AT, "--table", "folder.csv"], "output is a folder"),
        (["embed", "ct.nii.gz", "-o", "l.csv"], "output is not in a folder"),
        (["probe", "fit", "ct.nii.gz", "--labels", "mask.nii.gz", "-o", "folder.safetensors"], "output is a folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_first(coralbay, inputs, monkeypatch, arguments, match):
    monkeypatch.chdir(inputs)
    for suffix in ("csv", "safetensors"):
        (inputs / f"folder.{suffix}").mkdir(exist_ok=True)
    code, _, err = coralbay(*arguments)
    assert code == 2
    assert err.startswith(f"error: {match}")
