"""Label maps as input: labels by name, maps in which 0 means background, maps of other formats."""

import json
import shutil

import numpy as np
import pytest

from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.spatial.segmentation_metrics import dice

pytestmark = pytest.mark.forward

MODEL = ["--model", "hu-context"]


def value_named(labels, name):
    return next(value for value, known in labels.names.items() if known == name)


@pytest.fixture(scope="module")
def named(torsos, tmp_path_factory):
    """Label map of the first torso with names beside it."""
    folder, made = torsos
    place = tmp_path_factory.mktemp("named")
    shutil.copy(folder / "labels.nii.gz", place)
    shutil.copy(folder / "a.nii.gz", place / "ct.nii.gz")
    (place / "labels.json").write_text(json.dumps({str(v): n for v, n in made[0].labels.names.items()}))
    return place


@pytest.mark.parametrize("wanted", ["liver", "Liver", "{value}", " LIVER "])
def test_a_region_by_name(succeed, named, wanted):
    volume, labels = load_volume(named / "ct.nii.gz"), load_labels(named / "labels.nii.gz")
    value = value_named(labels, "liver")
    region = ["--region", named / "labels.nii.gz", "--label", wanted.format(value=value)]
    top = succeed("query", named / "ct.nii.gz", *region, "--top", 1, *MODEL)["results"]["top"][0]
    place = tuple(volume.grid.nearest_index(np.array(top["position_mm"])))
    assert labels.data[place] == value


def test_names_beside_another_map_of_the_folder(succeed, named, tmp_path):
    for name in ("ct.nii.gz", "labels.json"):
        shutil.copy(named / name, tmp_path)
    shutil.copy(named / "labels.nii.gz", tmp_path / "organs.nii.gz")
    region = ["--region", tmp_path / "organs.nii.gz", "--label", "spleen"]
    assert succeed("query", tmp_path / "ct.nii.gz", *region, *MODEL)["results"]["top"]


@pytest.mark.parametrize(
    ("label", "match"),
    [("livr", "no such label - --label - found livr vs expected a value, or one of skin"), ("999", "empty region")],
)
def test_an_unknown_label(coralbay, named, label, match):
    region = ["--region", named / "labels.nii.gz", "--label", label]
    code, _, err = coralbay("query", named / "ct.nii.gz", *region, *MODEL)
    assert code == 2
    assert match in err.splitlines()[-1]


def test_zero_as_background(coralbay, succeed, torsos, named, tmp_path):
    """On another patient a segmentation floods the body when taken as strokes; not with the rest as a class."""
    folder, made = torsos
    labels = made[1].labels
    value = value_named(labels, "liver")
    strokes = ["--labels", named / "labels.nii.gz", "--label", "liver"]
    found = {}
    for way, more in {"strokes": ["--label", "spleen"], "rest": ["--background", "rest"]}.items():
        probe = tmp_path / f"{way}.safetensors"
        code, _, err = coralbay("probe", "fit", named / "ct.nii.gz", *strokes, *more, "-o", probe, *MODEL)
        assert code == 0, err
        assert ("add --background rest" in err) == (way == "strokes")
        told = succeed("probe", "apply", probe, folder / "b.nii.gz", "-o", tmp_path / f"{way}.nii.gz")
        found[way] = load_labels(told["outputs"]["seg"]).data
    assert dice(found["strokes"] == value, labels.data == value) < 0.3
    assert dice(found["rest"] == value, labels.data == value) > 0.35  # .78 with the default model
    assert set(np.unique(found["rest"])) == {0, value}


def test_strokes_are_not_called_a_segmentation(coralbay, scan, tmp_path):
    labels = load_labels(scan / "strokes.nii.gz")
    thin = np.zeros_like(labels.data)
    thin[::6] = labels.data[::6]
    save_map(tmp_path / "thin.nii.gz", thin, load_volume(scan / "ct.nii.gz"))
    fit = ["probe", "fit", scan / "ct.nii.gz", "--model", "hu-patch", "-o", tmp_path / "p.safetensors"]
    assert "background" not in coralbay(*fit, "--labels", tmp_path / "thin.nii.gz")[2]
    assert "add --background rest" in coralbay(*fit, "--labels", scan / "strokes.nii.gz")[2]


def test_one_class_names_the_way_out(coralbay, named, tmp_path):
    strokes = ["--labels", named / "labels.nii.gz", "--label", "liver"]
    code, _, err = coralbay("probe", "fit", named / "ct.nii.gz", *strokes, "-o", tmp_path / "p.safetensors", *MODEL)
    assert code == 2
    assert "strokes need two classes or more" in err
    assert "--background rest" in err


def test_huge_values_outside_the_body(succeed, scan, tmp_path):
    labels = load_labels(scan / "strokes.nii.gz")
    data = labels.data.astype(np.int32)
    data[0, 0, 0] = 2_000_000_000
    save_map(tmp_path / "huge.nii.gz", data, load_volume(scan / "ct.nii.gz"))
    strokes = ["--labels", tmp_path / "huge.nii.gz", "-o", tmp_path / "p.safetensors"]
    fitted = succeed("probe", "fit", scan / "ct.nii.gz", *strokes, "--model", "hu-patch", "--stages", "16")
    assert fitted["results"]["values"] == [3, 7, 2_000_000_000]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_statistics_of_other_formats(succeed, coralbay, scan, tmp_path, suffix):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.ReadImage(str(scan / "strokes.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / f"labels{suffix}"))
    shutil.copy(scan / "strokes.json", tmp_path / "labels.json")
    told = succeed("probe", "stats", tmp_path / f"labels{suffix}", "--ct", scan / "ct.nii.gz")["results"]["labels"]
    (tmp_path / "plain").mkdir()
    for name in ("strokes.nii.gz", "strokes.json"):
        shutil.copy(scan / name, tmp_path / "plain")
    assert (
        told
        == succeed("probe", "stats", tmp_path / "plain" / "strokes.nii.gz", "--ct", scan / "ct.nii.gz")["results"][
            "labels"
        ]
    )
    half = sitk.Cast(image, sitk.sitkFloat32) * 0.5
    sitk.WriteImage(half, str(tmp_path / f"half{suffix}"))
    assert "non-integer values" in coralbay("probe", "stats", tmp_path / f"half{suffix}")[2]


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", "abc", "1e400", "1e30"])
def test_malformed_limits_of_the_cache(coralbay, monkeypatch, value):
    monkeypatch.setenv("CORALBAY_CACHE_GB", value)
    code, out, err = coralbay("cache", "info")
    assert (code, out) == (2, "")
    assert err.startswith("error: unusable limit - CORALBAY_CACHE_GB")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0"])
def test_malformed_memory(coralbay, scan, value):
    code, _, err = coralbay("embed", scan / "ct.nii.gz", f"--memory={value}", "--model", "hu-patch", "--stages", "16")
    assert code == 2
    assert "unusable memory budget" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "{scan}/ct.nii.gz", "--strokes", ""],
        ["query", "{scan}/ct.nii.gz", "--at", "{click}", "--save", ""],
        ["probe", "fit", "{scan}/ct.nii.gz", "--labels", "", "-o", "p.safetensors"],
        ["probe", "stats", ""],
    ],
)
def test_an_empty_path_is_one_line(coralbay, scan, click, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, out, err = coralbay(*(text.format(scan=scan, click=click) for text in arguments))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert err.count("error: ") == 1


def test_notes_about_label_maps_are_printed(coralbay, named, tmp_path):
    for name in ("ct.nii.gz", "labels.nii.gz"):
        shutil.copy(named / name, tmp_path)
    (tmp_path / "labels.json").write_text("{")
    paths = [tmp_path / "labels.nii.gz", "--ct", tmp_path / "ct.nii.gz"]
    code, _, err = coralbay("probe", "stats", *paths)
    assert code == 0
    (line,) = [line for line in err.splitlines() if "were not read" in line]
    assert line.startswith("note: ")
    assert str(tmp_path / "labels.nii.gz") in line
