"""Probes and projections of a session, without a window."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.model.history import History
from coralbay_viz.model.strokes import PaintedVoxels
from tests.support.scans import cut

pytestmark = pytest.mark.forward


@given(st.lists(st.integers(), max_size=20), st.lists(st.booleans(), max_size=60))
def test_undo_and_redo_walk_along_the_states(values, steps):
    history: History[int | None] = History(None)
    for value in values:
        history.change(value)
    states, at = [None, *values], len(values)
    for back in steps:
        moved = history.undo() if back else history.redo()
        wanted = at - 1 if back else at + 1
        assert moved == (0 <= wanted < len(states))
        at = wanted if moved else at
        assert history.now == states[at]
        assert (history.can_undo, history.can_redo) == (at > 0, at < len(states) - 1)


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"])


@pytest.fixture(scope="module")
def truth(phantom):
    """Liver 2, everything else 1, around the liver."""
    labels = cut(phantom.labels, phantom.landmarks["liver_right_lobe"])
    liver = next(value for value, name in phantom.labels.names.items() if name == "liver")
    data = np.where(labels.data == liver, 2, 1).astype(np.uint8)
    return LabelVolume(data, labels.grid, names={1: "other", 2: "liver"})


@pytest.fixture
def session(belly):
    session = Session()
    session.add(belly)
    session.compute()
    return session


def painted(truth, every=7) -> LabelVolume:
    data = np.zeros_like(truth.data)
    data[::every, ::every, ::every] = truth.data[::every, ::every, ::every]
    return LabelVolume(data, truth.grid, names=truth.names)


def test_the_slices_that_are_looked_at_come_first_and_say_the_same(session, truth):
    seen = []
    session.segmentation_previewed.connect(lambda scan, planes: seen.append((scan.segmentation, planes)))
    place = truth.grid.to_world((5, 6, 7))
    session.segment(painted(truth), first_mm=place)
    ((before, planes),) = seen
    assert before is None  # the whole comes later
    whole = session.segmentation
    for plane, part in zip(planes, (np.s_[5:6], np.s_[:, 6:7], np.s_[:, :, 7:8]), strict=True):
        np.testing.assert_array_equal(plane.data, whole.data[part])


def test_what_is_painted_is_kept_before_it_is_learned_from(session, truth, tmp_path):
    one = painted(truth)
    session.paint(LabelVolume(np.where(one.data == 1, 1, 0).astype(np.uint8), one.grid, names=one.names))
    assert session.segmentation is None
    assert session.scan.strokes.now.classes == (1,)
    session.paint(one)
    session.fit()
    assert session.segmentation is not None
    session.undo_strokes()  # one class teaches nothing
    assert session.segmentation is None
    assert session.scan.strokes.now.classes == (1,)


def test_a_suggestion_further_down_can_be_skipped(session, truth):
    session.segment(painted(truth, 12))
    session.suggest(3)
    second = session.scan.suggestions[1].position_mm
    session.skip(1)
    assert session.scan.skipped == (second,)


def test_strokes_are_undone_and_redone_with_their_segmentation(session, truth):
    assert session.undo_strokes() is None
    session.segment(painted(truth, 12))
    first = session.segmentation.data
    session.segment(painted(truth, 5))
    second = session.segmentation.data
    assert (first != second).any()
    session.undo_strokes()
    np.testing.assert_array_equal(session.segmentation.data, first)
    session.redo_strokes()
    np.testing.assert_array_equal(session.segmentation.data, second)
    session.undo_strokes()
    session.undo_strokes()
    assert session.segmentation is None
    assert session.redo_strokes() is not None


def test_painted_voxels_are_what_was_painted(truth):
    strokes = painted(truth)
    kept = PaintedVoxels.of(strokes)
    np.testing.assert_array_equal(kept.labels.data, strokes.data)
    assert len(kept) == np.count_nonzero(strokes.data)
    index = np.rint(truth.grid.to_index(kept.position_mm)).astype(int)
    np.testing.assert_array_equal(strokes.data[tuple(index.T)], kept.values)


def test_kinds_and_refusals(session, truth):
    with pytest.raises(CoralBayError, match="no strokes to train on"):
        session.fit()
    session.segment(painted(truth))
    session.fit("ridge")
    assert session.scan.probe.kind == "ridge"
    with pytest.raises(InputError, match="unknown probe"):
        session.fit("forest")
    assert session.kind == "ridge"


def test_protected_labels_survive_a_refit(session, truth):
    session.segment(painted(truth))
    kept = session.segmentation.data == 2
    session.protect([2])
    session.segment(painted(truth, 13))
    assert (session.segmentation.data[kept] == 2).all()
    session.protect()
    assert session.scan.protected is None


def test_suggest_and_skip(session, truth):
    session.segment(painted(truth, 15))
    session.suggest(2)
    first = session.scan.suggestions
    assert 0 < len(first) <= 2
    session.skip()
    again = session.scan.suggestions
    assert first[0].position_mm not in [s.position_mm for s in again]
    assert session.scan.skipped == (first[0].position_mm,)


def test_suggestions_are_answered_one_after_the_other(session, truth):
    session.segment(painted(truth, 15))
    scan, asked = session.scan, session.suggestions
    assert asked.shown is None
    asked.show_next()
    first, *rest = scan.suggestions
    assert asked.shown is first
    asked.show_next()
    assert asked.shown is rest[0]
    before, segmentation = scan.strokes.now, session.segmentation
    asked.answer()  # with the likelier class
    index = tuple(np.rint(truth.grid.to_index(rest[0].position_mm)).astype(int))
    assert scan.strokes.now.labels.data[index] in (rest[0].candidates[0], before.labels.data[index])
    assert len(scan.strokes.now) > len(before)
    painted_before = before.labels.data != 0
    assert (scan.strokes.now.labels.data == before.labels.data)[painted_before].all()  # strokes win over answers
    assert scan.suggestions == (first, *rest[1:])
    assert asked.shown is rest[1]
    assert session.segmentation is segmentation
    session.undo_strokes()  # an answer is a stroke
    assert scan.strokes.now is before
    assert asked.shown is None  # the probe was fitted to other strokes


def test_after_the_last_answer_the_probe_is_fitted_and_asks_again(session, truth):
    session.segment(painted(truth, 15))
    scan, asked = session.scan, session.suggestions
    asked.show_next()
    probe, found = scan.probe, scan.suggestions
    for number in range(len(found)):
        asked.answer_number(1 + number % 2)
    assert scan.probe is not probe
    assert scan.suggestions
    assert asked.shown is scan.suggestions[0]
    asked.hide()
    assert asked.shown is None
    with pytest.raises(CoralBayError, match="no suggestion"):
        asked.answer()
    with pytest.raises(InputError, match="1 to 2"):
        asked.answer_number(3)


def test_a_probe_serves_other_scans_and_is_kept(session, belly, truth, tmp_path):
    scan, session.connectivity = session.scan, 0  # in the other scan there are no strokes to spread
    session.segment(painted(truth))
    session.save_probe(tmp_path / "p.safetensors")
    other = session.add(belly)
    session.compute()
    session.load_probe(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(other.segmentation.data, scan.segmentation.data)
    session.activate(scan)
    other.update(segmentation=None)
    assert len(session.apply_probe()) == 1
    np.testing.assert_array_equal(other.segmentation.data, scan.segmentation.data)


def test_training_on_all_scans(session, belly, truth):
    session.train_on_all = True
    strokes = painted(truth)
    session.segment(strokes)
    session.add(belly)
    session.compute()
    session.segment(strokes)
    assert session.scan.probe.scans == 2


def test_statistics(session, truth, tmp_path):
    session.segment(painted(truth, 4))
    with pytest.raises(CoralBayError, match="no statistics"):
        session.save_statistics(tmp_path / "table.csv")
    session.compute_statistics(truth)
    _, liver = session.scan.statistics
    assert liver.name == "liver"
    assert liver.dice > 0.7
    assert liver.surface_mm > 0
    assert 20 < liver.mean_hu < 180
    session.save_statistics(tmp_path / "new" / "table.csv")
    with open(tmp_path / "new" / "table.csv", newline="") as file:
        *_, row = csv.DictReader(file)
    assert (row["name"], float(row["dice"])) == ("liver", liver.dice)
    with pytest.raises(InputError, match="ends in"):
        session.save_statistics(tmp_path / "table.xlsx")
    session.segment(painted(truth, 6))
    assert session.scan.statistics == ()


def test_one_basis_for_all_scans(session, belly, tmp_path):
    session.compute_pca((2, 0, 1))
    own = session.pca
    session.lock_basis()
    session.save_basis(tmp_path / "b.safetensors")
    session.add(belly)
    session.compute()
    session.compute_pca()
    np.testing.assert_array_equal(session.pca.shown, own.shown)
    session.lock_basis(False)
    assert session.basis is None
    session.load_basis(tmp_path / "b.safetensors")
    session.compute_pca()
    np.testing.assert_array_equal(session.pca.shown, own.shown)
    session.fit_basis()
    assert session.basis.scans == 2


def test_lasso_selection_and_back(session):
    session.compute_scatter()
    points = session.scan.scatter
    low, high = np.quantile(points.points[:, 0], (0.2, 0.4))
    mask = session.lasso([(low, -9), (high, -9), (high, 9), (low, 9)])
    assert mask.grid == session.scan.label_grid
    chosen = session.scan.selection
    assert 0.1 < chosen.sum() / points.inside.sum() < 0.3
    place = points.position_mm[points.lasso([(low, -9), (high, -9), (high, 9), (low, 9)])][0]
    number = session.point_at(place)
    np.testing.assert_allclose(session.place_of(points.points[number]), place)
    session.compute_clusters(3)
    found = session.scan.clusters
    assert set(np.unique(found.data)) == {0, 1, 2, 3}
    session.compute_pca()
    assert session.pca.shown.any(-1).mean() < 0.3
    session.select(None)
    assert session.scan.selection is None
    session.compute()  # what came from features goes with them
    assert session.scan.scatter is None
    with pytest.raises(CoralBayError, match="no scatter plot"):
        session.point_at(place)
