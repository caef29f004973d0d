"""Label maps in which 0 means background, and labels by their name."""

import json

import numpy as np
import pytest

from coralbay_core.io import load_labels

pytestmark = pytest.mark.forward

FAST = ("--model", "hu-context", "--stages", "4,8")


@pytest.fixture(scope="module")
def named(torsos):
    """The torsos, with the names of their labels beside the label map; value and name of the liver."""
    folder, made = torsos
    names = {str(value): name for value, name in made[0].labels.names.items()}
    (folder / "labels.json").write_text(json.dumps(names))
    return folder, made, next(int(value) for value, name in names.items() if name == "liver")


def dice(found, wanted):
    return 2 * np.count_nonzero(found & wanted) / (np.count_nonzero(found) + np.count_nonzero(wanted))


@pytest.mark.slow
def test_the_rest_of_the_body_is_learned_as_background(coralbay, succeed, named, tmp_path):
    folder, made, liver = named
    fit = ("probe", "fit", folder / "a.nii.gz", "--labels", folder / "labels.nii.gz", "-o", tmp_path / "p.safetensors")
    told = succeed(*fit, "--label", "Liver", "--background", "rest", *FAST)["results"]
    assert told["values"] == [0, liver]
    assert told["names"][str(liver)] == "liver"
    out = tmp_path / "seg.nii.gz"
    succeed("probe", "apply", tmp_path / "p.safetensors", folder / "b.nii.gz", "-o", out)
    found = load_labels(out, like=made[1].volume).data
    assert set(np.unique(found)) == {0, liver}
    assert dice(found == liver, made[1].labels.data == liver) > 0.5
    code, _, err = coralbay(*fit, "--label", "liver", *FAST)
    assert code == 2
    assert "--background rest" in err


def test_a_map_whose_0_looks_like_background_is_noted(coralbay, scan, named, tmp_path):
    folder, _, _ = named
    arguments = ("-o", tmp_path / "p.safetensors", *FAST)
    fit = ("probe", "fit", folder / "a.nii.gz", "--labels", folder / "labels.nii.gz", *arguments)
    code, _, err = coralbay(*fit, "--label", "liver", "--label", "spleen")
    assert code == 0
    assert "note: labels: 0 covers" in err
    assert "add --background rest" in err
    assert "covers" not in coralbay(*fit, "--label", "liver", "--background", "rest")[2]


def test_a_query_takes_the_label_of_a_region_by_name(coralbay, succeed, named, tmp_path):
    folder, made, liver = named
    query = ("query", folder / "a.nii.gz", "--region", folder / "labels.nii.gz", *FAST, "--top", 1, "--label")
    by_name, by_value = (succeed(*query, label)["results"]["top"][0]["position_mm"] for label in ("liver", liver))
    assert by_name == by_value
    assert made[0].labels.data[tuple(made[0].volume.grid.nearest_index(by_name))] == liver
    code, _, err = coralbay(*query, "gizzard")
    assert (code, "no such label - --label - found gizzard vs expected a value, or one of" in err) == (2, True)
