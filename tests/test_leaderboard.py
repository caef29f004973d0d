"""eva's files and ours in one table."""

import csv
import json

import pytest
import yaml

from coralbay_core.integrations.eva.results import read_run
from coralbay_core.integrations.leaderboard import leaderboard, read_rows, written
from coralbay_core.integrations.rows import EVA_PUBLISHED, EVA_RUN, OURS, model_name

ENCODER = {"class_path": "coralbay_core.integrations.eva.CoralBayEncoder", "init_args": {"model": "coralbay-mini"}}
THEIRS = {"class_path": "eva.vision.models.ModelFromRegistry", "init_args": {"model_name": "radiology/voco_b"}}


def write_run(folder, *, encoder=ENCODER, dataset="eva.vision.datasets.BTCV", scores=(0.5, 0.7), test=False, **more):
    """A results file as eva writes it, with its configuration beside it."""
    folder.mkdir(parents=True)
    mean = sum(scores) / len(scores)
    numbers = {"mean": mean, "stdev": 0.1, "values": list(scores)}
    measured = {
        f"val/{more.get('metric', 'DiceScore')}": numbers,
        "val/AverageLoss": numbers,
        "val/DiceScore_1": numbers,
    }
    tested = [{key.replace("val/", "test/"): numbers for key in measured}] if test else []
    (folder / "results.json").write_text(json.dumps({"metrics": {"val": [measured], "test": tested}}))
    config = {
        "trainer": {"init_args": {"callbacks": [{"class_path": "x", "init_args": {"backbone": more.get("backbone")}}]}},
        "model": {"init_args": {"encoder": encoder}},
        "data": {"init_args": {"datasets": {"val": {"class_path": dataset}, **more.get("datasets", {})}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "results.json"


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "radiology.csv"
    path.write_text("model,btcv,lits17,word,word/test\nvoco_b,0.83,0.816,,\nvit_base_patch16,0.69,,0.5,0.4")
    return path


@pytest.fixture
def report(tmp_path):
    """A report of ours, measured on a small phantom."""
    from coralbay_core.evaluate import find, measure, open_methods, write_report
    from coralbay_core.evaluate.gate import slab

    methods = [m for m in open_methods([], device="cpu", baselines=True) if m.name in ("hu-patch", "position")]
    evaluation = measure(methods, [slab(0)], tasks=["retrieval"])
    evaluation.about["models_without_weights_here"] = []
    write_report(evaluation, tmp_path / "report", find(evaluation))
    return tmp_path / "report"


def test_a_run_of_ours(tmp_path):
    path = write_run(tmp_path / "a")
    row = read_run(path)
    assert (row.model, row.task, row.metric, row.split) == ("coralbay-mini", "btcv", "DiceScore", "val")
    assert (row.mean, row.sd, row.runs, row.file, row.source) == (pytest.approx(0.6), 0.1, 2, path, EVA_RUN)


def test_other_runs(tmp_path):
    theirs = read_run(write_run(tmp_path / "a", encoder=THEIRS, dataset="eva.vision.datasets.WORD", test=True))
    assert (theirs.model, theirs.task, theirs.split) == ("voco-b", "word", "test")
    once = read_run(write_run(tmp_path / "b", scores=[0.5]))
    assert (once.sd, once.runs) == (None, 1)
    vectors = {
        "predict": [{"class_path": "coralbay_core.integrations.eva.datasets.OrganMNIST3D"}],
        "val": {"class_path": "eva.datasets.EmbeddingsClassificationDataset"},
    }
    path = write_run(
        tmp_path / "c", encoder=None, metric="MulticlassAccuracy", datasets=vectors,
        backbone=ENCODER | {"init_args": {"model": "/weights/mine.safetensors"}},
    )  # fmt: skip
    row = read_run(path)
    assert (row.model, row.task, row.metric) == ("mine", "organ_mnist_3d", "MulticlassAccuracy")
    unknown = read_run(write_run(tmp_path / "d", dataset="my.Liver"))
    assert unknown.task == "liver"


def test_one_name_for_a_model():
    names = {
        "radiology/voco_b": "voco-b",
        "coralbay-mini:compact": "coralbay-mini:compact",
        "/a/b/my_net.safetensors": "my_net",
        "vit_base_patch16": "vit_base_patch16",
        "C:\\weights\\net.pt": "net",
    }
    assert {name: model_name(name) for name in names} == names


def test_rows_of_all_three_sources(tmp_path, published, report):
    write_run(tmp_path / "runs" / "one")
    write_run(tmp_path / "runs" / "two", encoder=THEIRS)
    rows = read_rows([tmp_path / "runs", published], [report])
    assert {row.source for row in rows} == {EVA_RUN, EVA_PUBLISHED, OURS}
    assert all(row.file.is_file() for row in rows)
    table, ours = leaderboard(rows)
    if table.corner == "":  # models as columns
        pytest.fail("a narrow table was turned")
    assert [name for name, _ in table.rows] == [
        "voco-b (eva, published)",
        "vit_base_patch16 (eva, published)",
        "coralbay-mini",
        "voco-b",
    ]
    assert [name for name, _ in ours.rows] == ["position", "hu-patch"]
    assert ours.columns == ("click retrieval, mAP ↑",)
    assert table.columns[:4] == (
        "BTCV, DiceScore ↑",
        "LiTS17, DiceScore ↑",
        "WORD, DiceScore ↑",
        "WORD, DiceScore (test) ↑",
    )
    cells = dict(table.rows)
    assert cells["coralbay-mini"][0].text == "0.600 ± 0.100 (2 runs) [1]"
    assert cells["voco-b (eva, published)"][0].best
    assert cells["coralbay-mini"][1].text == "-"


def test_every_number_has_its_file_in_every_format(tmp_path, published):
    run = write_run(tmp_path / "run")
    rows = read_rows([run, published])
    for form in ("markdown", "html"):
        text = written(rows, form)
        assert str(run) in text
        assert str(published) in text
        assert "0.830" in text
    assert [row["file"] for row in json.loads(written(rows, "json"))] == [str(row.file) for row in rows]
    lines = list(csv.DictReader(written(rows, "csv").splitlines()))
    assert [(line["model"], float(line["mean"])) for line in lines] == [
        (row.model, pytest.approx(row.mean)) for row in rows
    ]


def test_the_command(tmp_path, published, coralbay, succeed):
    write_run(tmp_path / "run")
    code, out, _ = coralbay("leaderboard", tmp_path / "run", published)
    assert code == 0
    assert "| voco-b (eva, published) |" in out
    code, out, _ = coralbay("leaderboard", published, "-o", tmp_path / "board.html")
    assert out.split() == ["table:", str(tmp_path / "board.html")]
    assert (tmp_path / "board.html").read_text().startswith("<!doctype html>")
    rows = succeed("leaderboard", published)["results"]["rows"]
    assert {row["source"] for row in rows} == {EVA_PUBLISHED}
    assert [row["mean"] for row in rows if row["task"] == "word"] == [0.5, 0.4]


BAD = {
    "nothing": ("", "nothing to merge"),
    "absent": ("none.json", "no results of eva"),
    "empty": ("empty", "no results of eva"),
    "garbled": ("garbled.json", "not a results file of eva"),
    "of ours": ("summary.json", "not a results file of eva"),
    "no table": ("table.csv", "not a table of eva"),
    "no number": ("words.csv", "score is no number"),
    "alone": ("alone/results.json", "do not say what they are of"),
    "not a number": ("nan/results.json", "score is no number"),
    "no score": ("loss/results.json", "no score in the results"),
    "twice": ("run run/results.json", "one number twice"),
    "model twice": ("double.csv", "one number twice"),
    "format": ("run -o board.xlsx", "unknown format"),
    "no report": ("run --ours empty", "no evaluation"),
    "no summary": ("run --ours garbled.json", "not a summary of coralbay evaluate"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_line(case, tmp_path, coralbay, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "garbled.json").write_text("{")
    (tmp_path / "summary.json").write_text('{"summary": {}}')
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "words.csv").write_text("model,btcv\nvoco_b,good\n")
    (tmp_path / "double.csv").write_text("model,btcv\nvoco_b,0.1\nvoco_b,0.2\n")
    write_run(tmp_path / "run")
    write_run(tmp_path / "nan", scores=[float("nan")])
    write_run(tmp_path / "loss", metric="Other")
    write_run(tmp_path / "alone").with_name("config.yaml").unlink()
    arguments, expected = BAD[case]
    code, out, err = coralbay("leaderboard", *arguments.split())
    assert code == 2
    assert not out
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
