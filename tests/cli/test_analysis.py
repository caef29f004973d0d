"""``project`` and ``probe`` as users and scripts meet them: shared bases, several scans, folders, numbers."""

import csv
import shutil
from typing import get_args

import nibabel as nib
import numpy as np
import pytest

from coralbay_core.cli.probe import ProbeKind
from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.probe import DEFAULT_KIND, KINDS, load_probe

pytestmark = pytest.mark.forward


def test_the_kinds_of_the_command_are_those_of_the_core():
    assert get_args(ProbeKind) == KINDS
    assert KINDS[0] == DEFAULT_KIND


def test_project_keeps_a_basis_and_applies_it(succeed, scan, tmp_path):
    basis, ct = tmp_path / "basis.safetensors", scan / "ct.nii.gz"
    fitted = succeed("project", ct, "--save-basis", basis, "--fit-with", ct, "-o", tmp_path / "own.nii.gz")
    assert fitted["outputs"]["basis"] == str(basis)
    assert fitted["results"]["basis_scans"] == 2
    applied = succeed("project", ct, "--basis", basis, "--components", "1,2,3", "-o", tmp_path / "again.nii.gz")
    first, second = (nib.load(tmp_path / name).dataobj.get_unscaled() for name in ("own.nii.gz", "again.nii.gz"))
    np.testing.assert_array_equal(first, second)
    assert applied["results"]["explained"] == pytest.approx(fitted["results"]["explained"])


def test_project_writes_clusters_and_points_of_a_selection(succeed, scan, tmp_path):
    ct = load_volume(scan / "ct.nii.gz")
    half = np.zeros(ct.shape, np.uint8)
    half[:, :, : ct.shape[2] // 2] = 1
    save_map(tmp_path / "half.nii.gz", half, ct)
    outputs = ["--labels", tmp_path / "c.nii.gz", "--scatter", tmp_path / "points.csv"]
    told = succeed("project", scan / "ct.nii.gz", "--clusters", 3, *outputs, "--inside", tmp_path / "half.nii.gz")
    labels = load_labels(tmp_path / "c.nii.gz", like=ct).data
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert (labels[half == 0] > 0).mean() < 0.1  # cells reach a little across
    assert [c["value"] for c in told["results"]["clusters"]] == [1, 2, 3]
    with open(tmp_path / "points.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    places = np.array([[float(row[axis]) for axis in ("R_mm", "A_mm", "S_mm")] for row in rows])
    assert ct.grid.contains(places).mean() > 0.8  # cells may reach beyond the edge
    inside = np.rint(ct.grid.to_index(places)).astype(int)[:, 2] <= ct.shape[2] // 2
    assert inside.all()


@pytest.mark.slow
def test_project_with_umap(succeed, scan, tmp_path):
    pytest.importorskip("umap")
    told = succeed("project", scan / "ct.nii.gz", "--method", "umap", "-o", tmp_path / "rgb.nii.gz")
    assert nib.load(told["outputs"]["rgb"]).get_data_dtype().names == ("R", "G", "B")


@pytest.fixture(scope="module")
def fitted(scan, tmp_path_factory):
    """A probe from the strokes of the small scan, twice."""
    from coralbay_core.cli import run

    path = tmp_path_factory.mktemp("fitted") / "p.safetensors"
    ct, drawn = str(scan / "ct.nii.gz"), str(scan / "strokes.nii.gz")
    assert run(["probe", "fit", ct, "--labels", drawn, ct, "--labels", drawn, "-o", str(path)]) == 0
    return path


def test_fit_on_several_scans(fitted):
    probe = load_probe(fitted)
    assert (probe.kind, probe.scans, probe.values) == (DEFAULT_KIND, 2, (3, 7))
    assert probe.names == {3: "bone", 7: "muscle"}


def test_apply_with_maps_and_protected_labels(succeed, scan, fitted, tmp_path):
    ct = load_volume(scan / "ct.nii.gz")
    kept = np.zeros(ct.shape, np.uint16)
    kept[5:9, 5:9, 5:9] = 900
    save_map(tmp_path / "kept.nii.gz", kept, ct)
    maps = ["--probability", tmp_path / "p.nii.gz", "--margin", tmp_path / "m.nii.gz"]
    told = succeed(
        "probe",
        "apply",
        fitted,
        scan / "ct.nii.gz",
        "-o",
        tmp_path / "s.nii.gz",
        *maps,
        "--protect",
        tmp_path / "kept.nii.gz",
    )
    labels = load_labels(tmp_path / "s.nii.gz", like=ct).data
    assert (labels[kept == 900] == 900).all()
    assert set(np.unique(labels)) <= {0, 3, 7, 900}
    assert set(told["outputs"]) == {"seg", "probability", "margin"}
    probability, margin = (load_volume(tmp_path / f"{name}.nii.gz").data for name in "pm")
    assert (margin <= probability + 1e-6).all()
    assert {c["value"] for c in told["results"]["classes"]} == set(np.unique(labels)) - {0}
    rough = succeed("probe", "apply", fitted, scan / "ct.nii.gz", "-o", tmp_path / "r.nii.gz", "--no-refine")
    assert rough["results"]["refined"] is False


def test_labels_spread_from_strokes(succeed, scan, fitted, tmp_path):
    ct = load_volume(scan / "ct.nii.gz")
    drawn = load_labels(scan / "strokes.nii.gz", like=ct).data
    arguments = ["probe", "apply", fitted, scan / "ct.nii.gz", "-o", tmp_path / "s.nii.gz", "--no-refine"]
    told = succeed(*arguments, "--strokes", scan / "strokes.nii.gz")
    assert told["inputs"]["strokes"] == str(scan / "strokes.nii.gz")
    labels = load_labels(tmp_path / "s.nii.gz", like=ct).data
    assert (labels[drawn > 0] == drawn[drawn > 0]).mean() > 0.7


def test_the_clicked_structure_as_a_mask(coralbay, succeed, scan, tmp_path):
    ct = load_volume(scan / "ct.nii.gz")
    place = ",".join(f"{v:.1f}" for v in ct.grid.center_mm)
    mask = tmp_path / "m.nii.gz"
    told = succeed("query", scan / "ct.nii.gz", f"--at={place}", "--scope", "here", "--threshold", "auto", "-o", mask)
    (structure,) = told["results"]["top"]
    assert 0 < structure["size_ml"] < ct.grid.voxel_ml * ct.data.size
    assert 0 < told["results"]["threshold"] < 1
    found = load_labels(mask, like=ct).data
    assert found[tuple(ct.grid.nearest_index(ct.grid.center_mm))] == 1
    code, _, said = coralbay("query", scan / "ct.nii.gz", f"--at={place}", "--threshold", "auto", "-o", mask)
    assert (code, "auto needs --scope here" in said) == (2, True)


def test_apply_to_a_folder(coralbay, succeed, scan, fitted, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        shutil.copy(scan / "ct.nii.gz", tmp_path / "in" / f"{name}.nii.gz")
    told = succeed("probe", "apply", fitted, tmp_path / "in", "-o", tmp_path / "out", "--margin", tmp_path / "margins")
    assert [entry["name"] for entry in told["results"]["scans"]] == ["a", "b"]
    for folder in ("out", "margins"):
        assert {p.name for p in (tmp_path / folder).iterdir()} == {
            "a.nii.gz",
            "b.nii.gz",
            "a.provenance.json",
            "b.provenance.json",
        }
    code, out, _ = coralbay("probe", "apply", fitted, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 0
    assert "a:" in out


def test_suggestions_keep_away_from_what_is_skipped(coralbay, succeed, scan, fitted):
    ct = scan / "ct.nii.gz"
    first = succeed("probe", "suggest", fitted, ct, "--count", 1)["results"]["suggestions"][0]
    place = ",".join(f"{v:.1f}" for v in first["position_mm"])
    others = succeed("probe", "suggest", fitted, ct, "--skip", place)["results"]["suggestions"]
    for other in others:
        assert np.linalg.norm(np.subtract(other["position_mm"], first["position_mm"])) > 23.9
    assert set(first["candidates"]) == {3, 7}
    code, out, _ = coralbay("probe", "suggest", fitted, ct, "--labels", scan / "strokes.nii.gz")
    assert code == 0
    assert "doubt" in out or "nothing left" in out


def test_statistics_as_lines_json_and_csv(coralbay, succeed, scan, tmp_path):
    drawn, table = scan / "strokes.nii.gz", tmp_path / "deep" / "t.csv"
    told = succeed("probe", "stats", drawn, "--reference", drawn, "--ct", scan / "ct.nii.gz", "--csv", table)
    bone, muscle = told["results"]["labels"]
    assert (bone["name"], bone["dice"], bone["surface_mm"]) == ("bone", 1, 0)
    assert bone["mean_hu"] > muscle["mean_hu"] + 50
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["volume_ml"]) == pytest.approx(bone["volume_ml"])
    code, out, _ = coralbay("probe", "stats", drawn)
    assert code == 0
    assert "muscle" in out
