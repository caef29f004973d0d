"""The cursor, its match in another scan, hover and marked regions, without a window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.spatial import Volume
from coralbay_viz import Session
from coralbay_viz.jobs import ThreadRunner
from coralbay_viz.model.places import nearest_inside
from coralbay_viz.tasks.cursor import HOVER_SPACING_MM
from tests.support.scans import cut
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward

MODEL = "hu-context"


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["L3"], half_mm=70)


@pytest.fixture
def session(belly):
    session = Session(model=MODEL)
    session.add(belly)
    session.compute()
    return session


def shifted(volume, voxels=4):
    """The same scan as another examination: its origin elsewhere, some slices less."""
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.to_world((voxels, 0, 0)) + (7, -5, 30)
    return Volume(volume.data[voxels:].copy(), type(volume.grid)(volume.data[voxels:].shape, affine), name="later")


@given(st.tuples(*[st.floats(-1e4, 1e4)] * 3))
def test_the_cursor_stays_inside(belly, place):
    grid = belly.grid
    kept = nearest_inside(grid, place)
    assert grid.contains(kept)
    assert (kept == place) == bool(grid.contains(place))
    assert nearest_inside(grid, kept) == kept


def test_the_cursor_belongs_to_the_scan(session, belly):
    told = []
    session.cursor_changed.connect(told.append)
    first = session.scan
    place = tuple(belly.grid.to_world((10, 12, 14)))
    session.cursor_mm = place
    session.cursor_mm = place
    assert told == [place]
    session.add(shifted(belly))
    assert session.cursor_mm is None
    session.activate(first)
    assert told == [place, None, place]
    session.cursor_mm = None
    assert told[-1] is None
    with pytest.raises(InputError, match="not a position"):
        session.cursor_mm = (0, np.nan, 0)


def test_the_cursor_is_matched_in_the_linked_scan(session, belly, phantom):
    first, told = session.scan, []
    second = session.add(shifted(belly))
    session.activate(first)
    session.match_changed.connect(lambda scan: told.append(scan.matched))
    session.link_cursor(second)
    place = phantom.landmarks["L3"]
    session.cursor_mm = place
    assert told == []  # no features there yet
    session.activate(second)
    session.compute()
    session.activate(first)
    assert np.linalg.norm(second.matched.position_mm - (place + (7, -5, 30))) < 8
    assert second.matched.return_mm < 8
    assert second.matched.confirmed
    session.cursor_mm = place + 12
    assert len(told) == 3  # searched, read from the alignment, moved
    np.testing.assert_allclose(second.matched.source_mm, place + 12)
    session.link_cursor(None)
    assert second.matched is None
    session.cursor_mm = place
    assert second.matched is None
    with pytest.raises(CoralBayError, match="not open"):
        session.link_cursor(Session().add(belly))


def test_a_match_needs_one_model(session, belly):
    first = session.scan
    second = session.add(shifted(belly))
    session.model = "hu-patch"
    session.compute()
    session.activate(first)
    session.link_cursor(second)
    session.cursor_mm = belly.grid.to_world((10, 10, 10))
    assert second.matched is None


def test_the_newest_place_wins(belly):
    mailbox, found = Mailbox(), []
    session = Session(ThreadRunner(mailbox.deliver), model=MODEL)
    scan = session.add(belly)

    job = session.compute()
    mailbox.run_until(lambda: not job.running)
    session.hover_changed.connect(lambda s: found.append(s.hover.clicks.positive[0]))
    jobs = [session.hover(belly.grid.to_world((10, 10, x))) for x in range(10, 30)]
    mailbox.run_until(lambda: not any(job.running for job in jobs))
    assert found[-1] == tuple(belly.grid.to_world((10, 10, 29)))
    assert [job.state for job in jobs[:-1]] == ["cancelled"] * 19
    assert len(found) == 1
    assert scan.hover.clicks.positive == tuple(found)
    session.close()


def test_hover_is_a_coarse_answer_of_one_place(session, belly, phantom):
    told = []
    session.hover_changed.connect(lambda scan: told.append(scan.hover))
    place = phantom.landmarks["L3"]
    session.click(belly.grid.to_world((2, 2, 2)))
    session.hover(place)
    hover = session.scan.hover
    assert set(hover.heat.weights) == {8, 16}
    assert (hover.grid.spacing_mm >= HOVER_SPACING_MM - 1e-6).all()
    assert hover.shown.shape == hover.grid.shape
    assert hover.heat.at(place)[0] > hover.scale.score_of(0.05)
    assert hover.regions == ()
    session.hover((1e5, 0, 0))
    assert session.scan.hover is None
    session.hover(place)
    session.hover(None)
    session.hover(None)
    assert [h is None for h in told] == [False, True, False, True]
    session.weights = {4: 1}  # nothing that hovering reads
    session.hover(place)
    assert set(session.scan.hover.heat.weights) == {8, 16}
    session.compute()
    assert session.scan.hover is None
    assert Session(model=MODEL).add(belly).hover is None


def test_coarse_features_are_kept(session):
    features = session.features
    assert features.select_stages((8, 16)) is features.select_stages([16, 8])
    assert features.select_stages(features.strides) is features
    with pytest.raises(InputError, match="no such stage"):
        features.select_stages([3])
    with pytest.raises(InputError, match="no stages"):
        features.select_stages([])


def test_a_marked_region_takes_the_cursor_along(session, phantom):
    told = []
    session.marked_changed.connect(lambda scan: told.append(scan.marked))
    with pytest.raises(InputError, match="no such region"):
        session.mark(0)
    session.click(phantom.landmarks["L3"])
    session.mark(0)
    assert session.cursor_mm == session.heat.regions[0].position_mm
    session.mark(None)
    session.mark(0)
    session.click(phantom.landmarks["L3"] + 9)
    assert told == [0, None, 0, None]
