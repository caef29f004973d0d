"""Files of 3D Slicer, ITK-SNAP, TotalSegmentator and OME-Zarr as input and output of commands."""

import csv
import json
import shutil

import numpy as np
import pytest

from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.io.transforms import save_transform
from coralbay_core.matching import read_landmarks
from coralbay_core.spatial import geometry

pytestmark = pytest.mark.forward

MODEL = ["--model", "hu-context"]


def test_a_segmentation_goes_to_slicer_and_back(succeed, scan, tmp_path):
    """Strokes of Slicer, a segmentation for Slicer, and its statistics."""
    strokes = tmp_path / "strokes.seg.nrrd"
    succeed("convert", scan / "strokes.nii.gz", strokes, "--like", scan / "ct.nii.gz")
    probe, seg = tmp_path / "p.safetensors", tmp_path / "seg.seg.nrrd"
    succeed("probe", "fit", scan / "ct.nii.gz", "--labels", strokes, "-o", probe, *MODEL)
    made = succeed("probe", "apply", probe, scan / "ct.nii.gz", "-o", seg, "--no-refine")
    found = load_labels(seg, like=load_volume(scan / "ct.nii.gz"))
    assert found.names == {3: "bone", 7: "muscle"}
    sizes = {row["value"]: row["size_ml"] for row in made["results"]["classes"]}
    assert {v: (found.data == v).sum() * found.grid.voxel_ml for v in sizes} == pytest.approx(sizes)
    rows = succeed("probe", "stats", seg)["results"]["labels"]
    assert {row["value"]: row["name"] for row in rows} == found.names


def test_label_maps_between_formats(succeed, scan, tmp_path):
    labels = load_labels(scan / "strokes.nii.gz")
    for name in ("a.seg.nrrd", "b.ome.zarr", "c.nrrd", "d.nii.gz"):
        source = scan / "strokes.nii.gz" if name == "a.seg.nrrd" else tmp_path / "a.seg.nrrd"
        succeed("convert", source, tmp_path / name)
        found = load_labels(tmp_path / name)
        assert found.names == labels.names, name
        assert np.array_equal(found.data, labels.data), name
        assert found.grid == labels.grid, name


def test_names_go_to_itk_snap_and_come_from_there(succeed, scan, tmp_path):
    succeed("convert", scan / "strokes.nii.gz", tmp_path / "strokes.txt")
    assert '"bone"' in (tmp_path / "strokes.txt").read_text()
    text = (tmp_path / "strokes.txt").read_text().replace('"bone"', '"vertebra"')
    (tmp_path / "mine.txt").write_text(text)
    seg = tmp_path / "a.seg.nrrd"
    succeed("convert", scan / "strokes.nii.gz", seg, "--names", tmp_path / "mine.txt")
    assert load_labels(seg).names == {3: "vertebra", 7: "muscle"}


def test_a_folder_of_masks_is_a_label_map(succeed, scan, tmp_path):
    ct, strokes = load_volume(scan / "ct.nii.gz"), load_labels(scan / "strokes.nii.gz")
    masks = tmp_path / "masks"
    for value, name in ((3, "vertebrae_L2"), (7, "autochthon_left")):
        save_map(masks / f"{name}.nii.gz", strokes.data == value, ct)
    asked = ("query", scan / "ct.nii.gz", "--top", 3, *MODEL, "--region")
    by_name = succeed(*asked, masks, "--label", "vertebrae L2")["results"]["top"]
    assert by_name == succeed(*asked, scan / "strokes.nii.gz", "--label", "bone")["results"]["top"]
    succeed("convert", masks, tmp_path / "all.nii.gz")
    assert load_labels(tmp_path / "all.nii.gz").names == {86: "autochthon_left", 30: "vertebrae_L2"}


def test_scans_between_formats(succeed, coralbay, scan, click, tmp_path):
    ct = load_volume(scan / "ct.nii.gz")
    for name in ("ct.nrrd", "ct.ome.zarr", "ct.nii"):
        succeed("convert", scan / "ct.nii.gz", tmp_path / name)
        found = load_volume(tmp_path / name)
        assert found.grid == ct.grid
        assert np.array_equal(found.data, ct.data)
    heat = tmp_path / "heat.nrrd"
    first, second = (
        succeed("query", path, f"--at={click}", "-o", heat, *MODEL)["results"]["top"]
        for path in (scan / "ct.nii.gz", tmp_path / "ct.ome.zarr")
    )
    assert first == second
    code, _, err = coralbay("query", scan / "ct.nii.gz", f"--at={click}", "-o", tmp_path / "heat.seg.nrrd", *MODEL)
    assert code == 2
    assert "not the name of a map" in err


def test_points_go_to_slicer_and_come_from_there(succeed, coralbay, torsos, tmp_path):
    folder, _ = torsos
    points, found = tmp_path / "points.mrk.json", tmp_path / "found.mrk.json"
    shutil.copy(folder / "landmarks.json", tmp_path / "l.json")
    rows = [
        {"name": p.name, **dict(zip("xyz", p.position_mm, strict=True))} for p in read_landmarks(tmp_path / "l.json")
    ]
    with (tmp_path / "l.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", *"xyz"])
        writer.writeheader()
        writer.writerows(rows)
    succeed("convert", tmp_path / "l.csv", points)
    stored = json.loads(points.read_text())["markups"][0]
    assert stored["coordinateSystem"] == "LPS"
    first = stored["controlPoints"][0]
    assert first["position"] == pytest.approx([-rows[0]["x"], -rows[0]["y"], rows[0]["z"]], abs=1e-3)
    a, b = folder / "a.nii.gz", folder / "b.nii.gz"
    made = succeed("match", a, b, "--landmarks", points, "-o", found, "--prior-mm", 0, *MODEL)["results"]["matches"]
    assert [p.name for p in read_landmarks(found)] == [row["name"] for row in rows]
    for place, row in zip(read_landmarks(found), made, strict=True):
        np.testing.assert_allclose(place.position_mm, row["position_mm"], atol=0.01)
    assert "score" in json.loads(found.read_text())["markups"][0]["controlPoints"][0]["description"]
    listed = succeed("match", a, b, "--at", points, "--prior-mm", 0, *MODEL)["results"]["matches"]
    assert [row["position_mm"] for row in listed] == [row["position_mm"] for row in made]
    code, _, err = coralbay("match", a, b, "--at", points, "-o", points, *MODEL)
    assert code == 2
    assert "would overwrite the input" in err


def test_matches_start_from_a_transform(succeed, torsos, tmp_path):
    folder, (first, second) = torsos
    shared = sorted(set(first.landmarks) & set(second.landmarks))
    here, there = (np.array([made.landmarks[name] for name in shared]) for made in (first, second))
    back = geometry.fit_affine(there, here)
    grid, _ = second.volume.grid.subsample(40)
    position_mm = grid.cell_positions(np.ones(grid.shape, bool))
    away = geometry.apply(back, position_mm) - position_mm
    path = save_transform(tmp_path / "t.tfm", away.T.reshape(3, *grid.shape), grid)
    places = ["--landmarks", folder / "landmarks.json", "--transform", path]
    made = succeed("match", folder / "a.nii.gz", folder / "b.nii.gz", *places, *MODEL)["results"]
    assert "candidates" not in made["alignment"]  # none was searched for
    np.testing.assert_allclose(made["alignment"]["affine"], geometry.inverse(back), atol=0.05)
