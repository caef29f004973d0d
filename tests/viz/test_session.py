"""Session and jobs without a window."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import Cancelled, CoralBayError, InputError, MissingFileError, OutsideVolumeError
from coralbay_core.spatial import LabelVolume, Volume
from coralbay_viz import Session
from coralbay_viz.demo import auto_strokes
from coralbay_viz.demo.tour import Tour
from coralbay_viz.jobs import InlineRunner, Progress, Task, ThreadRunner, duration
from coralbay_viz.model.clicks import Clicks
from coralbay_viz.model.results import ScoreScale
from coralbay_viz.tasks import files as files_tasks
from tests.support.scans import cut
from tests.support.waiting import Mailbox, wait_until

pytestmark = pytest.mark.forward

# --- jobs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def runner(mailbox):
    runner = ThreadRunner(mailbox.deliver)
    yield runner
    runner.close()


def test_whoever_waits_for_a_job_sees_its_end_without_its_result():
    mailbox, go = [], threading.Event()
    runner = ThreadRunner(mailbox.append)
    results = []
    job = runner.submit(Task("lane", lambda *_: go.wait(60), results.append, pytest.fail))
    assert not job.wait(0.01)
    go.set()
    assert job.wait(60)
    assert not results  # on its way
    mailbox.pop()()
    assert results == [True]
    assert InlineRunner().submit(Task("lane", lambda *_: 1, results.append, pytest.fail)).wait(0)


def test_result_arrives_where_it_is_delivered(runner, mailbox):
    where = []
    job = runner.submit(Task("lane", lambda *_: threading.get_ident(), where.append, pytest.fail))
    mailbox.open(until=lambda: not job.running)
    assert job.state == "done"
    assert where != [threading.get_ident()]


def test_a_newer_job_makes_the_older_result_stale(runner, mailbox):
    release, results = threading.Event(), []
    old = runner.submit(Task("lane", lambda *_: release.wait(5) and "old", results.append, pytest.fail))
    new = runner.submit(Task("lane", lambda *_: "new", results.append, pytest.fail))
    mailbox.open(until=lambda: not new.running)
    release.set()
    mailbox.open(until=lambda: not old.running)
    assert results == ["new"]
    assert (old.state, new.state) == ("cancelled", "done")
    assert old.generation < new.generation


def test_a_result_that_is_on_its_way_is_dropped_too(runner, mailbox):
    results = []
    first = runner.submit(Task("lane", lambda *_: 1, results.append, pytest.fail))
    wait_until(lambda: mailbox.calls)
    runner.submit(Task("lane", lambda *_: 2, results.append, pytest.fail))
    mailbox.open(until=lambda: results == [2])
    assert first.state == "cancelled"


def test_lanes_do_not_disturb_each_other(runner, mailbox):
    results = []
    tasks = [Task(lane, lambda *_, lane=lane: lane, results.append, pytest.fail) for lane in ("a", "b")]
    jobs = [runner.submit(task) for task in tasks]
    mailbox.open(until=lambda: len(results) == 2)
    assert sorted(results) == ["a", "b"]
    assert [job.state for job in jobs] == ["done", "done"]


def test_cancel_reaches_the_work(runner, mailbox):
    def work(context):
        while not context.cancelled():
            time.sleep(0.001)
        raise Cancelled("stopped")

    job = runner.submit(Task("lane", work, pytest.fail, pytest.fail))
    runner.cancel("lane")
    mailbox.open(until=lambda: not job.running)
    assert job.state == "cancelled"


def test_an_error_is_told_and_not_raised(runner, mailbox):
    errors = []
    job = runner.submit(Task("lane", lambda *_: 1 / 0, pytest.fail, errors.append))
    mailbox.open(until=lambda: not job.running)
    assert isinstance(errors[0], ZeroDivisionError)
    assert job.state == "failed"


def test_a_closed_runner_starts_nothing(runner, mailbox):
    runner.close()
    job = runner.submit(Task("lane", pytest.fail, pytest.fail, pytest.fail))
    mailbox.open(until=lambda: not job.running)
    assert job.state == "cancelled"


def test_progress_is_thinned_out_but_its_end_is_told(runner, mailbox):
    seen = []

    def work(context):
        for done in range(1, 1001):
            context.progress(done, 1000)

    task = Task("lane", work, lambda _: None, pytest.fail, lambda job: job.progressed.connect(seen.append))
    job = runner.submit(task)
    mailbox.open(until=lambda: not job.running)
    assert seen[-1].done == 1000
    assert len(seen) < 100


def test_inline_jobs_raise():
    with pytest.raises(ZeroDivisionError):
        InlineRunner().submit(Task("lane", lambda *_: 1 / 0, pytest.fail, pytest.fail))


def test_progress_says_how_long_it_will_take():
    assert Progress(0, 8, 1.0).remaining_s is None
    assert Progress(2, 8, 10.0).remaining_s == 30
    assert str(Progress(2, 8, 10.0)) == "25%, about 30 s left"
    assert (duration(0.2), duration(600), duration(9000)) == ("1 s", "10 min", "2.5 h")


# --- state --------------------------------------------------------------------------------------------------------

points = st.tuples(*[st.floats(-500, 500)] * 3)


@given(st.lists(st.tuples(points, st.booleans()), min_size=1, max_size=8, unique_by=lambda click: click[0]), points)
def test_a_click_is_found_moved_and_taken_away(given_clicks, other):
    clicks = Clicks()
    for point, negative in given_clicks:
        clicks = clicks.add(point, negative)
    point, negative = given_clicks[-1]
    assert clicks.near(point, 0) == point
    moved = clicks.replace(point, other)
    assert (moved.negative if negative else moved.positive)[-1] == other
    assert clicks.replace(point, None).add(point, negative) == clicks
    assert Clicks().near(point, 1e9) is None


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300), st.floats(1e-3, 1), st.floats(1e-3, 1))
def test_a_smaller_share_of_the_body_means_a_higher_threshold(scores, one, other):
    scale = ScoreScale(np.array(scores, np.float32))
    low, high = sorted((one, other))
    assert scale.score_of(low) >= scale.score_of(high) - 1e-6
    assert scale.low - 1e-6 <= scale.score_of(low) <= scale.high + 1e-6


# --- session ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def belly(phantom) -> Volume:
    """The part of the phantom around the liver, small enough to compute on in a moment."""
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"])


@pytest.fixture(scope="module")
def explored(belly) -> Session:
    """A session with features; tests leave it without clicks."""
    session = Session()
    session.add(belly)
    session.compute()
    return session


@pytest.fixture
def session(explored):
    yield explored
    explored.clear_clicks()


def middle_of(volume):
    return volume.grid.to_world((np.array(volume.shape) - 1) / 2)


def test_a_script_reads_like_the_manual(belly, tmp_path):
    from coralbay_core.io import load_volume, save_map

    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    session = Session()
    session.open(path)
    session.compute()
    session.click(middle_of(belly))
    session.save_heat(tmp_path / "heat.nii.gz")
    session.compute_pca()
    session.save_pca(tmp_path / "pca.nii.gz")
    heat = load_volume(tmp_path / "heat.nii.gz")
    assert heat.grid == session.volume.grid
    assert np.isfinite(heat.data).all()
    assert (tmp_path / "pca.nii.gz").exists()


def test_heat_peaks_at_the_click(session, belly):
    cells = session.features.finest.grid
    place = cells.to_world(np.rint(cells.to_index(middle_of(belly))))  # between cells, a neighbor may be as much alike
    session.click(place)
    heat = session.heat
    peak = heat.grid.to_world(np.unravel_index(heat.shown.argmax(), heat.shown.shape))
    assert np.linalg.norm(peak - place) < 4
    assert heat.regions[0].score == pytest.approx(heat.scale.high, abs=1e-3)
    assert heat.clicks == session.clicks


def test_a_negative_click_takes_away(session, belly):
    place = middle_of(belly)
    session.click(place)
    before = session.heat.heat.at(place + 20)[0]
    session.click(place + 20, negative=True)
    assert session.heat.heat.at(place + 20)[0] < before
    session.undo()
    assert session.heat.heat.at(place + 20)[0] == pytest.approx(before)


def test_clicks_are_taken_away_moved_undone_and_redone(session, belly):
    first, second = tuple(middle_of(belly)), tuple(middle_of(belly) + 20)
    session.click(first)
    session.click(second, negative=True)
    assert session.remove_click(middle_of(belly) + 100) is None
    assert session.move_click(middle_of(belly) + 21, middle_of(belly) - 20) is not None
    assert session.clicks == Clicks((first,), (tuple(middle_of(belly) - 20),))
    session.remove_click(middle_of(belly) - 19)
    assert session.clicks == session.heat.clicks == Clicks((first,))
    session.undo()
    session.undo()
    assert session.clicks.negative == (second,)
    session.redo()
    assert session.clicks.negative == (tuple(middle_of(belly) - 20),)
    assert session.heat.clicks == session.clicks
    with pytest.raises(OutsideVolumeError):
        session.move_click(first, (1e4, 0, 0))


def test_undo_brings_cleared_clicks_back(session, belly):
    session.click(middle_of(belly))
    session.clear_clicks()
    assert session.heat is None
    assert not session.clicks
    session.undo()
    assert session.heat is not None
    assert len(session.clicks.positive) == 1


def test_threshold_is_the_score_of_the_share(session, belly):
    assert session.threshold is None
    session.click(middle_of(belly))
    heat = session.heat.heat
    session.body_fraction = 0.1
    assert np.mean(heat.data[heat.inside] >= session.threshold) == pytest.approx(0.1, abs=0.01)
    with pytest.raises(InputError, match="fraction of the body"):
        session.body_fraction = 0


def test_clicks_before_features_are_answered_when_features_are_there(belly):
    session = Session()
    session.add(belly)
    assert session.click(middle_of(belly)) is None
    assert session.heat is None
    session.compute()
    assert session.heat is not None


def test_segmentation_keeps_the_painted_values(session, belly, tmp_path):
    from coralbay_core.io import load_labels

    data = np.zeros(belly.shape, np.uint8)
    data[:4, :4, :4], data[-4:, -4:, -4:] = 3, 9
    session.segment(LabelVolume(data, belly.grid))
    assert set(np.unique(session.segmentation.data)) <= {0, 3, 9}
    session.save_segmentation(tmp_path / "seg.nii.gz")
    assert load_labels(tmp_path / "seg.nii.gz").grid == belly.grid


def test_bad_input_is_refused_at_once(session, belly, tmp_path):
    with pytest.raises(OutsideVolumeError, match="mm within"):
        session.click((1e4, 0, 0))
    assert not session.clicks
    with pytest.raises(CoralBayError, match="no heat map to save"):
        session.save_heat(tmp_path / "heat.nii.gz")
    with pytest.raises(MissingFileError):
        session.open(tmp_path / "nowhere.nii.gz")
    empty = Session()
    for command in (empty.compute, empty.compute_pca, lambda: empty.click((0, 0, 0)), empty.undo):
        with pytest.raises(CoralBayError, match="no scan is open"):
            command()
    empty.add(belly)
    with pytest.raises(CoralBayError, match="no features yet"):
        empty.compute_pca()


def test_scans_come_and_go(belly):
    session = Session()
    told = []
    session.scan_changed.connect(lambda scan: told.append(scan and scan.name))
    first = session.add(belly)
    second = session.add(Volume(belly.data, belly.grid, name="other"))
    session.activate(first)
    session.remove(first)
    assert session.scan is second
    session.remove(second)
    assert session.scan is None
    assert told == ["belly", "other", "belly", "other", None]


def test_another_model_replaces_all_that_came_from_the_first(belly):
    session = Session()
    scan = session.add(belly)
    session.compute()
    session.click(middle_of(belly))
    session.compute_pca()
    session.compute()
    assert scan.pca is None
    assert scan.heat is not None  # recomputed: the clicks stay


def test_cancelled_features_leave_nothing(belly, mailbox):
    runner = ThreadRunner(mailbox.deliver)
    session = Session(runner, store=False)
    session.add(belly)
    job = session.compute()
    session.cancel("features")
    mailbox.open(until=lambda: not job.running)
    assert job.state == "cancelled"
    assert session.features is None


def test_features_of_a_removed_scan_go_nowhere(belly, mailbox):
    session = Session(ThreadRunner(mailbox.deliver), store=False)
    scan = session.add(belly)
    job = session.compute()
    session.remove(scan)
    mailbox.open(until=lambda: not job.running)
    assert scan.features is None


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "session",
        "persistence.save_load",
        "controllers",
        "tasks.encoders",
        "display.layer_specs",
        "model.scan",
        "jobs",
        "demo.tour",
    ],
)
def test_what_views_share_needs_no_gui_and_loads_quickly(module):
    code = (
        f"import sys, coralbay_viz.{module}; "
        "print([m for m in ('napari', 'qtpy', 'PySide6', 'vispy', 'IPython', 'torch', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


# --- the tour -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_phantom(phantom, monkeypatch):
    from dataclasses import replace

    center = phantom.landmarks["liver_right_lobe"]
    small = replace(phantom, volume=cut(phantom.volume, center), labels=cut(phantom.labels, center))
    monkeypatch.setattr(files_tasks, "make_phantom", lambda: small)
    return small


def test_tour_of_the_phantom(small_phantom, tmp_path):
    tour = Tour(Session(), out=tmp_path)
    names = [step.name for step in tour.steps()]
    assert names == ["open", "features", "pca", "similar", "strokes", "segment", "save", "save", "save"]
    written = {f"{name}.{ending}" for name in ("heat", "pca", "seg") for ending in ("nii.gz", "provenance.json")}
    assert {path.name for path in tmp_path.iterdir()} == written
    about = json.loads((tmp_path / "heat.provenance.json").read_text())
    assert about["model"] == "coralbay-mini"
    assert about["parameters"]["at_mm"]
    assert tour.results["dice"]["liver"] > 0.5
    assert any("Dice" in line for line in tour.report)


def test_tour_of_a_scan_says_what_its_strokes_are(belly, tmp_path):
    from coralbay_core.io import save_map

    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    tour = Tour(Session(), path)
    for _ in tour.steps():
        pass
    assert belly.grid.contains(tour.at_mm)
    assert "Hounsfield" in " ".join(tour.report)
    assert "dice" not in tour.results


def test_automatic_strokes_lie_in_their_classes(small_phantom, session):
    placed = auto_strokes.place(small_phantom.volume, session.features, small_phantom.volume.grid, small_phantom)
    truth = auto_strokes.phantom_classes(small_phantom.labels)
    painted = placed.labels.data > 0
    assert painted.any()
    assert painted.mean() < 0.05
    np.testing.assert_array_equal(placed.labels.data[painted], truth.data[painted])


def test_the_deep_point_is_soft_tissue(session, belly):
    place = auto_strokes.deep_point(belly, session.features)
    z, y, x = np.round(belly.grid.to_index(place)).astype(int)
    around = belly.data[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3]
    assert 0 < around.mean() < 200
    assert around.std() < 60
