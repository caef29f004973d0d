"""Labels that travel to another scan: over known maps, by vote, and with borders that a probe draws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.matching import (
    Alignment,
    Deformation,
    LabelSource,
    alignment_of,
    deform,
    transfer_labels,
    warp_labels,
    warp_volume,
)
from coralbay_core.matching import known_alignments as known
from coralbay_core.matching.displacement import DisplacementMap
from coralbay_core.matching.label_refinement import _not_lost, refined, strokes_of
from coralbay_core.matching.transfer import _majority
from coralbay_core.spatial import Grid, LabelVolume, Volume, geometry
from coralbay_core.spatial.segmentation_metrics import dice
from tests.support.made_features import CT_GRID, GRID, TISSUES, made_features, tissue_map
from tests.support.warped_features import shown_twice

SHIFT_MM = np.array([4.0, -3.0, 6.0])


def shifted(confidence=1.0):
    """Maps that add a constant displacement."""
    lattice = GRID.coarsen(8)
    zero = np.zeros((3, *lattice.shape), np.float32)
    there, back = geometry.translate(SHIFT_MM), geometry.translate(-SHIFT_MM)
    maps = DisplacementMap(np.eye(4), lattice, zero, there), DisplacementMap(back, lattice, zero, np.eye(4))
    sure = np.full(lattice.shape, confidence, np.float32)
    return Deformation(*maps, (sure, sure), (0 * sure, 0 * sure), sure > 0, 1.0, 1.0, 0.0)


def block(value, low, high, grid=GRID):
    data = np.zeros(grid.shape, np.uint8)
    data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
    return LabelVolume(data, grid, "block", names={value: f"part {value}"})


def test_labels_lie_where_the_map_takes_them():
    labels = block(3, (30, 30, 20), (60, 50, 40))
    made = warp_labels([LabelSource(labels, shifted())], GRID)
    assert made.labels.names == {3: "part 3"}
    before, after = (GRID.to_world(np.argwhere(data == 3)).mean(0) for data in (labels.data, made.labels.data))
    np.testing.assert_allclose(after - before, SHIFT_MM, atol=0.8)
    assert made.labels.data.dtype == np.uint8


def test_labels_on_another_grid_travel_as_well():
    labels = block(1, (30, 30, 20), (60, 50, 40))
    made = warp_labels([LabelSource(labels, shifted())], CT_GRID)
    before, after = GRID.to_world(np.argwhere(labels.data)), CT_GRID.to_world(np.argwhere(made.labels.data))
    np.testing.assert_allclose(after.mean(0) - before.mean(0), SHIFT_MM, atol=1)
    volume = made.labels.data.astype(bool).sum() * CT_GRID.voxel_ml
    assert volume == pytest.approx(labels.data.sum() * GRID.voxel_ml, rel=0.05)


def test_a_ct_travels_like_its_labels():
    labels = block(1, (30, 30, 20), (60, 50, 40))
    ct = Volume((1000 * labels.data.astype(np.int16) - 1000).astype(np.int16), GRID)
    made = warp_volume(ct, shifted(), CT_GRID)
    there = warp_labels([LabelSource(labels, shifted())], CT_GRID).labels.data
    assert dice(made > -500, there == 1) > 0.9
    assert (made.min(), made.max()) == (-1000, 0)
    beyond = Grid((4, 4, 4), geometry.translate((900, 0, 0)) @ CT_GRID.affine)
    assert (warp_volume(ct, shifted(), beyond) == -1000).all()


def test_the_surer_scan_wins_and_agreement_counts():
    one, two = block(1, (30, 30, 20), (60, 50, 40)), block(2, (30, 30, 20), (60, 50, 40))
    sources = [LabelSource(one, shifted(0.4)), LabelSource(two, shifted(0.9))]
    made = warp_labels(sources, GRID)
    assert set(np.unique(made.labels.data)) == {0, 2}
    assert made.confidence[made.labels.data == 2].max() == pytest.approx(0.45, abs=0.01)
    agreed = warp_labels([*sources, LabelSource(one, shifted(0.6))], GRID)
    assert set(np.unique(agreed.labels.data)) == {0, 1}
    assert made.labels.names == {1: "part 1", 2: "part 2"}


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=2, max_size=5))
def test_a_vote_is_that_of_sums(votes):
    values, weights = [np.array([v]) for v, _ in votes], [np.array([w], np.float32) for _, w in votes]
    (winner,), (sure,) = _majority(values, weights)
    sums = [sum(w + 1e-3 for v, w in votes if v == value) for value in range(4)]
    assert sums[int(winner)] == pytest.approx(max(sums), abs=1e-4)
    assert 0 <= sure <= 1


def test_what_cannot_be_transferred_is_told():
    features, volume = made_features(), Volume(np.zeros(GRID.shape, np.int16), GRID)
    with pytest.raises(InputError, match="no labels to transfer"):
        transfer_labels([], features, volume)
    away = replace(shifted(), backward=replace(shifted().backward, before=geometry.translate((0, 0, 9000))))
    with pytest.raises(InputError, match="no label lies in the common part"):
        transfer_labels([LabelSource(block(1, (30, 30, 20), (60, 50, 40)), away)], features, volume)


# --- refinement ---------------------------------------------------------------------------------------------------


def tissues_off_by(shift):
    """A CT of the made-up tissues, and labels of two of them that lie a few voxels off."""
    kinds = tissue_map()
    ct = Volume((100 * kinds).astype(np.int16), GRID, "ct")
    off = np.roll(kinds, shift, (0, 1, 2)).astype(np.uint8)
    return ct, kinds, LabelVolume(off, GRID, "off", names={1: "one"})


def test_a_probe_draws_borders_where_the_features_change():
    ct, kinds, labels = tissues_off_by((4, 0, 4))
    made = refined(labels, np.ones(GRID.shape, np.float32), made_features(), ct)
    assert made.names == {1: "one"}
    before, after = (
        np.mean([dice(data == value, kinds == value) for value in range(1, len(TISSUES) + 1)])
        for data in (labels.data, made.data)
    )
    assert after > before + 0.04


def test_strokes_are_the_surest_inner_part():
    _, _, labels = tissues_off_by((0, 0, 0))
    sure = np.ones(GRID.shape, np.float32)
    sure[labels.data == 1] = np.linspace(0, 1, int((labels.data == 1).sum()))
    strokes, background = strokes_of(labels, sure, made_features())
    assert background == 4
    inside = labels.data[tuple(GRID.nearest_index(strokes.grid.cell_positions(strokes.data == 1)).T)]
    assert set(np.unique(inside)) == {1}
    assert 0 < (strokes.data == 1).sum() < (strokes.data == 2).sum()
    free = strokes.grid.cell_positions(strokes.data == background)
    near = GRID.to_world(np.argwhere(labels.data == 2))[::50]
    assert min(np.linalg.norm(near - p, axis=1).min() for p in free[::200]) > 6


def test_a_label_that_the_probe_loses_stays_as_it_travelled():
    before = np.zeros((4, 4, 4), np.uint8)
    before[:2], before[3] = 1, 2
    found = np.where(before == 2, 2, 0).astype(np.uint8)
    np.testing.assert_array_equal(_not_lost(before, found), before)
    found[0] = 1
    np.testing.assert_array_equal(_not_lost(before, found), found)


def test_travel_and_refinement_together():
    ct, kinds, _ = tissues_off_by((0, 0, 0))
    source = LabelSource(LabelVolume(kinds.astype(np.uint8), GRID, "known"), shifted(0.8))
    plain = transfer_labels([source], made_features(), ct, refine=False)
    made = transfer_labels([source], made_features(), ct)
    assert (plain.refined, made.refined) == (False, True)
    assert np.mean([dice(made.labels.data == v, kinds == v) for v in (1, 2, 3)]) > 0.05 + np.mean(
        [dice(plain.labels.data == v, kinds == v) for v in (1, 2, 3)]
    )


# --- known alignments ---------------------------------------------------------------------------------------------


def test_an_alignment_is_computed_once_also_for_the_way_back(monkeypatch):
    calls = []

    def counted(source, target, **more):
        calls.append((source, target))
        return deform(source, target, prior=Alignment(np.eye(4), 9, 9, 1.0), **more)

    monkeypatch.setattr(known, "deform", counted)
    first, second = shown_twice()
    found = alignment_of(first, second)
    assert alignment_of(first, second) is found
    back = alignment_of(second, first)
    assert len(calls) == 1
    place = np.array([10.0, 20, 0])
    np.testing.assert_allclose(back(place), found.backward(place))
    assert back.confidence_at(place) == found.confidence_at(place, of="target")
    assert back.body_share > 0.95
    np.testing.assert_allclose(back.reversed(place), found(place))


def test_an_error_is_remembered_too(monkeypatch):
    calls = []

    def fails(*scans, **more):
        calls.append(scans)
        raise InputError("cannot")

    monkeypatch.setattr(known, "deform", fails)
    first, second = made_features(1), made_features(2)
    for pair in ((first, second), (first, second), (second, first)):
        with pytest.raises(Exception, match="cannot"):
            alignment_of(*pair)
    assert len(calls) == 1
