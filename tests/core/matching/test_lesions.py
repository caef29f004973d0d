"""Lesions of two label maps: measured, paired over an alignment, new and resolved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.matching import Alignment, deform, follow_lesions, measure_lesions
from coralbay_core.spatial import Grid, LabelVolume, geometry
from coralbay_core.spatial.interpolation import box_grid
from tests.support.warped_features import GRID, ripple, shown_twice


@pytest.fixture(scope="module")
def alignment():
    return deform(*shown_twice(), prior=Alignment(np.eye(4), 100, 100, 1.0))


def drawn(balls, grid=GRID, names=None):
    """A label map of balls: value, center and radius of each."""
    data = np.zeros(grid.shape, np.uint8)
    for value, center, radius in balls:
        part, inside = grid.ball(center, radius)
        data[part][inside] = value
    return LabelVolume(data, grid, "lesions", names=names or {})


def shown_at(center):
    """Where the second scan shows what the first one shows at a place."""
    place = np.array(center, float)
    for _ in range(20):
        place = place + np.array(center) - ripple(place)
    return place


def at(*index):
    return GRID.to_world(index)


KEPT, GROWN, GONE, NEW, BEYOND = at(40, 50, 50), at(60, 40, 30), at(64, 60, 80), at(90, 45, 60), at(118, 50, 50)


def test_change_of_size_new_resolved_and_outside(alignment):
    before = drawn([(1, KEPT, 8), (1, GROWN, 7), (2, GONE, 6), (3, BEYOND, 6)], names={2: "node", 3: "low"})
    # The follow-up ends above the last lesion, and numbers its labels otherwise.
    part = box_grid(GRID, (slice(0, 108), slice(0, GRID.shape[1]), slice(0, GRID.shape[2])))
    after = drawn([(7, shown_at(GROWN), 10), (9, shown_at(KEPT), 8), (9, NEW, 5)], part, names={9: "other"})
    rows = {row["name"]: row for row in (change.as_row() for change in follow_lesions(before, after, alignment))}
    assert {name: row["change"] for name, row in rows.items()} == {
        "label 1 (1)": "both", "label 1 (2)": "both", "node": "resolved", "low": "outside", "other (2)": "new",
    }  # fmt: skip
    kept, grown = rows["label 1 (1)"], rows["label 1 (2)"]
    assert abs(kept["diameter_change_mm"]) <= 2
    assert abs(kept["volume_change_percent"]) < 12
    assert grown["baseline_diameter_mm"] == pytest.approx(14, abs=2)
    assert grown["diameter_change_mm"] == pytest.approx(6, abs=2)
    assert grown["volume_change_ml"] == pytest.approx(4 / 3 * np.pi * (1.0 - 0.343), rel=0.1)
    assert grown["volume_change_percent"] == pytest.approx(100 * (1000 / 343 - 1), rel=0.15)
    assert kept["distance_mm"] < 8
    assert rows["node"]["volume_ml"] is rows["node"]["diameter_change_mm"] is None
    assert rows["other (2)"]["baseline_volume_ml"] is None
    np.testing.assert_allclose([rows["other (2)"][f"{axis}_mm"] for axis in "xyz"], NEW, atol=2)
    assert [list(row) for row in rows.values()] == [list(kept)] * len(rows)


def test_nearest_lesions_are_paired_and_far_ones_are_not(alignment):
    first, second = at(40, 50, 40), at(40, 50, 52)
    before = drawn([(1, first, 5), (2, second, 6)])
    after = drawn([(1, shown_at(second), 6), (2, shown_at(first), 5)])
    one, two = follow_lesions(before, after, alignment)
    assert (one.follow_up.name, two.follow_up.name) == ("label 2", "label 1")
    far = follow_lesions(before, after, alignment, within_mm=1e-3)
    assert [change.change for change in far] == ["resolved", "resolved", "new", "new"]


@given(st.floats(4, 20), st.tuples(*[st.floats(0.7, 3.0)] * 3))
def test_a_ball_is_as_wide_as_it_is(radius, spacing):
    grid = Grid((64, 64, 64), geometry.scale(spacing))
    (lesion,) = measure_lesions(drawn([(4, grid.center_mm, radius)], grid, {4: "ball"}))
    assert lesion.name == "ball"
    np.testing.assert_allclose(lesion.center_mm, grid.center_mm, atol=max(spacing))
    assert abs(lesion.diameter_mm - 2 * radius) <= 2 * max(spacing)


def test_maps_that_hold_no_lesions(alignment):
    nothing = drawn([])
    with pytest.raises(InputError, match="no lesions"):
        follow_lesions(nothing, nothing, alignment)
    one = drawn([(1, KEPT, 5)])
    assert [change.change for change in follow_lesions(nothing, one, alignment)] == ["new"]
    assert [change.change for change in follow_lesions(one, nothing, alignment)] == ["resolved"]
    specks = np.zeros(GRID.shape, np.uint8)
    specks[::4, ::4, ::4] = 1
    with pytest.raises(InputError, match="too many lesions"):
        measure_lesions(LabelVolume(specks, GRID, "specks"))
