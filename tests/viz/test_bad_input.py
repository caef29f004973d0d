"""Bad arguments of session calls: one error of ours, and the session is as it was."""

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from tests.support.scans import cut

pytestmark = pytest.mark.forward

NAN = float("nan")


@pytest.fixture(scope="module")
def worked(phantom):
    session = Session(model="hu-patch")
    session.add(cut(phantom.volume, phantom.landmarks["L3"], half_mm=40))
    session.compute()
    session.click(tuple(session.volume.grid.center_mm))
    return session


CALLS = {
    "click at NaN": lambda s: s.click((NAN, 0, 0)),
    "click at a word": lambda s: s.click("here"),
    "click at two numbers": lambda s: s.click((1, 2)),
    "hover at NaN": lambda s: s.hover((NAN, 0, 0)),
    "hover at a word": lambda s: s.hover("here"),
    "hover at two numbers": lambda s: s.hover((1, 2)),
    "cursor at NaN": lambda s: setattr(s, "cursor_mm", (NAN, 0, 0)),
    "cursor at a word": lambda s: setattr(s, "cursor_mm", "here"),
    "mirror at NaN": lambda s: s.mirror((NAN, 0, 0)),
    "plot at NaN": lambda s: s.plot((NAN, 0, 0)),
    "windows at NaN": lambda s: s.windows.compare((NAN, 0, 0)),
    "no such region": lambda s: s.mark(99),
    "a region called by a word": lambda s: s.mark("best"),
    "half a region": lambda s: s.mark(0.5),
    "no such class": lambda s: s.show_scores(99),
    "no such class to save": lambda s: s.save_probability("never.nii.gz", 99),
    "components in words": lambda s: setattr(s, "components", "abc"),
    "two components": lambda s: s.compute_pca((0, 1)),
    "component -1": lambda s: setattr(s, "umap_components", (0, -1, 2)),
    "no such plot": lambda s: s.compute_scatter("map"),
    "a scan by name": lambda s: s.activate("scan"),
    "an array as a scan": lambda s: s.add(np.zeros((3, 3, 3))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_cannot_be_meant_changes_nothing(worked, call):
    def state():
        return (worked.scans[:], worked.scan, worked.cursor_mm, worked.clicks, worked.components,
                worked.umap_components, worked.scan.results, worked.scan.marked, worked.scan.strokes.now)  # fmt: skip

    before = state()
    with pytest.raises(CoralBayError):
        call(worked)
    after = state()
    assert all(one is two or one == two for one, two in zip(before, after, strict=True))


@pytest.mark.parametrize("value", [2**31, 2**40, -5])
def test_label_values_of_a_reference_may_be_anything(worked, value):
    scan = worked.scan
    data = np.full(scan.volume.shape, value, np.int64)
    failed = []
    worked.failed.connect(failed.append)
    strokes = np.zeros(scan.label_grid.shape, np.uint8)
    strokes[4:8, 4:8, 4:8], strokes[14:18, 14:18, 14:18] = 1, 2
    worked.segment(LabelVolume(strokes, scan.label_grid))
    data[: len(data) // 2] = 3
    worked.scorecard(["hu-patch"], reference=LabelVolume(data, scan.volume.grid))
    assert not failed
    (row,) = worked.scorecard.card.rows
    assert row.problem == ""
    assert row.dice is not None


def test_a_place_beyond_all_numbers_is_refused_or_kept_inside(worked):
    worked.cursor_mm = (1e300, 0, 0)
    assert worked.volume.grid.contains(worked.cursor_mm)
    with pytest.raises(InputError):
        worked.cursor_mm = (np.inf, 0, 0)
