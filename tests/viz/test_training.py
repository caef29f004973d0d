"""A run watched while it goes on: its folder, colors that can be compared, and the session."""

import json
import shutil

import numpy as np
import pytest

from coralbay_core import features_for, load_encoder
from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.pretrain.run_folder import RunFolder
from coralbay_core.projection import aligned_basis, fit_basis
from coralbay_viz import Session
from coralbay_viz.controllers import training as training_controller
from coralbay_viz.jobs import ThreadRunner
from tests.support.pretraining import finished_run
from tests.support.scans import cut
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward


@pytest.fixture(scope="module")
def finished(phantom, tmp_path_factory):
    """A run of six steps with a checkpoint after each two."""
    return finished_run(phantom, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(finished, tmp_path):
    """The same run after its fourth step."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    shutil.move(folder / "checkpoints" / "step-0000006.pt", tmp_path / "later.pt")
    lines = (folder / "log.jsonl").read_text().splitlines(keepends=True)
    (folder / "log.jsonl").write_text("".join(lines[:4]))
    (tmp_path / "later.jsonl").write_text("".join(lines[4:]))
    return folder


def go_on(run):
    """The last two steps of the run."""
    with (run / "log.jsonl").open("a") as log:
        log.write((run.parent / "later.jsonl").read_text())
    (run.parent / "later.pt").rename(run / "checkpoints" / "step-0000006.pt")


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["L3"], half_mm=60)


# --- the folder ---------------------------------------------------------------------------------------------------


def test_the_teacher_of_the_last_step_is_what_the_run_shipped(finished, belly):
    last = RunFolder(finished).encoder(device="cpu")
    shipped = load_encoder(next(finished.glob("*.safetensors")), device="cpu")
    assert last.name == f"{shipped.name} at step 6"
    assert (last.preprocessing, last.tiling) == (shipped.preprocessing, shipped.tiling)
    ours, theirs = (features_for(belly, e, store=False).stage(4).data.astype(float) for e in (last, shipped))
    np.testing.assert_allclose(ours, theirs, atol=0.05 * np.abs(theirs).max())  # shipped in float16
    prints = {RunFolder(finished).encoder(step, device="cpu").fingerprint for step in (2, 4, 6)}
    assert len(prints) == 3


def test_curves_are_arrays_by_name(finished):
    run = RunFolder(finished)
    assert list(run.checkpoints()) == [2, 4, 6]
    curves = run.curves()
    assert curves["loss"].steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(curves["loss"].values).all()
    assert {"dino", "gradient_norm", "learning_rate", "rank.4"} <= set(curves)
    assert run.alarms() == ()


def test_what_is_half_written_is_left_out(run):
    folder, before = RunFolder(run), RunFolder(run).curves()
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 5, "alarm": "uniform collapse"}\n')
        log.write(
            '{"step": 5, "evaluation.across_ap": 0.25}\nnot json\n{"no": "step"}\n[1]\n{"step": 4, "loss": 9.0}\n'
        )
        log.write('{"step": 6, "loss": 1.')
    curves = folder.curves()
    assert curves["evaluation.across_ap"].steps.tolist() == [5]
    assert curves["loss"].steps.tolist() == before["loss"].steps.tolist()
    assert curves["loss"].values[-1] == 9.0  # a resumed run does steps again
    assert folder.alarms() == ((5, "uniform collapse"),)
    for name in (".step-0000008.pt.part", "step-0000008.pt.part", "step-best.pt"):
        (run / "checkpoints" / name).write_bytes(b"PK")
    assert list(folder.checkpoints()) == [2, 4]
    (run / "checkpoints" / "step-0000008.pt").write_bytes((run / "checkpoints" / "step-0000004.pt").read_bytes()[:999])
    with pytest.raises(CoralBayError, match="damaged"):
        folder.encoder(8)
    with pytest.raises(MissingFileError, match="no such checkpoint"):
        folder.encoder(3)


def test_folders_that_are_no_runs_are_refused(run, tmp_path):
    with pytest.raises(MissingFileError, match="no run"):
        RunFolder(tmp_path).config()
    assert RunFolder(tmp_path / "nowhere").checkpoints() == {}
    assert RunFolder(tmp_path / "nowhere").curves() == {}
    recorded = json.loads((run / "run.json").read_text())
    recorded["config"]["model"]["window"] = "wide"
    (run / "run.json").write_text(json.dumps(recorded))
    with pytest.raises(InputError, match="window"):
        RunFolder(run).config()
    (run / "run.json").write_text("{")
    with pytest.raises(InputError, match="unreadable run"):
        RunFolder(run).config()


# --- colors -------------------------------------------------------------------------------------------------------


def test_an_aligned_basis_undoes_a_turn(finished, belly):
    features = features_for(belly, RunFolder(finished).encoder(device="cpu"), store=False)
    basis = fit_basis(features, 3)
    coordinates = basis.coordinates(features)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].astype(np.float32)
    spread = coordinates[:, features.body_at(4)].std(1)
    white = coordinates / spread[:, None, None, None]
    for like in (-coordinates[[1, 2, 0]], np.tensordot(turn, white, 1)):
        turned = aligned_basis(basis, features, like)
        rows = np.concatenate([turned.weights[s] for s in turned.strides])
        np.testing.assert_allclose(rows.T @ rows, np.eye(3), atol=1e-4)
        again, inside = turned.coordinates(features), features.body_at(4)
        fits = [np.corrcoef(a[inside], b[inside])[0, 1] for a, b in zip(again, like, strict=True)]
        before = [np.corrcoef(a[inside], b[inside])[0, 1] for a, b in zip(coordinates, like, strict=True)]
        assert sum(fits) > sum(before)
        assert sum(turned.explained) == pytest.approx(sum(basis.explained), rel=1e-3)
    same = aligned_basis(basis, features, -coordinates[[1, 2, 0]]).coordinates(features)
    np.testing.assert_allclose(same, -coordinates[[1, 2, 0]], atol=2e-3 * np.abs(coordinates).max())
    with pytest.raises(InputError, match="other cells"):
        aligned_basis(basis, features, coordinates[:, 1:])


# --- session ------------------------------------------------------------------------------------------------------


def test_a_session_follows_the_newest_checkpoint(run, belly, phantom):
    session, told = Session(model="hu-context", device="cpu"), []
    scan = session.add(belly)
    session.click(phantom.landmarks["L3"])
    session.training.changed.connect(lambda: told.append(session.training.state and session.training.state.wanted))
    session.training.watch(run)
    state = session.training.state
    assert (state.steps, state.wanted, state.shown.step, state.problem) == ((2, 4), 4, 4, "")
    assert state.box_mm is None
    assert state.curves["loss"].steps[-1] == 4
    first = state.shown
    assert first.pca.shown.any()
    assert first.heat.heat.best()[1] == first.heat.scale.high
    assert np.linalg.norm(first.heat.heat.best()[0] - phantom.landmarks["L3"]) < 12
    count = len(told)
    session.training.refresh()
    assert len(told) == count  # nothing new
    assert state.shown is first

    go_on(run)
    session.training.refresh()
    assert (state.steps, state.shown.step) == ((2, 4, 6), 6)
    assert state.curves["loss"].steps[-1] == 6
    inside = state.shown.features.body_at(4)
    for old, new in zip(first.coordinates, state.shown.coordinates, strict=True):
        assert np.corrcoef(old[inside], new[inside])[0, 1] > 0.5  # the same colors mean the same

    session.training.show(2)
    assert state.shown.step == 2
    features = state.shown.features
    session.click(phantom.landmarks["L3"] + 15)
    assert state.shown.features is features
    assert len(state.shown.heat.clicks.positive) == 2
    session.training.show(None)
    assert state.shown.step == 6
    assert scan.features is None  # the scan's own were never touched
    session.remove(scan)
    assert session.training.state is None


def test_nothing_of_it_fills_the_cache(run, belly, tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path / "cache"))
    session = Session(model="hu-context", device="cpu")
    session.add(belly)
    session.training.watch(run)
    assert session.training.state.shown is not None
    assert not list((tmp_path / "cache").rglob("*"))


def test_trouble_is_told_and_passes(run, belly):
    session = Session(model="hu-context", device="cpu")
    session.add(belly)
    with pytest.raises(CoralBayError, match="no training is watched"):
        session.training.refresh()
    with pytest.raises(MissingFileError, match="no run"):
        session.training.watch(run / "checkpoints")
    session.training.watch(run)
    damaged = run / "checkpoints" / "step-0000005.pt"
    damaged.write_bytes(b"PK\x03\x04")
    session.training.refresh()
    state = session.training.state
    assert "damaged" in state.problem
    assert state.shown.step == 4
    damaged.unlink()
    (run / "run.json").rename(run / "away.json")
    session.training.refresh()
    assert "no run" in state.problem
    assert len(state.curves["loss"].steps) == 4  # what was known stays
    (run / "away.json").rename(run / "run.json")
    session.training.refresh()
    assert (state.problem, state.shown.step) == ("", 4)
    session.training.show(3)
    assert "no such checkpoint" in state.problem
    session.training.stop()
    assert session.training.state is None


def test_curves_can_be_watched_without_a_scan(run):
    session = Session()
    session.training.watch(run)
    assert session.training.state.curves["loss"].steps[-1] == 4
    assert session.training.state.shown is None


def test_a_large_scan_is_seen_in_a_box(run, belly, phantom, monkeypatch):
    monkeypatch.setattr(training_controller, "LARGE_MM", 50.0)
    monkeypatch.setattr(training_controller, "RADIUS_MM", 30.0)
    session = Session(model="hu-context", device="cpu")
    session.add(belly)
    session.cursor_mm = phantom.landmarks["L3"]
    session.training.watch(run)
    state = session.training.state
    low, high = np.array(state.box_mm)
    np.testing.assert_allclose((low + high) / 2, session.cursor_mm, atol=1e-6)
    assert np.prod(state.shown.features.grid.shape) < np.prod(belly.shape)
    assert state.shown.heat is None
    session.click(session.cursor_mm)
    assert state.shown.heat.partial
    session.clear_clicks()
    corner = belly.grid.to_world(np.array(belly.shape) - 1)
    assert not state.shown.features.grid.contains(corner)
    session.click(corner)
    assert state.shown.heat is None


def test_the_answer_keeps_up_with_clicks_while_checkpoints_are_computed(run, belly, phantom):
    mailbox = Mailbox()
    session = Session(ThreadRunner(mailbox.deliver), model="hu-context", device="cpu")
    scan = session.add(belly)
    session.training.watch(run)

    state = session.training.state
    mailbox.run_until(lambda: state.steps)
    session.click(phantom.landmarks["L3"])  # while the checkpoint is being seen
    mailbox.run_until(lambda: state.shown is not None and state.shown.heat is not None)
    assert state.shown.asked == scan.clicks.now
    session.close()
