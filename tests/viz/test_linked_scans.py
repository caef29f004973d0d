"""Two linked scans: answers that do not wait for their alignment, and crosshairs that lead each other."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coralbay_core.errors import CoralBayError
from coralbay_core.matching import known_alignments
from coralbay_core.spatial.resampling import resample
from coralbay_viz.display.scan_layers import layer_of
from coralbay_viz.display.view_state import ViewState
from coralbay_viz.jobs import ThreadRunner
from tests.support.linked_scans import linked_session
from tests.support.runners import HoldingRunner
from tests.support.waiting import Mailbox
from tests.support.warped_features import GRID, ripple

CENTER = tuple(GRID.center_mm.tolist())
ASIDE = tuple((GRID.center_mm + 15).tolist())


@pytest.fixture
def runner():
    return HoldingRunner()


@pytest.fixture
def counted():
    return []


@pytest.fixture
def session(monkeypatch, runner, counted):
    session = linked_session(monkeypatch, runner, counted)
    session.scope = "here"
    return session


def test_the_first_answer_does_not_wait_for_the_alignment(session, runner, counted):
    second, words = session.scans[1], []
    session.message.connect(words.append)
    session.link_heat(second)
    runner.held = "alignment"
    session.click(CENTER)
    assert second.heat.provisional
    assert "not aligned yet; the whole scan was searched" in second.heat.note
    assert session.alignments.in_words(*session.scans) == "aligning the scans ..."
    session.click(ASIDE)
    assert second.heat.clicks.positive == (CENTER, ASIDE)
    assert (counted, words) == ([], [])
    before = second.heat.heat.data
    runner.let_go()
    assert not second.heat.provisional
    assert second.heat.clicks.positive == (CENTER, ASIDE)
    assert not np.array_equal(second.heat.heat.data, before)
    assert "alignment is" in words[-1]
    assert len(words) == len(counted) == 1
    session.click(GRID.center_mm - 15)  # it is aligned once
    session.activate(second)
    session.link_heat(session.scans[0])
    session.click(CENTER)
    assert not session.scans[0].heat.provisional
    assert len(counted) == 1


def test_everywhere_is_everywhere_in_a_linked_scan_too(session, counted):
    second = session.scans[1]
    session.link_heat(second)
    session.scope = "everywhere"
    session.click(CENTER)
    assert not second.heat.provisional
    assert (counted, second.heat.note) == ([], "")
    session.prior_mm = 40.0  # near the clicks, which is near the aligned places there
    assert "alignment is" in second.heat.note
    assert len(counted) == 1


def test_scans_that_cannot_be_aligned_keep_the_first_answer_and_say_why(session, monkeypatch):
    second, words = session.scans[1], []

    def apart(*_, **more):
        raise CoralBayError("scans show different parts of the body")

    monkeypatch.setattr(known_alignments, "deform", apart)
    session.message.connect(words.append)
    session.link_heat(second)
    session.click(CENTER)
    assert not second.heat.provisional
    assert second.heat.note == "scans show different parts of the body; the whole scan was searched"
    assert words == [f"scan 1: {second.heat.note}"]
    assert session.alignments.in_words(*session.scans) == "scans show different parts of the body"


def test_an_alignment_is_stopped_and_begun_again_at_the_next_click(session, runner, counted):
    second, told = session.scans[1], []
    session.alignments.changed.connect(lambda *pair: told.append(session.alignments.in_words(*pair)))
    session.link_heat(second)
    runner.held = "alignment"
    session.click(CENTER)
    session.cancel()
    runner.let_go()
    assert second.heat.provisional
    assert counted == []
    runner.held = ""
    session.click(ASIDE)
    assert not second.heat.provisional
    assert len(counted) == 1
    assert told[0] == "aligning the scans ..."
    assert "alignment is" in told[-1]


def test_two_who_ask_for_an_alignment_share_one(monkeypatch):
    entered, go_on, calls = threading.Event(), threading.Event(), []
    mailbox = Mailbox()
    session = linked_session(monkeypatch, ThreadRunner(mailbox.deliver))
    real = known_alignments.deform

    def slowly(*args, **more):
        calls.append(args)
        entered.set()
        go_on.wait(60)
        return real(*args, **more)

    monkeypatch.setattr(known_alignments, "deform", slowly)
    second = session.scans[1]
    session.scope = "place"
    session.link_heat(second)
    session.click(CENTER)
    mailbox.run_until(entered.is_set)
    assert second.heat.provisional
    found = []
    features = [scan.features for scan in session.scans]
    other = threading.Thread(target=lambda: found.append(known_alignments.alignment_of(*features[::-1])))
    other.start()
    go_on.set()
    mailbox.run_until(lambda: not second.heat.provisional)
    other.join(60)
    assert len(calls) == len(found) == 1
    session.close()


# --- crosshairs ---------------------------------------------------------------------------------------------------


def test_either_crosshair_leads(session, counted):
    second = session.scans[1]
    session.link_cursor(second)
    session.cursor_mm = CENTER
    assert np.linalg.norm(ripple(session.linked_cursor_mm) - CENTER) < 6
    session.linked_cursor_mm = ASIDE
    assert session.linked_cursor_mm == ASIDE
    assert np.linalg.norm(ripple(ASIDE) - session.cursor_mm) < 6
    np.testing.assert_allclose(second.matched.source_mm, session.cursor_mm)
    assert second.matched.confirmed
    assert len(counted) == 1
    session.linked_cursor_mm = GRID.to_world((-50, 10, 10))  # beyond the scan: the nearest place in it
    assert GRID.contains(session.linked_cursor_mm)
    session.activate(second)
    session.linked_cursor_mm = CENTER  # a scan does not lead itself
    session.link_cursor(None)
    assert session.linked_cursor_mm is None
    with pytest.raises(CoralBayError, match="no scan is linked"):
        session.linked_cursor_mm = CENTER


@pytest.fixture(scope="module")
def aligned():
    with pytest.MonkeyPatch.context() as patch:
        session = linked_session(patch)
        session.link_cursor(session.scans[1])
        session.cursor_mm = CENTER
        yield session


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[st.floats(-0.2, 1.2)] * 3), st.booleans())
def test_a_place_that_is_set_twice_is_set_once(aligned, fractions, leads_back):
    """Views that are moved to a place report that place: nothing may follow from it."""
    place = GRID.to_world(np.array(fractions) * GRID.shape)
    name = "linked_cursor_mm" if leads_back else "cursor_mm"
    setattr(aligned, name, place)
    kept, told = (aligned.cursor_mm, aligned.linked_cursor_mm), []
    listeners = (aligned.cursor_changed, told.append), (aligned.match_changed, told.append)
    for signal, slot in listeners:
        signal.connect(slot)
    setattr(aligned, name, place)
    aligned.cursor_mm, aligned.linked_cursor_mm = kept
    aligned.linked_cursor_mm = np.array(kept[1]) + 1e-9
    for signal, slot in listeners:
        signal.disconnect(slot)
    assert told == []
    assert (aligned.cursor_mm, aligned.linked_cursor_mm) == kept


# --- one over the other -------------------------------------------------------------------------------------------


def test_the_second_scan_is_laid_over_the_first_one_in_squares(session):
    first, second = session.scans
    told = []
    session.warped_changed.connect(told.append)
    session.warp(second)
    warped = first.warped
    assert told == [first]
    assert (warped.name, warped.other.dtype, warped.grid) == ("scan 1", np.int16, first.label_grid)
    inner = (slice(10, -10),) * 3
    before = hu_on(second, warped.grid)
    assert np.abs(warped.other - warped.own)[inner].mean() < 0.5 * np.abs(before - warped.own)[inner].mean()
    spec = layer_of("warped", first, ViewState(0.02, square_mm=20.0))
    assert ((spec.data == warped.own) | (spec.data == warped.other)).all()
    differs = warped.own != warped.other
    assert 0.4 < (spec.data == warped.own)[differs].mean() < 0.6
    session.unwarp()
    session.unwarp()
    assert first.warped is None
    assert told == [first, first]
    with pytest.raises(CoralBayError, match="over itself"):
        session.warp(first)


def hu_on(scan, grid):
    return resample(scan.volume.data, scan.volume.grid, grid)
