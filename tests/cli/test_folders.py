"""Folders of scans as input of commands."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coralbay_core.cli import run
from coralbay_core.extraction.cache import open_features
from coralbay_core.io import load_labels, load_volume
from tests.support.dicom import write_rtstruct, write_series

pytestmark = pytest.mark.forward

MODEL = ["--model", "hu-patch"]
COARSE = [*MODEL, "--stages", "16"]


@pytest.fixture(scope="module")
def probe(scan, tmp_path_factory):
    """A probe for the small CT."""
    path = tmp_path_factory.mktemp("probe") / "p.safetensors"
    ct, strokes = (str(scan / f"{name}.nii.gz") for name in ("ct", "strokes"))
    assert run(["probe", "fit", ct, "--labels", strokes, "-o", str(path), *COARSE]) == 0
    return path


def names_of(told):
    return [entry["name"] for entry in told["results"]["scans"]]


def copies(scan, folder, *places):
    """Copies of the small CT; each with another voxel, so that no two are the same scan."""
    import nibabel

    image = nibabel.load(scan / "ct.nii.gz")
    for number, place in enumerate(places):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.asarray(image.dataobj).copy()
        data[:5, :5, :5] = 50 + number
        made = path.with_name(f"made{''.join(path.suffixes).lower()}")
        nibabel.Nifti1Image(data, image.affine).to_filename(made)
        made.rename(path)


def patients(folder, scan):
    """A tree as a hospital exports it, with scans in four formats."""
    sitk = pytest.importorskip("SimpleITK")
    hu = load_volume(scan / "ct.nii.gz").data
    for name in ("p1", "p2"):
        write_series(folder / name / "CT", hu, SeriesDescription="axial", seed=len(name))
        (folder / name / "RS").mkdir()
        write_rtstruct(folder / name / "RS" / "plan.dcm")
    for uid in ("1.2.3.11", "1.2.3.22"):  # two series in one folder, and a lone image
        written = write_series(folder / "p3" / uid, hu, SeriesInstanceUID=uid)
        for path in written:
            shutil.move(path, folder / "p3" / f"{uid}-{path.name}")
        (folder / "p3" / uid).rmdir()
    write_series(folder / "p1" / "scout", hu[:1])
    write_series(folder / "p1" / "PET", hu, Modality="PT")
    image = sitk.ReadImage(str(scan / "ct.nii.gz"))
    for name in ("p4.nrrd", "p5.mha", "p6.nii"):
        sitk.WriteImage(image, str(folder / name))


def test_scans_of_one_name_are_told_apart(succeed, scan, probe, tmp_path):
    folder = tmp_path / "in"
    places = ["scan.nii", "scan.nii.gz", "SCAN2.NII.GZ", "a/b.nii.gz", "a--b.nii.gz", "c/x.nii.gz", "d/x.nii.gz"]
    copies(scan, folder, *places)
    told = succeed("embed", folder, "-o", tmp_path / "out", *COARSE)
    names = names_of(told)
    assert len({name.casefold() for name in names}) == len(places)
    assert {"scan.nii", "scan.nii.gz", "SCAN2", "c--x", "d--x"} <= set(names)
    assert sum(name.startswith("a--b--") for name in names) == 2
    for name in names:
        assert open_features(tmp_path / "out" / name).strides == (16,)
    told = succeed("probe", "apply", probe, folder, "-o", tmp_path / "seg")
    assert sorted(names_of(told)) == sorted(names)
    assert sorted(p.name for p in (tmp_path / "seg").glob("*.nii.gz")) == sorted(f"{name}.nii.gz" for name in names)
    assert names == names_of(succeed("embed", folder, *COARSE))  # the same the next time


def test_names_differ_where_case_does_not_count(succeed, scan, tmp_path):
    copies(scan, tmp_path, "Ct.nii.gz", "cT.nii.gz")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("the file system has no case")
    assert len({name.casefold() for name in names_of(succeed("embed", tmp_path, *COARSE))}) == 2


def test_what_is_no_scan_is_passed_over(coralbay, scan, tmp_path):
    copies(scan, tmp_path, "s1.nii.gz", "volume-0.nii/volume-0.nii")
    (tmp_path / "._s1.nii.gz").write_bytes(b"\0\5\26\7 Mac OS X")
    for hidden in (".git", "__MACOSX"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "s1.nii.gz").write_bytes(b"hidden")
    (tmp_path / "notes.txt").write_text("nothing")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    os.mkfifo(tmp_path / "pipe")
    code, out, err = coralbay("embed", tmp_path, *COARSE, "--json")
    assert code == 0, err
    assert names_of(json.loads(out)) == ["s1", "volume-0.nii--volume-0"]


@pytest.mark.parametrize("command", ["embed", "probe apply", "library add", "match"])
def test_one_bad_file_does_not_stop_the_rest(coralbay, scan, click, probe, tmp_path, command):
    folder = tmp_path / "in"
    copies(scan, folder, "a.nii.gz", "c.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"nothing")
    (folder / "d.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    shutil.copy(scan / "strokes.nii.gz", folder / "sub-1_desc-organs_dseg.nii.gz")
    out, report = tmp_path / "out", tmp_path / "report.csv"
    if command == "library add":
        pytest.importorskip("lancedb")
    arguments = {
        "embed": ["embed", folder, "-o", out, *COARSE],
        "probe apply": ["probe", "apply", probe, folder, "-o", out],
        "library add": ["library", "add", out, folder, *MODEL],
        "match": ["match", scan / "ct.nii.gz", folder, "--at", click, "-o", out, *COARSE],
    }[command]
    code, told, err = coralbay(*arguments, "--report", report, "--json")
    assert code == 1
    rows = {Path(row["scan"]).name.split(".")[0]: row for row in csv.DictReader(report.read_text("utf-8").splitlines())}
    results = {"a": "done", "b": "failed", "c": "done", "d": "failed", "sub-1_desc-organs_dseg": "passed over"}
    assert {name: row["result"] for name, row in rows.items()} == results
    assert "b.nii.gz" in rows["b"]["reason"]
    assert "labels, by its name" in rows["sub-1_desc-organs_dseg"]["reason"]
    assert err.splitlines()[-2] == "2 done, 2 failed, 1 passed over"
    last = err.splitlines()[-1]
    assert "of 2 of 4 scans could not be computed" in last
    assert "b.nii.gz" in last
    assert "no such file" in last
    results = json.loads(told)["results"]
    assert len(results["failed"]) == 2
    done = results["added"] if command == "library add" else results["scans"]
    assert [entry["name"] for entry in done] == ["a", "c"]
    if command == "probe apply":
        assert sorted(p.name for p in out.glob("*.nii.gz")) == ["a.nii.gz", "c.nii.gz"]
    if command == "match":
        assert sorted(p.name for p in out.glob("*.csv")) == ["a.csv", "c.csv"]


def test_a_folder_without_a_sound_scan_has_no_results(coralbay, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.nii.gz").write_bytes(b"nothing")
    code, out, err = coralbay("embed", tmp_path, *COARSE)
    assert (code, out) == (1, "")
    assert "features of 2 of 2 scans could not be computed" in err.splitlines()[-1]


@pytest.mark.slow
def test_folders_of_patients_in_all_formats(succeed, coralbay, scan, click, probe, tmp_path):
    pytest.importorskip("lancedb")
    folder = tmp_path / "patients"
    folder.mkdir()
    patients(folder, scan)
    expected = ["p1--CT", "p2--CT", "p3--1.2.3.11", "p3--1.2.3.22", "p4", "p5", "p6"]
    told = succeed("embed", folder, "-o", tmp_path / "features", *COARSE)
    assert sorted(names_of(told)) == expected
    shapes = {tuple(entry["stages"]["16"]["shape"]) for entry in told["results"]["scans"]}
    assert len(shapes) == 2  # the DICOM series have another spacing
    applied = succeed("probe", "apply", probe, folder, "-o", tmp_path / "seg")
    assert sorted(names_of(applied)) == sorted(names_of(told))
    for name in ("p1--CT", "p4", "p5", "p6"):
        assert load_labels(tmp_path / "seg" / f"{name}.nii.gz").data.any()
    found = succeed("match", scan / "ct.nii.gz", folder, "--at", click, "-o", tmp_path / "m", *COARSE)
    assert sorted(names_of(found)) == sorted(names_of(told))
    added = succeed("library", "add", tmp_path / "lib", folder, *MODEL)["results"]
    assert len(added["added"]) + len(added["already_there"]) == len(expected)
    assert added["failed"] == {}
    _, _, err = coralbay("embed", folder, *COARSE)
    assert "a single image" in err
    assert "modality is PT, not CT" in err
    assert "RTSTRUCT" in err


@pytest.mark.slow
def test_a_folder_of_one_scan(succeed, coralbay, scan, click, probe, tmp_path):
    write_series(tmp_path / "one" / "deep", load_volume(scan / "ct.nii.gz").data)
    told = succeed("probe", "apply", probe, tmp_path / "one", "-o", tmp_path / "s.nii.gz")
    assert load_labels(told["outputs"]["seg"]).data.any()
    copies(scan, tmp_path, "single/ct.nii.gz", "two/a.nii.gz", "two/b.nii.gz")
    succeed("match", tmp_path / "single", tmp_path / "one", "--at", click, "-o", tmp_path / "m.csv", *COARSE)
    code, _, err = coralbay("match", tmp_path / "two", tmp_path / "one", "--at", click, *COARSE)
    assert code == 2
    assert "several scans in the folder" in err
    assert "2: a, b" in err
    code, _, err = coralbay(
        "match", tmp_path / "one", tmp_path / "two", "--at", click, "-o", tmp_path / "m.csv", *COARSE
    )
    assert code == 2
    assert "matches of several scans need a folder" in err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_a_terminal_that_is_not_utf8(scan, tmp_path, monkeypatch, encoding):
    folder = tmp_path / "患者-7"
    folder.mkdir()
    shutil.copy(scan / "strokes.nii.gz", folder / "肝臓.nii.gz")
    (folder / "肝臓.json").write_text('{"3": "骨", "7": "muscle"}', "utf-8")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    table = folder / "表.csv"
    assert run(["probe", "stats", str(folder / "肝臓.nii.gz"), "--csv", str(table)]) == 0
    assert b"muscle" in bytes_of(out)
    assert "骨" in table.read_text("utf-8")
    assert bytes_of(err) == b""
    assert run(["probe", "stats", str(folder / "肝臓.nii.gz"), "--csv", str(folder / "表.txt")]) == 2
    assert bytes_of(err).startswith(b"error: not a table name")


def bytes_of(stream):
    stream.flush()
    return stream.buffer.getvalue()


@pytest.mark.slow
def test_a_process_in_a_terminal_that_is_not_utf8(scan, tmp_path):
    shutil.copy(scan / "ct.nii.gz", tmp_path / "肝臓.nii.gz")
    call = [sys.executable, "-c", "from coralbay_core.cli import main; main()", "info", str(tmp_path / "肝臓.nii.gz")]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(call, capture_output=True, timeout=120, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"40 x 32 x 40" in done.stdout
