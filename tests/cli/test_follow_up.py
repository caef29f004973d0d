"""The command ``follow-up``."""

import csv

import numpy as np
import pytest

from coralbay_core.io import save_map

MODEL = ("--model", "hu-context", "--stages", "4,8,16")
PLACES = ("T6", "L3", "liver_right_lobe")


def lesions(path, phantom, radii):
    """Write balls at landmarks as one label; nothing where the radius is 0."""
    data = np.zeros(phantom.volume.shape, np.uint8)
    for name, radius in radii.items():
        if radius:
            part, inside = phantom.volume.grid.ball(phantom.landmarks[name], radius)
            data[part][inside] = 1
    return save_map(path, data, phantom.volume)


@pytest.mark.slow
def test_change_of_lesions_in_two_phantoms(succeed, torsos, tmp_path):
    folder, (first, second) = torsos
    before = lesions(tmp_path / "la.nii.gz", first, dict(zip(PLACES, (12, 15, 12), strict=True)))
    after = lesions(tmp_path / "lb.nii.gz", second, dict(zip(PLACES, (18, 15, 0), strict=True)))
    told = succeed(
        "follow-up", before, after, "--from", folder / "a.nii.gz", "--to", folder / "b.nii.gz",
        "-o", tmp_path / "changes.csv", *MODEL,
    )  # fmt: skip
    rows = told["results"]["lesions"]
    assert sorted(row["change"] for row in rows) == ["both", "both", "resolved"]
    grown, kept = sorted((row for row in rows if row["change"] == "both"), key=lambda row: -row["diameter_change_mm"])
    assert grown["diameter_change_mm"] == pytest.approx(12, abs=6)  # voxels of 5 mm
    assert grown["volume_change_percent"] == pytest.approx(238, rel=0.3)
    assert abs(kept["diameter_change_mm"]) <= 6
    assert "alignment is" in told["results"]["alignment"]
    with (tmp_path / "changes.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["name"] for row in written] == [row["name"] for row in rows]
    assert next(row for row in written if row["change"] == "resolved")["volume_ml"] == ""
    assert (tmp_path / "changes.provenance.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "two scans are needed"),
        (("--from", "a.nii.gz", "--to", "b.nii.gz", "--within-mm", "0"), "option out of range"),
        (("--from", "a.nii.gz", "--to", "b.nii.gz", "-o", "x.doc"), "not a table name"),
        (("--from", "a.nii.gz", "--to", "none.nii.gz"), "no such file"),
    ],
)
def test_what_cannot_be_followed(coralbay, torsos, monkeypatch, arguments, word):
    monkeypatch.chdir(torsos[0])
    code, _, err = coralbay("follow-up", "labels.nii.gz", "labels.nii.gz", *arguments)
    assert code == 2
    assert word in err
