"""What a session tells while features are computed: state, outlook, first answers."""

import threading

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError, OutsideVolumeError
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.spatial import Volume
from coralbay_viz import Session
from coralbay_viz.jobs import InlineRunner, Task, ThreadRunner, exclusive
from tests.support.scans import cut
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward

MODEL = "hu-context"
IN_TILES = "coralbay-mini"


@pytest.fixture
def mailbox():
    return Mailbox()


def test_what_is_told_arrives_in_order_where_it_is_delivered(mailbox):
    runner, seen = ThreadRunner(mailbox.deliver), []

    def work(context):
        context.post(lambda value: seen.append((value, threading.get_ident())), "early")
        return "late"

    job = runner.submit(Task("lane", work, lambda value: seen.append((value, threading.get_ident())), pytest.fail))
    mailbox.run_until(lambda: not job.running)
    assert seen == [("early", threading.get_ident()), ("late", threading.get_ident())]


def test_what_a_stale_job_tells_is_dropped(mailbox):
    runner, seen, told = ThreadRunner(mailbox.deliver), [], threading.Event()

    def work(context):
        context.post(seen.append, "old")
        told.set()

    runner.submit(Task("lane", work, seen.append, pytest.fail))
    assert told.wait(5)
    new = runner.submit(Task("lane", lambda *_: "new", seen.append, pytest.fail))
    mailbox.run_until(lambda: not new.running)
    assert seen == ["new"]


@pytest.mark.parametrize("threaded", [False, True])
def test_what_cannot_be_shown_early_does_not_keep_the_result(threaded, mailbox):
    results, errors = [], []

    def work(context):
        context.post(lambda: 1 / 0)
        return "result"

    runner = ThreadRunner(mailbox.deliver) if threaded else InlineRunner()
    job = runner.submit(Task("lane", work, results.append, errors.append))
    mailbox.run_until(lambda: not job.running)
    assert results == ["result"]
    assert isinstance(errors[0], ZeroDivisionError)


def test_those_who_wait_for_their_turn_give_up_when_replaced(mailbox):
    runner, lock, began, release, results = (
        ThreadRunner(mailbox.deliver),
        threading.Lock(),
        [],
        threading.Event(),
        [],
    )

    def work(name):
        return exclusive(lock, lambda context: (began.append(name), release.wait(5), name)[-1])

    jobs = [runner.submit(Task("lane", work("first"), results.append, pytest.fail))]
    mailbox.run_until(lambda: began == ["first"])
    jobs += [runner.submit(Task("lane", work(name), results.append, pytest.fail)) for name in ("second", "third")]
    release.set()
    mailbox.run_until(lambda: not any(job.running for job in jobs))
    assert results == ["third"]
    assert "second" not in began or len(began) == 3  # it may have begun before it was replaced


# --- session ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torso(phantom) -> Volume:
    """More than one tile."""
    return cut(phantom.volume, phantom.landmarks["L3"], half_mm=100)


def test_a_click_before_the_features_is_answered_in_the_first_box(torso, mailbox, phantom):
    session = Session(ThreadRunner(mailbox.deliver), model=IN_TILES, store=False)
    scan = session.add(torso)
    place = tuple(phantom.landmarks["L3"])
    session.click(place)
    partial = []
    session.heat_changed.connect(lambda s: partial.append(s.heat and s.heat.partial))
    session.compute()
    assert session.state_of(scan) == "computing"
    mailbox.run_until(lambda: scan.preview is not None)
    box = scan.preview.grid
    assert box.contains(place)
    assert np.prod(box.shape) < np.prod(np.array(torso.shape) * torso.grid.spacing_mm / 1.5)
    mailbox.run_until(lambda: scan.heat is not None or scan.features is not None)
    mailbox.run_until(lambda: scan.features is not None and scan.heat is not None and not scan.heat.partial)
    assert None not in partial  # the first answer stays until the whole one comes
    assert partial[0] is True
    assert partial[-1] is False
    assert (scan.preview, scan.outlook, session.state_of(scan)) == (None, None, "ready")
    session.close()


def test_a_partial_answer_has_its_minimum_elsewhere_and_is_not_saved(torso, phantom, tmp_path):
    """Inline, so that the first answer is there while the rest is still to come."""
    session = Session(model=IN_TILES, store=False)
    scan = session.add(torso)
    session.click(phantom.landmarks["L3"])
    early = []

    def look(changed):
        if changed.heat is not None and changed.heat.partial:
            early.append((changed.heat, changed.preview))
            with pytest.raises(CoralBayError, match="not complete"):
                session.save_heat(tmp_path / "heat.nii.gz")

    session.heat_changed.connect(look)
    session.compute()
    (heat, preview), *_ = early
    centers = heat.grid.to_world(np.stack(np.indices(heat.grid.shape), -1))
    outside = ~preview.grid.contains(centers)
    assert outside.any()
    assert (heat.shown[outside] == heat.shown.min()).all()
    peak = heat.grid.to_world(np.unravel_index(heat.shown.argmax(), heat.shown.shape))
    assert np.linalg.norm(peak - phantom.landmarks["L3"]) < 8
    assert not scan.heat.partial
    assert not list(tmp_path.iterdir())


def test_the_outlook_is_told_and_then_gone(torso):
    session = Session(model=MODEL, store=False)
    scan = session.add(torso)
    lines, states = [], []
    session.outlook_changed.connect(lambda s: lines.append(s.outlook and str(s.outlook)))
    session.state_changed.connect(lambda s: states.append(session.state_of(s)))
    assert session.state_of(scan) == "no features"
    session.compute(focus_mm=torso.grid.to_world((2, 2, 2)))
    assert len(lines) == 2
    assert "tiles of" in lines[0]
    assert "s to go" in lines[0]
    assert lines[1] is None
    assert states == ["computing", "ready"]
    assert session.strides == scan.features.strides
    assert session.device == str(session.controllers.features.encoders.get(MODEL).device)


def test_what_computing_would_take_is_told_before(torso, tmp_path):
    session = Session(model=IN_TILES, store=FeatureStore(tmp_path), device="cpu")
    scan = session.add(torso)
    seen = []
    session.outlook_changed.connect(lambda scan: seen.append(scan.outlook))
    session.look_ahead()
    before = scan.forecast
    assert list(tmp_path.iterdir()) == []  # nothing is computed for it
    assert before.kept == 0
    assert before.seconds is None
    assert before.memory_bytes > 0
    session.compute()
    outlook = seen[0]
    said = ("device", "precision", "tiles", "tiles_of_air", "tile_size", "result_bytes")
    assert [getattr(before, name) for name in said] == [getattr(outlook, name) for name in said]
    assert scan.forecast is None  # it is known now
    session.look_ahead()
    assert scan.forecast.tiles == 0
    assert "On disk already" in str(scan.forecast)
    session.model = "random"
    assert scan.forecast is None
    next(path for path in tmp_path.rglob("c/0/*/*/*") if path.is_file()).unlink()
    session.model = IN_TILES
    session.look_ahead()
    assert scan.forecast.tiles >= 1
    assert 0 <= scan.forecast.kept < 1
    assert scan.forecast.seconds == pytest.approx(scan.forecast.tiles * outlook.tile_s)
    session.model = "nothing"
    session.look_ahead()
    assert "nothing" in scan.forecast


def test_a_look_ahead_that_fails_is_a_line(torso, monkeypatch):
    session = Session(model=IN_TILES, store=None)
    session.failed.connect(pytest.fail)
    scan = session.add(torso)

    def no_room(*_):
        raise MemoryError

    monkeypatch.setattr(session.controllers.features.encoders, "get", no_room)
    session.look_ahead()
    assert scan.forecast == "MemoryError"


def test_a_device_is_asked_for(torso):
    session = Session(model="hu-patch", device="cpu", store=False)
    session.add(torso)
    session.find_devices()
    assert session.devices[0] == "auto"
    assert session.devices[-1] == "cpu"
    session.compute()
    told = []
    session.device_changed.connect(told.append)
    session.asked_device = "auto"
    session.asked_device = "auto"
    assert told == ["auto"]
    assert session.state_of(session.scan) == "ready"
    with pytest.raises(InputError, match="unknown device"):
        session.asked_device = "abacus"


def test_states_of_a_scan(torso):
    session = Session(model=MODEL, store=False)
    scan = session.add(torso)
    session.compute()
    session.model = "hu-patch"
    assert session.state_of(scan) == "other model"
    session.model = "nothing"
    with pytest.raises(CoralBayError):
        session.compute()
    assert session.state_of(scan) == "failed"
    session.model = MODEL
    assert session.state_of(scan) == "ready"
    with pytest.raises(OutsideVolumeError):
        session.compute(focus_mm=(1e5, 0, 0))
    assert Session(device="cpu").device == "cpu"
    assert Session().strides == ()
