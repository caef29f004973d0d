"""The command ``transfer``."""

import json

import numpy as np
import pytest

from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.spatial.segmentation_metrics import dice

MODEL = ("--model", "hu-context", "--stages", "4,8,16")


@pytest.fixture
def refused(coralbay):
    def call(*arguments):
        code, _, err = coralbay(*arguments)
        assert code == 2
        line = err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    return call


@pytest.mark.slow
def test_labels_and_positions_travel(succeed, torsos, tmp_path):
    folder, (first, second) = torsos
    names = ("liver", "lung_lower_lobe_left", "vertebrae_L2")
    values = {name: next(v for v, n in first.labels.names.items() if n == name) for name in names}
    chosen = np.where(np.isin(first.labels.data, list(values.values())), first.labels.data, 0)
    save_map(tmp_path / "some.nii.gz", chosen, first.volume)
    (tmp_path / "some.json").write_text(json.dumps({str(v): n for n, v in values.items()}))
    told = succeed(
        "transfer", tmp_path / "some.nii.gz", "--from", folder / "a.nii.gz", "--to", folder / "b.nii.gz",
        "-o", tmp_path / "out.nii.gz", "--confidence", tmp_path / "sure.nii.gz", "--field", tmp_path / "field.nii.gz",
        "--landmarks", folder / "landmarks.json", "--table", tmp_path / "found.csv", *MODEL,
    )  # fmt: skip
    assert set(told["outputs"]) == {"labels", "confidence", "table", "field"}
    made = load_labels(tmp_path / "out.nii.gz", like=load_volume(folder / "b.nii.gz"))
    assert made.names == {v: n for n, v in values.items()}
    assert dice(made.data == values["liver"], second.labels.data == values["liver"]) > 0.7
    sure = load_volume(tmp_path / "sure.nii.gz").data
    assert 0 <= sure.min() <= sure.max() <= 1
    assert told["results"]["refined"] is True
    assert {row["name"] for row in told["results"]["labels"]} == set(names)
    assert told["results"]["alignments"][0]["common_share"] > 0.8
    for row in told["results"]["positions"]:
        found = np.array([row[axis] for axis in ("x_mm", "y_mm", "z_mm")])
        assert np.linalg.norm(found - second.landmarks[row["name"]]) < 20
    about = json.loads((tmp_path / "out.provenance.json").read_text())
    assert str(folder) not in json.dumps(about)
    # The field that was written is a transform that is read: the way to the same labels.
    again = succeed(
        "transfer", tmp_path / "some.nii.gz", "--from", folder / "a.nii.gz", "--to", folder / "b.nii.gz",
        "--transform", tmp_path / "field.nii.gz", "-o", tmp_path / "again.nii.gz", "--no-refine", *MODEL,
    )  # fmt: skip
    assert again["results"]["refined"] is False
    twice = load_labels(tmp_path / "again.nii.gz", like=load_volume(folder / "b.nii.gz"))
    assert dice(twice.data == values["liver"], made.data == values["liver"]) > 0.8


A, B = ("--from", "a.nii.gz"), ("--to", "b.nii.gz")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("labels.nii.gz",), "two scans are needed"),
        (("labels.nii.gz", *A), "two scans are needed"),
        ((*A, *B), "nothing to transfer"),
        (("labels.nii.gz", *A, *B), "no file for the labels"),
        (("labels.nii.gz", *A, *A, *B, "-o", "x.nii.gz"), "numbers of label maps and scans differ"),
        (("labels.nii.gz", *A, *B, "-o", "b.nii.gz"), "would overwrite the input"),
        (("labels.nii.gz", *A, *B, "-o", "x.doc"), "x.doc"),
        (("labels.nii.gz", *A, *B, "-o", "x.nii.gz", "--table", "x.csv"), "no positions for this table"),
        (("--at", "0,0,0", *A, *B, "--confidence", "x.nii.gz"), "no label map for this output"),
        (("--at", "0,0,0", *A, *B, "--table", "x.doc"), "not a table name"),
        (
            ("labels.nii.gz", *A, *B, "--at", "0,0,0", "-o", "x.nii.gz", "--table", "x.json"),
            "two outputs have the same",
        ),
        (("--at", "0,0,9999", *A, *B), "point outside the volume"),
        (("--at", "0,0", *A, *B), "not a position"),
        (("--at", "0,0,0", *A, *A, *B), "positions or maps of several scans"),
        (("--at", "0,0,0", *A, *B, "--stage-weights", "auto"), "auto weights are not available"),
        (("--at", "0,0,0", *A, *B, "--transform", "none.tfm"), "no such transform"),
        (("--at", "0,0,0", *A, *B, "--transform", "t.tfm", "--transform", "t.tfm"), "numbers of transforms"),
        (("none.nii.gz", *A, *B, "-o", "x.nii.gz"), "no such file"),
        (("empty.nii.gz", *A, *B, "-o", "x.nii.gz"), "no labels to transfer"),
    ],
)
def test_what_cannot_be_transferred(refused, torsos, tmp_path, monkeypatch, arguments, word):
    folder, (first, _) = torsos
    for name in ("a.nii.gz", "b.nii.gz", "labels.nii.gz"):
        (tmp_path / name).symlink_to(folder / name)
    save_map(tmp_path / "empty.nii.gz", np.zeros(first.volume.shape, np.uint8), first.volume)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert word in refused("transfer", *arguments, *MODEL)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
