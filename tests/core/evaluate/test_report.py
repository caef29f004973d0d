"""``coralbay evaluate`` from end to end on slabs of phantom, and the gate on the shipped weights."""

import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from coralbay_core.cli import run
from coralbay_core.evaluate import gate
from coralbay_core.evaluate.report import read_findings
from coralbay_core.io import save_map
from coralbay_core.models.model_card import load_card, parse_card
from coralbay_core.models.names import DEFAULT_MODEL
from coralbay_core.phantom import LABELS, make_phantom
from coralbay_core.spatial import Grid, Volume, geometry
from tests.support import ROOT

pytestmark = pytest.mark.forward

REFERENCE = ROOT / "tests" / "phantom_reference.json"
NAMES = ("liver", "spleen", "kidney_left", "aorta", "vertebrae_L1", "stomach")


@pytest.fixture(scope="module")
def data(phantom, tmp_path_factory):
    """Two patients in a folder: slabs of two phantoms."""
    folder = tmp_path_factory.mktemp("labelled")
    for number, made in enumerate((phantom, make_phantom(1, 5.0))):
        grid = made.volume.grid
        middle = int(grid.to_index(made.landmarks["L1"])[0])
        reach = int(50 / grid.spacing_mm[0])
        part = slice(middle - reach, middle + reach)
        cut = Grid((2 * reach, *grid.shape[1:]), grid.affine @ geometry.translate((part.start, 0, 0)))
        volume = Volume(np.ascontiguousarray(made.volume.data[part]), cut)
        save_map(folder / f"DOE_JANE_{number}" / "ct.nii.gz", volume.data, volume)
        save_map(folder / f"DOE_JANE_{number}" / "labels.nii.gz", made.labels.data[part], volume)
        names = {LABELS[name]: name for name in NAMES}
        (folder / f"DOE_JANE_{number}" / "labels.json").write_text(json.dumps(names))
    return folder


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    """A whole report of a method that needs no network."""
    out = tmp_path_factory.mktemp("out") / "report"
    arguments = ["evaluate", "--data", data, "--model", "hu-patch", "--no-phantom", "--no-baselines", "-o", out]
    assert run([str(a) for a in arguments]) == 0
    return out


def test_files_of_a_report(report):
    names = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    assert {"results.jsonl", "summary.json", "report.md", "report.html"} <= names
    assert {"plots/headline-real.png", "plots/fewshot-real.png", "plots/robustness-real.png"} <= names
    assert {"pictures/hu-patch-retrieval-best-real.png", "pictures/hu-patch-across-worst-real.png"} <= names
    assert not any(name.endswith(".part") for name in names)


def test_lines_say_where_they_come_from(report):
    head, *lines = [json.loads(line) for line in (report / "results.jsonl").read_text().splitlines()]
    about = head["about"]
    assert about["seed"] == 0
    assert about["environment"]["packages"]["torch"]
    assert [case["name"] for case in about["cases"]] == ["case-01", "case-02"]
    assert all(len(case["volume_hash"]) == 32 for case in about["cases"])
    assert about["methods"][0]["fingerprint"]
    assert {line["task"] for line in lines} >= {
        "retrieval",
        "across",
        "fewshot",
        "fewshot_across",
        "changes",
        "regions",
    }
    assert all(line["method"] == "hu-patch" and line["domain"] == "real" for line in lines)
    retrieved = [line for line in lines if line["task"] == "retrieval"]
    assert len(retrieved) == 2 * len(NAMES)
    assert all(len(line["values"]["ap"]) == 5 for line in retrieved)


def test_the_summary_is_of_these_lines(report):
    findings = read_findings(report / "summary.json")
    lines = [json.loads(line) for line in (report / "results.jsonl").read_text().splitlines()[1:]]
    values = [v for line in lines if line["task"] == "retrieval" for v in line["values"]["ap"]]
    made = findings.summary["real"]["hu-patch"]["retrieval_ap"]
    assert made.value == pytest.approx(np.mean(values), abs=1e-5)
    assert made.low <= made.value <= made.high
    assert made.value > 3 * findings.chance["real"]["retrieval_ap"]


def test_text_and_page_hold_the_numbers(report):
    findings = read_findings(report / "summary.json")
    shown = f"{findings.summary['real']['hu-patch']['retrieval_ap'].value:.3f}"
    for name in ("report.md", "report.html"):
        text = (report / name).read_text()
        assert shown in text
        for word in ("At a glance", "Click retrieval", "Few-shot probe", "case-01 (6)", "voco-b"):
            assert word in text, (name, word)
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list(report.rglob("*.png")))
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_report_names_no_patient_unless_asked(report, data, tmp_path):
    assert not [path for path in report.rglob("*") if path.is_file() and b"DOE_JANE" in path.read_bytes()]
    arguments = ["evaluate", "--data", data, "--model", "hu-patch", "--no-phantom", "--no-baselines", "--names"]
    assert run([str(a) for a in (*arguments, "--tasks", "regions", "-o", tmp_path)]) == 0
    named, numbered = (
        [line for line in (folder / "results.jsonl").read_text().splitlines() if '"task": "regions' in line]
        for folder in (tmp_path, report)
    )
    assert "DOE_JANE_0" in named[0]
    # Clicks are drawn alike.
    renamed = [line.replace("DOE_JANE_0", "case-01").replace("DOE_JANE_1", "case-02") for line in named]
    assert renamed == numbered


def test_pictures_show_something(report):
    for path in report.rglob("*.png"):
        image = matplotlib.image.imread(path)[..., :3]
        assert image.shape[0] > 200, path
        assert image.std() > 0.05, path


def test_the_same_again_gives_the_same_lines(report, data, tmp_path):
    arguments = ["evaluate", "--data", data, "--model", "hu-patch", "--no-phantom", "--no-baselines"]
    assert run([str(a) for a in (*arguments, "--tasks", "retrieval,regions", "-o", tmp_path)]) == 0
    before, after = (
        [line for line in (folder / "results.jsonl").read_text().splitlines() if '"task": "re' in line]
        for folder in (report, tmp_path)
    )
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "no such folder - nowhere"),
        (["--tasks", "color"], "unknown tasks - --tasks - found color vs expected some of retrieval"),
        (["--no-phantom"], "no scans to measure on"),
        (["--model", "resnet"], "unknown model - found resnet"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, capsys):
    assert run(["evaluate", "-o", str(tmp_path / "out"), *arguments]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1
    assert err[0].startswith("error: ")
    assert message in err[0]
    assert not (tmp_path / "out").exists()


def test_the_report_must_not_be_a_file(tmp_path, capsys):
    (tmp_path / "report").write_text("")
    assert run(["evaluate", "-o", str(tmp_path / "report")]) == 2
    assert "not a folder" in capsys.readouterr().err


# --- gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_shipped_weights_do_what_they_did():
    """If they were replaced on purpose: `make evaluate-reference`, and look at the difference."""
    reference = gate.read_reference(REFERENCE)
    assert set(reference) == set(gate.KEYS)
    assert not gate.fallen(gate.measure_gate(), reference)


def test_what_is_worse_is_noticed():
    reference = gate.read_reference(REFERENCE)
    assert not gate.fallen(reference, reference)
    worse = {
        key: type(made)(*[made.value * (3 if key.endswith("mm") else 0.3)] * 3, 1, 1) for key, made in reference.items()
    }
    assert len(gate.fallen(worse, reference)) == len(gate.KEYS)


# --- publishing ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def publish():
    import importlib.util

    spec = importlib.util.spec_from_file_location("publish", ROOT / "scripts" / "publish_evaluation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_card_takes_the_numbers_once(publish):
    toml = replace(load_card(DEFAULT_MODEL), training={}, evaluation={}).to_toml()
    once = publish.with_evaluation(toml, {"real_copy_mm": "11.7 (9..13)"})
    assert parse_card(once).evaluation == {"real_copy_mm": "11.7 (9..13)"}
    twice = publish.with_evaluation(once + "\n[training]\nsteps = 5\n", {"real_copy_mm": "5"})
    card = parse_card(twice)
    assert card.evaluation == {"real_copy_mm": "5"}
    assert card.training == {"steps": 5}


def test_docs_hold_a_place_for_the_numbers(publish, report):
    text = publish.DOCS.read_text()
    assert text.index(publish.BEGIN) < text.index(publish.END)
    numbers = publish.numbers(report)
    assert "### At a glance" in numbers
    assert publish.BEGIN not in numbers


# --- real scans ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_scans(ct_pack, tmp_path):
    """Labels of different origin meet under one name, lesions stay out, and context beats patches by far."""
    arguments = ["--model", "hu-context", "--model", "hu-patch", "--no-phantom", "--no-baselines", "--tasks", "across"]
    assert run(["evaluate", "--data", str(ct_pack / "labelled"), "--names", *arguments, "-o", str(tmp_path)]) == 0
    findings = read_findings(tmp_path / "summary.json")
    cases = {case["name"]: case for case in findings.about["cases"]}
    assert "sts_013" not in cases  # nothing but a tumor is labeled
    assert cases["lung1_003"]["left_out"] == ["GTV-2", "GTV-1", "GTV-3"]
    assert set(cases["lung1_002"]["structures"]) == {"esophagus", "heart", "lung_left", "lung_right", "spinal_cord"}
    context, patch = (findings.summary["real"][name] for name in ("hu-context", "hu-patch"))
    assert context["match_hit"].groups == 24
    assert context["match_hit_partly"].groups == 32
    assert context["match_hit"].value > patch["match_hit"].value + 0.2
    assert context["across_ap"].value > patch["across_ap"].value
