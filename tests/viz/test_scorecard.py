"""The scorecard of a session: several encoders on the same clicks and strokes, without a window."""

import gc
import json
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.evaluate.cases import make_case
from coralbay_core.evaluate.methods import encoder_method
from coralbay_core.evaluate.metrics import average_precision
from coralbay_core.evaluate.tasks.common import Setting
from coralbay_core.evaluate.tasks.fewshot import GAP_MM
from coralbay_core.io import load_labels, save_map
from coralbay_core.matching import SearchSpace, best_match
from coralbay_core.models.loading import convert_weights, load_encoder
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.controllers.scorecard import Scorecard
from coralbay_viz.jobs import JobContext, ThreadRunner
from coralbay_viz.model.scorecard import COLUMNS, ScoreRow, as_dicts, best_models, shown_columns
from coralbay_viz.model.strokes import PaintedVoxels
from coralbay_viz.tasks.scorecard import EvaluationGrid, meant_labels
from tests.support.eva_files import of, write_run
from tests.support.scans import cut

pytestmark = pytest.mark.forward

CHEAP = ("hu-patch", "random", "coralbay-mini")
CONTEXT = JobContext(lambda done, total: None, lambda: False, lambda call: call())


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 60)


@pytest.fixture(scope="module")
def other(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"] + [-18, 12, -18], 60)


@pytest.fixture(scope="module")
def reference(phantom):
    return cut(phantom.labels, phantom.landmarks["liver_right_lobe"], 60)


@pytest.fixture(scope="module")
def other_reference(phantom):
    return cut(phantom.labels, phantom.landmarks["liver_right_lobe"] + [-18, 12, -18], 60)


@pytest.fixture
def session(belly):
    session = Session()
    session.add(belly)
    return session


@pytest.fixture
def liver(phantom):
    return phantom.landmarks["liver_right_lobe"]


def painted(reference: LabelVolume) -> LabelVolume:
    """A stroke in the liver and one around it, in values that are not those of the reference."""
    value = next(value for value, name in reference.names.items() if name == "liver")
    data = np.zeros(reference.shape, np.uint8)
    middle = reference.shape[0] // 2
    data[middle, ::3, ::3] = np.where(reference.data[middle, ::3, ::3] == value, 2, 1)
    return LabelVolume(data, reference.grid, names={1: "rest", 2: "organ"})


def test_rows_arrive_one_by_one(session, reference, liver):
    seen = []
    session.scorecard.changed.connect(lambda card: seen.append(tuple(row.model for row in card.rows)))
    session.click(liver)
    job = session.scorecard.measure(CHEAP, reference)
    assert job.state == "done"
    assert seen == [(), CHEAP[:1], CHEAP[:2], CHEAP]
    assert session.scorecard.card.is_done
    assert session.scorecard.card.scan is session.scan
    assert [column.key for column in shown_columns(session.scorecard.card.rows)] == ["retrieval"]
    assert len({row.retrieval for row in session.scorecard.card.rows}) == 3
    assert all(0 < row.retrieval < 1 for row in session.scorecard.card.rows)
    assert session.scan.features is None  # the scan's own features are left alone


def test_retrieval_is_that_of_the_evaluation(session, belly, reference, liver):
    names = {value: name for value, name in reference.names.items() if value}
    case = make_case("belly", belly, reference.data, names)
    setting = Setting(encoder_method(load_encoder("hu-patch", device="cpu")), [case])
    wanted = average_precision(setting.scores(liver, case, case)[case.body], case.mask("liver")[case.body])
    session.click(liver)
    session.scorecard.measure(["hu-patch"], reference)
    assert session.scorecard.card.rows[0].retrieval == pytest.approx(wanted, abs=1e-6)


def test_the_other_scan_is_searched(session, other, reference, other_reference, liver):
    here = session.scan
    there = session.add(other)
    session.activate(here)
    session.click(liver)
    session.scorecard.measure(["hu-patch", "coralbay-mini"], reference, other_reference=other_reference)
    assert session.scorecard.card.other is there
    patch, mini = session.scorecard.card.rows
    assert mini.match_mm == 0  # the same patient: the match lies in the liver
    spaces = [
        SearchSpace(ground.grid, ground.body) for ground in (EvaluationGrid.of(s.volume, None) for s in (there, here))
    ]
    maps = [session.scorecard._cache.get(scan.volume, "hu-patch", CONTEXT) for scan in (here, there)]
    wanted = best_match(*maps, liver, space=spaces[0], back=spaces[1])
    assert patch.return_mm == pytest.approx(wanted.return_mm)
    assert mini.return_mm != patch.return_mm
    session.scorecard.measure(["hu-patch"], reference, other=there)
    assert session.scorecard.card.rows[0].match_mm is None
    with pytest.raises(InputError, match="matched with itself"):
        session.scorecard.measure(["hu-patch"], other=here)
    session.remove(there)
    assert session.scorecard.card.other is None


def test_dice_leaves_out_what_was_painted(session, reference):
    session.compute()
    session.segment(painted(reference))
    session.scorecard.measure(["coralbay-mini"], reference)
    (row,) = session.scorecard.card.rows
    assert row.retrieval is None
    assert 0.5 < row.dice < 1
    assert 0 < row.dice_far < 1
    ground = EvaluationGrid.of(session.volume, reference)
    found = session.scan.probe.segment(session.features, ground.grid) == 2
    truth = ground.labels == next(value for value, name in reference.names.items() if name == "liver")
    index = np.rint(ground.grid.to_index(PaintedVoxels.of(painted(reference)).position_mm)).astype(int)
    counted = np.ones(truth.shape, bool)
    counted[tuple(index.T)] = False
    wanted = 2 * (found & truth & counted).sum() / ((found & counted).sum() + (truth & counted).sum())
    assert row.dice == pytest.approx(wanted, abs=1e-3)
    assert GAP_MM == 24


def test_painted_values_stand_for_the_labels_they_lie_in(belly, reference):
    ground = EvaluationGrid.of(belly, reference)
    liver = next(value for value, name in reference.names.items() if name == "liver")
    meant = meant_labels(ground, PaintedVoxels.of(painted(reference)))
    assert meant[2] == liver
    assert meant[1] == 0  # all around it, so background
    assert meant_labels(EvaluationGrid.of(belly, None), PaintedVoxels.of(painted(reference))) == {}


def test_it_follows_clicks_only_while_live(session, reference, liver):
    session.click(liver)
    session.scorecard.measure(["hu-patch"], reference)
    first = session.scorecard.card.rows[0].retrieval
    session.click(liver + [5, 0, 0])
    assert session.scorecard.card.rows[0].retrieval == first
    session.scorecard.live = True
    assert session.scorecard.card.rows[0].retrieval != first
    session.undo()
    assert session.scorecard.card.rows[0].retrieval == first
    session.clear_clicks()
    assert session.scorecard.card.rows == session.scorecard.card.before == ()
    assert session.scorecard.card.shown == (ScoreRow("hu-patch"),)
    assert session.scorecard.card.awaited == "hu-patch"
    session.undo()
    assert session.scorecard.card.rows[0].retrieval == first
    session.scorecard.clear()
    assert session.scorecard.card is None


class Gate:
    """Holds back the features of the first model until it is opened."""

    def __init__(self, session):
        self.open, self.reached = threading.Event(), threading.Event()
        load = session.scorecard._cache.load

        def wait(model):
            self.reached.set()
            assert self.open.wait(30)
            return load(model)

        session.scorecard._cache.load = wait


def run_threaded(belly):
    calls, done = [], threading.Event()
    session = Session(ThreadRunner(lambda call: (calls.append(call), done.set())))
    session.add(belly)
    return session, calls, done


def drain(session, calls, done, until):
    for _ in range(200):
        while calls:
            calls.pop(0)()
        if until():
            return
        done.wait(0.1)
        done.clear()
    raise AssertionError("nothing came")


def test_the_newest_wins_and_the_rest_can_be_cancelled(belly, reference, liver):
    session, calls, done = run_threaded(belly)
    gate = Gate(session)
    session.click(liver)
    session.scorecard.measure(["hu-patch", "hu-context"], reference)
    drain(session, calls, done, gate.reached.is_set)
    session.scorecard.measure(["hu-context"], reference)
    gate.open.set()
    drain(session, calls, done, lambda: session.scorecard.card.is_done)
    assert [row.model for row in session.scorecard.card.rows] == ["hu-context"]
    gate.open.clear()
    gate.reached.clear()
    session.scorecard.measure(["random"], reference)
    drain(session, calls, done, gate.reached.is_set)
    session.add(belly)  # another scan is looked at by now
    session.scorecard.stop()
    gate.open.set()
    drain(session, calls, done, lambda: not any(t.name.startswith("coralbay") for t in threading.enumerate()))
    assert session.scorecard.card.rows == ()
    session.close()


def test_a_model_that_cannot_be_loaded_says_so_in_its_row(session, reference, liver):
    session.click(liver)
    session.scorecard.measure(["no-such-model", "hu-patch"], reference)
    broken, good = session.scorecard.card.rows
    assert "no-such-model" in broken.problem
    assert "\n" not in broken.problem
    assert broken.cell(COLUMNS[0]) == "–"
    assert good.retrieval is not None


def test_references_are_read_from_files(session, tmp_path, belly, reference, liver):
    path = save_map(tmp_path / "labels.nii.gz", reference.data, belly)
    session.click(liver)
    session.scorecard.measure(["hu-patch"], reference)
    wanted = session.scorecard.card.rows[0].retrieval
    session.scorecard.measure(["hu-patch"], path)
    assert session.scorecard.card.rows[0].retrieval == wanted
    with pytest.raises(MissingFileError, match="no such label map"):
        session.scorecard.measure(["hu-patch"], tmp_path / "none.nii.gz")


def test_a_copy_of_the_reference_is_prepared_once(session, reference, liver, monkeypatch):
    made = []
    real = EvaluationGrid.of
    monkeypatch.setattr(EvaluationGrid, "of", lambda volume, labels: made.append(volume) or real(volume, labels))
    session.click(liver)
    for _ in range(3):
        session.scorecard.measure(["hu-patch"], LabelVolume(reference.data.copy(), reference.grid))
    assert len(made) == 1
    before = session.scorecard.card.rows[0].retrieval
    session.scorecard.measure(["hu-patch"], LabelVolume(np.zeros_like(reference.data), reference.grid))
    assert len(made) == 2
    assert session.scorecard.card.rows[0].retrieval != before
    assert len(session.scorecard._grids) == 1  # each is as large as a scan


def test_nothing_to_compare_is_said(session, reference):
    with pytest.raises(CoralBayError, match="no prompts or strokes to compare on"):
        session.scorecard.measure(CHEAP, reference)
    with pytest.raises(CoralBayError, match="no scan"):
        Session().scorecard(CHEAP)


def test_eva_stands_beside_them(session, tmp_path, reference, liver):
    table = tmp_path / "radiology.csv"
    table.write_text("model,btcv,lits17,word/test\ncoralbay_mini,0.5,,0.25\nvoco_b,0.83,0.816,\n")
    run = write_run(tmp_path / "run", dataset="eva.vision.datasets.LiTS17", trainer={"max_steps": 200})
    session.click(liver)
    session.scorecard.eva_results = [table, run]
    session.scorecard.measure(["hu-patch", "coralbay-mini"], reference)
    own = "lits17 0.600 (200 steps), btcv 0.500 (published), word/test 0.250 (published)"
    assert [row.eva_text for row in session.scorecard.card.rows] == ["", own]
    last = as_dicts(session.scorecard.card.rows)[1]
    assert last["eva"] == own
    assert f"lits17 0.600, DiceScore, val, 200 steps: {run}; " in last["eva_sources"]
    assert f"word 0.250, DiceScore, test, published: {table}" in last["eva_sources"]
    session.scorecard.eva_results = None
    assert [row.eva_text for row in session.scorecard.card.rows] == ["", ""]
    assert session.scorecard.card.is_done
    with pytest.raises(MissingFileError):
        session.scorecard.eva_results = tmp_path / "none"
    assert session.scorecard.eva_results == ()


def test_eva_of_one_checkpoint_is_not_that_of_another(session, tmp_path, reference, liver):
    mine = convert_weights("coralbay-mini", tmp_path / "mine" / "coralbay-mini.safetensors")
    write_run(tmp_path / "runs" / "shipped", encoder=of("coralbay-mini"))
    write_run(tmp_path / "runs" / "mine", encoder=of(str(mine)), scores=(0.3, 0.3))
    (tmp_path / "radiology.csv").write_text("model,btcv\nvoco_b,0.83\n")
    session.click(liver)
    session.scorecard.eva_results = [tmp_path / "runs", tmp_path / "radiology.csv"]
    session.scorecard.measure([str(mine), "coralbay-mini", "voco-b"], reference)
    # voco-b is turned to the axes it was trained with here, and not by eva: no row of one is a row of the other.
    assert [row.eva_text for row in session.scorecard.card.rows] == ["btcv 0.300", "btcv 0.600", ""]


def test_a_removed_scan_takes_its_card_along(session, reference, liver):
    seen = []
    session.click(liver)
    session.scorecard.measure(["hu-patch"], reference)
    session.scorecard.changed.connect(seen.append)
    session.remove(session.scan)
    assert seen == [None]


def test_a_removed_other_scan_ends_the_card_that_searches_it(belly, other, reference, liver):
    session, calls, done = run_threaded(belly)
    here, there = session.scan, session.add(replace(other))
    session.activate(here)
    gate = Gate(session)
    seen, volume = [], weakref.ref(there.volume)
    session.click(liver)
    session.scorecard.measure(["hu-patch", "hu-context"], reference)
    drain(session, calls, done, gate.reached.is_set)
    session.scorecard.changed.connect(seen.append)
    session.remove(there)
    del there
    assert [card.other for card in seen] == [None]
    gate.open.set()
    drain(session, calls, done, lambda: not any(t.name.startswith("coralbay") for t in threading.enumerate()))
    assert session.scorecard.card.rows == ()
    session.close()
    gc.collect()
    assert volume() is None  # whatever the encoder still gave is not kept


def test_cells_and_the_best_of_a_column():
    rows = (ScoreRow("a", 0.5, return_mm=12.0), ScoreRow("b", 0.25, return_mm=3.04), ScoreRow("c", problem="broken"))
    retrieval, way_back = (next(c for c in COLUMNS if c.key == key) for key in ("retrieval", "return_mm"))
    assert [rows[1].cell(column) for column in (retrieval, way_back)] == ["0.250", "3.0 mm"]
    assert best_models(rows, retrieval) == {"a"}
    assert best_models(rows, way_back) == {"b"}
    assert best_models(rows[:1], retrieval) == frozenset()
    json.dumps(as_dicts(rows))
    card = Scorecard(None, ("a", "b", "c"), rows=rows[:1], before=(ScoreRow("a", 0.1), ScoreRow("b", 0.2)))
    assert not card.is_done
    assert card.awaited == "b"
    assert card.shown == (rows[0], ScoreRow("b", 0.2), ScoreRow("c"))


@pytest.mark.slow
def test_a_click_in_the_liver_of_a_real_scan(ct_pack):
    folder = ct_pack / "labelled" / "totalseg_example"
    session = Session()
    session.open(folder / "ct.nii.gz")
    labels = load_labels(folder / "labels.nii.gz", like=session.volume)
    names = json.loads((folder / "labels.json").read_text())
    liver = next(int(value) for value, name in names.items() if name == "liver")
    inside = np.argwhere(labels.data == liver)
    session.click(labels.grid.to_world(inside[len(inside) // 2]))
    session.scorecard.measure(["hu-context", "coralbay-mini"], folder / "labels.nii.gz")
    context, mini = session.scorecard.card.rows
    assert mini.retrieval > context.retrieval > (labels.data == liver).mean()


def test_notes_about_a_reference_are_told(session, reference, liver, tmp_path):
    path = save_map(tmp_path / "organs.nii.gz", reference.data, reference)
    (tmp_path / "organs.json").write_text("{")
    said = []
    session.message.connect(said.append)
    session.click(liver)
    for _ in range(2):  # the second time the labels are known
        session.scorecard.measure(["hu-patch"], path)
    (line,) = said
    assert line.startswith("organs.nii.gz: label names in organs.json were not read")
