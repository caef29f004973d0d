"""eva's files and ours in one table."""

import csv
import json

import pytest

from coralbay_core.integrations.eva.results import read_run
from coralbay_core.integrations.leaderboard import leaderboard, read_rows, written
from coralbay_core.integrations.rows import EVA_PUBLISHED, EVA_RUN, OURS, model_of, registered_model, shown_names
from tests.support.eva_files import ENCODER, THEIRS, of, write_run

pytestmark = pytest.mark.forward


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
    assert (theirs.model, theirs.task, theirs.split) == ("voco_b", "word", "test")
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
    assert (row.model, row.task, row.metric) == (
        "/weights/mine.safetensors",
        "organ_mnist_3d",
        "MulticlassAccuracy",
    )
    unknown = read_run(write_run(tmp_path / "d", dataset="my.Liver"))
    assert unknown.task == "liver"


def test_a_path_stays_a_path():
    written_alike = {
        "coralbay-mini:compact": "coralbay-mini:compact",
        "./run//net.safetensors": "run/net.safetensors",
        "run/net.safetensors:whole": "run/net.safetensors:whole",
        "run/": "./run",
        "./coralbay-mini": "./coralbay-mini",
        "C:\\weights\\net.pt": "C:/weights/net.pt",
    }
    assert {name: model_of(name) for name in written_alike} == written_alike


def test_what_eva_ran_is_ours_only_where_both_hand_it_the_same():
    names = {
        "radiology/voco_b": "voco_b",  # not turned to the axes it was trained with
        "universal/coralbay_mini": "coralbay-mini",
        "vit_base_patch16": "vit_base_patch16",
        "radiology/": "radiology",
    }
    assert {name: registered_model(name) for name in names} == names


def test_short_names_tell_models_apart():
    names = {
        "/p/one/net.safetensors": "one/net",
        "/q/two/net.safetensors": "two/net",
        "/q/two/net.safetensors:compact": "net:compact",
        "run/mine.pt": "mine",
        "run/coralbay-mini.safetensors": "run/coralbay-mini",
        "random.pt": "random.pt",
        "coralbay-mini": "coralbay-mini",
        "./voco-b": "./voco-b",
    }
    assert shown_names(names) == names


def test_a_checkpoint_is_no_shipped_model_and_no_other_checkpoint(tmp_path):
    for folder in ("one", "two"):
        write_run(tmp_path / folder, encoder=of(f"/run/{folder}/coralbay-mini.safetensors"))
    write_run(tmp_path / "three", encoder=of("coralbay-mini"))
    rows = read_rows([tmp_path])
    (table,) = leaderboard(rows)
    assert {name for name, _ in table.rows} == {"coralbay-mini", "one/coralbay-mini", "two/coralbay-mini"}
    found = {(row["name"], row["model"]) for row in json.loads(written(rows, "json"))}
    assert ("one/coralbay-mini", "/run/one/coralbay-mini.safetensors") in found


def test_a_run_of_other_settings_says_so(tmp_path):
    windows = {"inferer": {"class_path": "monai", "init_args": {"roi_size": [64, 64, 64], "overlap": 0.75}}}
    write_run(tmp_path / "try", trainer={"max_steps": "200", "n_runs": 1, "val_check_interval": 500}, module=windows)
    write_run(tmp_path / "full", trainer={"max_steps": 20000, "n_runs": 5})
    rows = read_rows([tmp_path])
    assert {row.deviates for row in rows} == {"", "200 steps, 1 run, windows of 64"}
    (table,) = leaderboard(rows)
    assert {name for name, _ in table.rows} == {"coralbay-mini", "coralbay-mini (200 steps, 1 run, windows of 64)"}
    unknown = read_run(write_run(tmp_path / "liver", dataset="my.Liver", trainer={"max_steps": 2}))
    assert unknown.deviates == ""
    taken = ENCODER | {"init_args": {"model": "coralbay-mini", "input_hu": None}}
    vectors = {"predict": [{"class_path": "coralbay_core.integrations.eva.datasets.OrganMNIST3D"}]}
    path = write_run(
        tmp_path / "raw", encoder=None, metric="MulticlassAccuracy", datasets=vectors, backbone=taken
    )  # fmt: skip
    assert read_run(path).deviates == "input_hu None"


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
        "voco_b (eva, published)",
        "vit_base_patch16 (eva, published)",
        "coralbay-mini",
        "voco_b",
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
    assert cells["voco_b (eva, published)"][0].best
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


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    path = tmp_path / "radiology.csv"
    path.write_text("model,btcv\nvoco_b, 0.83\n\n", "utf-8-sig")
    (row,) = read_rows([path])
    assert (row.model, row.task, row.mean) == ("voco_b", "btcv", 0.83)


def test_the_command(tmp_path, published, coralbay, succeed):
    write_run(tmp_path / "run")
    code, out, _ = coralbay("leaderboard", tmp_path / "run", published)
    assert code == 0
    assert "| voco_b (eva, published) |" in out
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
    "no metrics": ("null.json", "not a results file of eva"),
    "of ours": ("summary.json", "not a results file of eva"),
    "no table": ("table.csv", "not a table of eva"),
    "no number": ("words.csv", "score is not a number"),
    "per cent": ("percent.csv", "found 83.0 vs expected 0 to 1"),
    "cells too many": ("long.csv", "line 1 below the header - found 3 cells vs expected 2"),
    "cells too few": ("short.csv", "line 1 below the header - found 1 cells vs expected 2"),
    "cells too few before the model": ("order.csv", "wrong number of cells"),
    "column twice": ("columns.csv", "duplicate column"),
    "nameless column": ("nameless.csv", "not a table of eva"),
    "nameless model": ("anonymous.csv", "line without a model name"),
    "no scores": ("none.csv", "no score in the table"),
    "score beyond 1": ("beyond/results.json", "found 1.5 vs expected 0 to 1"),
    "alone": ("alone/results.json", "model or data set of the results is unknown"),
    "not a number": ("nan/results.json", "score is not a number"),
    "no score": ("loss/results.json", "no score in the results"),
    "twice": ("run run/results.json", "two files hold the same score"),
    "model twice": ("double.csv", "two files hold the same score"),
    "format": ("run -o board.xlsx", "unknown format"),
    "no report": ("run --ours empty", "no evaluation"),
    "no summary": ("run --ours garbled.json", "not a report of coralbay evaluate"),
}


TABLES = {
    "table": "a,b\n1,2\n",
    "words": "model,btcv\nvoco_b,good\n",
    "double": "model,btcv\nvoco_b,0.1\nvoco_b,0.2\n",
    "percent": "model,btcv\nvoco_b,83.0\n",
    "long": "model,btcv\nvoco_b,0.5,0.6\n",
    "short": "model,btcv\nvoco_b\n",
    "order": "btcv,model\n0.5\n",
    "columns": "model,btcv,btcv\nvoco_b,0.1,0.2\n",
    "nameless": "model,\nvoco_b,0.1\n",
    "anonymous": "model,btcv\n,0.1\n",
    "none": "model,btcv\nvoco_b,\n",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_line(case, tmp_path, coralbay, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "garbled.json").write_text("{")
    (tmp_path / "summary.json").write_text('{"summary": {}}')
    (tmp_path / "null.json").write_text('{"metrics": {"val": [null]}}')
    for name, text in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(text)
    write_run(tmp_path / "run")
    write_run(tmp_path / "nan", scores=[float("nan")])
    write_run(tmp_path / "loss", metric="Other")
    write_run(tmp_path / "beyond", scores=[1.5])
    write_run(tmp_path / "alone").with_name("config.yaml").unlink()
    arguments, expected = BAD[case]
    code, out, err = coralbay("leaderboard", *arguments.split())
    assert code == 2
    assert not out
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
