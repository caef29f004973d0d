"""The commands that search: queries as files, matches, symmetry, libraries."""

import csv
import json

import numpy as np
import pytest

from coralbay_core.io import load_volume

pytestmark = pytest.mark.forward

MODEL = ("--model", "hu-context")


@pytest.fixture
def refused(coralbay):
    """Run a command that must fail with one line; returns it."""

    def call(*arguments):
        code, out, err = coralbay(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (code, out, len(lines)) == (2, "", 1), err
        return lines[0]

    return call


def at(position) -> str:
    return "--at=" + ",".join(f"{v:.1f}" for v in position)


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_region_a_mask_and_a_saved_query(succeed, refused, torsos, tmp_path):
    folder, (first, second) = torsos
    value = next(v for v, name in first.labels.names.items() if name == "liver")
    region = ("--region", folder / "labels.nii.gz", "--label", value)
    files = ("-o", tmp_path / "mask.nii.gz", "--save", tmp_path / "liver.query", "--table", tmp_path / "top.csv")
    told = succeed(
        "query", folder / "a.nii.gz", *region, "--threshold", "2%", "--stage-weights", "auto", *files, *MODEL
    )
    assert set(told["outputs"]) == {"mask", "query", "table"}
    assert told["results"]["prototypes"] == 4
    mask = load_volume(tmp_path / "mask.nii.gz")
    truth = first.labels.data == value
    assert set(np.unique(mask.data)) == {0, 1}
    assert (mask.data.astype(bool) & truth).sum() / mask.data.sum() > 0.3
    about = json.loads((tmp_path / "mask.provenance.json").read_text())
    assert about["parameters"]["threshold"] == pytest.approx(told["results"]["threshold"], abs=1e-5)
    assert str(folder) not in json.dumps(about)
    rows = read_csv(tmp_path / "top.csv")
    assert [row["name"] for row in rows] == [str(n + 1) for n in range(len(told["results"]["top"]))]
    elsewhere = succeed("query", folder / "b.nii.gz", "--use", tmp_path / "liver.query", "--top", 1)
    assert elsewhere["results"]["model"] == "hu-context"
    best = elsewhere["results"]["top"][0]["position_mm"]
    index = tuple(np.rint(second.volume.grid.to_index(best)).astype(int))
    assert second.labels.names[int(second.labels.data[index])].startswith(("liver", "spleen", "heart"))
    wrong = refused("query", folder / "b.nii.gz", "--use", tmp_path / "liver.query", "--model", "hu-patch")
    assert "another model" in wrong
    succeed("query", folder / "a.nii.gz", at(first.landmarks["T6"]), "--save", tmp_path / "t6.query", *MODEL)
    merged = succeed("queries", "merge", tmp_path / "liver.query", tmp_path / "t6.query", "-o", tmp_path / "two.query")
    assert merged["results"]["prototypes"] == 5
    assert succeed("queries", "rename", tmp_path / "two.query", "both")["results"]["name"] == "both"
    (tmp_path / "broken.query").write_bytes(b"hello, this is no query")
    listed = succeed("queries", "list", tmp_path)["results"]
    assert [q["name"] for q in listed["queries"]] == ["liver", "t6", "both"]
    assert len(listed["unreadable"]) == 1


def test_a_saved_query_keeps_its_stages(succeed, torsos, tmp_path):
    folder, (first, _) = torsos
    place = at(first.landmarks["T6"])
    kept = tmp_path / "coarse.query"
    succeed("query", folder / "a.nii.gz", place, "--stages", "8,16", "--save", kept, *MODEL)
    assert succeed("query", folder / "b.nii.gz", "--use", kept)["inputs"]["stages"] == [8, 16]
    assert succeed("query", folder / "a.nii.gz", place, *MODEL)["inputs"]["stages"] == [4, 8, 16]


def test_a_prior_prefers_what_is_near(succeed, torsos):
    folder, (first, _) = torsos
    click = first.landmarks["L3"]
    near = succeed("query", folder / "a.nii.gz", at(click), "--prior-mm", 20, "--top", 5, *MODEL)["results"]["top"]
    assert all(np.linalg.norm(np.array(region["position_mm"]) - click) < 60 for region in near)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "nothing to search for"),
        (("--at", "0,0,0", "--stage-weights", "4:1"), "not valid stage weights"),
        (("--at", "0,0,0", "--stage-weights", "4=0"), "not valid stage weights"),
        (("--at", "0,0,0", "--stage-weights", "2=1", "-o", "x.nii.gz"), "unusable scale weights"),
        (("--at", "0,0,0", "--threshold", "5%"), "no output file for the mask"),
        (("--at", "0,0,0", "--threshold", "500%", "-o", "x.nii.gz"), "not a threshold"),
        (("--at", "0,0,0", "--prior-mm", "-3"), "unusable distance prior"),
        (("--at", "0,0,0", "--label", "3"), "no label map for this label"),
        (("--at", "0,0,0", "--save", "x.txt"), "not a query name"),
        (("--at", "0,0,0", "--table", "x.doc"), "not a table name"),
        (("--use", "none.query"), "no such query"),
    ],
)
def test_what_cannot_be_asked(refused, torsos, tmp_path, monkeypatch, arguments, word):
    folder, (first, _) = torsos
    monkeypatch.chdir(tmp_path)
    inside = ",".join(f"{v:.0f}" for v in first.landmarks["L3"])
    given = [inside if a == "0,0,0" else a for a in arguments]
    given = [f"{a}={b}" for a, b in zip(given[::2], given[1::2], strict=True)]
    assert word in refused("query", folder / "a.nii.gz", *given, *MODEL)
    assert list(tmp_path.iterdir()) == []


def test_landmarks_are_propagated(succeed, coralbay, refused, torsos, tmp_path):
    folder, (first, second) = torsos
    scans = (folder / "a.nii.gz", folder / "b.nii.gz")
    told = succeed("match", *scans, "--landmarks", folder / "landmarks.json", "-o", tmp_path / "m.csv", *MODEL)
    assert told["results"]["prior_mm"] == 30
    assert told["results"]["alignment"]["inliers"] > 50
    for row in told["results"]["matches"]:
        assert np.linalg.norm(np.array(row["position_mm"]) - second.landmarks[row["name"]]) < 40
    rows = read_csv(tmp_path / "m.csv")
    assert {row["name"] for row in rows} == {"T6", "L3", "liver_right_lobe"}
    # What comes out goes in again: the way back.
    back = succeed("match", *scans[::-1], "--landmarks", tmp_path / "m.csv", *MODEL)["results"]["matches"]
    for row in back:
        assert np.linalg.norm(np.array(row["position_mm"]) - first.landmarks[row["name"]]) < 40
    code, out, _ = coralbay("match", *scans, at(first.landmarks["T6"]), "--prior-mm", 0, *MODEL)
    assert code == 0
    assert "confirmed by searching back" in out
    assert "no positions to find" in refused("match", *scans, *MODEL)


def test_the_other_side(succeed, coralbay, torsos, tmp_path):
    folder, (first, _) = torsos
    click = first.landmarks["liver_right_lobe"]
    told = succeed("symmetry", folder / "a.nii.gz", at(click), "-o", tmp_path / "h.nii.gz", *MODEL)["results"]
    mirror = np.array(told["pairs"][0]["mirror_mm"])
    assert abs(mirror[0] + click[0] - 2 * told["plane"]["point_mm"][0]) < 10
    assert 0 <= told["pairs"][0]["rank"] <= 1
    assert load_volume(tmp_path / "h.nii.gz").shape == first.volume.shape
    code, out, _ = coralbay("symmetry", folder / "a.nii.gz", at(click), at(first.landmarks["L3"]), *MODEL)
    assert code == 0
    assert out.count("difference:") == 2


def test_a_library_from_the_command_line(succeed, refused, torsos, tmp_path):
    pytest.importorskip("lancedb", reason="pip install 'coralbay[library]'")
    folder, (first, _) = torsos
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("a", "b"):
        (scans / f"{name}.nii.gz").symlink_to(folder / f"{name}.nii.gz")
    library = tmp_path / "lib"
    assert "coralbay library add" in refused("library", "list", library)
    told = succeed("library", "add", library, scans, *MODEL)["results"]
    assert [entry["name"] for entry in told["added"]] == ["a", "b"]
    assert len(succeed("library", "add", library, scans / "a.nii.gz")["results"]["already_there"]) == 1
    info = succeed("library", "info", library)["results"]
    assert (info["scans"], info["features_cached"], info["model"]) == (2, 2, "hu-context")
    click = at(first.landmarks["liver_right_lobe"])
    found = succeed("library", "search", library, "--ct", scans / "a.nii.gz", click, "-o", tmp_path / "hits.csv")
    assert {hit["scan"] for hit in found["results"]["hits"]} == {"b"}
    assert (tmp_path / "hits.csv").is_file()
    both = succeed("library", "search", library, "--ct", scans / "a.nii.gz", click, "--own")["results"]["hits"]
    assert both[0]["scan"] == "a"
    succeed("library", "remove", library, "a")
    assert [entry["name"] for entry in succeed("library", "list", library)["results"]["scans"]] == ["b"]
    assert "no such scan" in refused("library", "remove", library, "a")
    assert "nothing to search for" in refused("library", "search", library, click)
