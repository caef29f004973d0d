"""Smooth maps between scans: recovered, undone by each other, confident where they may be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import Cancelled, CoralBayError, InputError
from coralbay_core.matching import Alignment, deform
from coralbay_core.matching.displacement import DisplacementMap, loosely
from coralbay_core.matching.inverse_consistency import after, composed, inverse, undoing
from coralbay_core.spatial import Grid, geometry
from tests.support.warped_features import GRID, SPL, features_at, ripple, shown_twice

SAME = Alignment(np.eye(4), 100, 100, 1.0)


@pytest.fixture(scope="module")
def scans():
    return shown_twice()


@pytest.fixture(scope="module")
def found(scans):
    return deform(*scans, prior=SAME)


def inner_places(count=400, margin_mm=30):
    low, high = GRID.bounds_mm
    return np.random.default_rng(0).uniform(low + margin_mm, high - margin_mm, (count, 3))


def test_a_known_displacement_is_recovered(found):
    places = inner_places()
    wrong = np.linalg.norm(found.backward(places) - ripple(places), axis=1)
    affine = np.linalg.norm(places - ripple(places), axis=1)
    assert affine.mean() > 5
    assert wrong.mean() < 3
    assert np.quantile(wrong, 0.95) < 6


def test_both_directions_undo_each_other(found):
    places = inner_places()
    assert np.linalg.norm(found.backward(found(places)) - places, axis=1).max() < 2
    assert np.linalg.norm(found.forward(found.backward(places)) - places, axis=1).max() < 2


def test_nothing_folds_and_the_common_part_is_named(found):
    assert found.folding == 0
    assert found.forward.jacobian.min() > 0.2
    assert found.body_share > 0.95
    assert "reliable" in found.in_words
    assert "all of the body" in found.in_words


def test_a_scan_aligned_with_itself_stays(scans):
    same = deform(scans[0], scans[0], prior=SAME)
    places = inner_places()
    assert np.linalg.norm(same(places) - places, axis=1).max() < 0.5
    assert same.mean_confidence > 0.95


def test_the_rough_alignment_is_found_without_a_prior(scans):
    first, second = scans
    places = inner_places(100)
    free = deform(first, second)
    assert free.rough is not None
    assert np.linalg.norm(free.backward(places) - ripple(places), axis=1).mean() < 4


def test_only_the_common_part_is_aligned(scans):
    """The other scan shows the upper half only: below it nothing is known."""
    half = Grid((64, 96, 112), GRID.affine @ geometry.translate((64, 0, 0)))
    upper = features_at(ripple, 2, half)
    found = deform(scans[0], upper, prior=SAME)
    low, _ = found.common_mm
    assert low[2] > GRID.center_mm[2] - 20
    assert 0.4 < found.body_share < 0.65
    assert f"{found.body_share:.0%} of the body" in found.in_words
    below, above = GRID.center_mm - (0, 0, 60), GRID.center_mm + (0, 0, 60)
    assert found.confidence_at(below) == 0
    assert found.confidence_at(above) > 0.5
    far = np.array(upper.grid.bounds_mm[1]) + 500
    assert found.confidence_at(far, of="target") == 0


def test_scans_of_different_parts_are_refused_with_what_they_share(scans):
    away = Alignment(geometry.translate((0, 0, 240)), 100, 100, 1.0)
    with pytest.raises(
        CoralBayError, match=r"different parts of the body - found common part R .*S .*mm \(\d+ cells\)"
    ):
        deform(*scans, prior=away)
    with pytest.raises(CoralBayError, match="common part none"):
        deform(*scans, prior=Alignment(geometry.translate((0, 0, 900)), 100, 100, 1.0))


def test_a_prior_that_bends_is_taken_along(scans):
    """From a displacement twice as large as the truth the search goes back; from the truth it hardly moves."""
    first, second = scans
    places = inner_places(200)

    def truth(position_mm):
        found = np.asarray(position_mm, float)
        for _ in range(20):
            found = found - (ripple(found) - position_mm)
        return found

    found = deform(first, second, prior=truth)
    assert found.rough is None
    assert np.linalg.norm(found.backward(places) - ripple(places), axis=1).mean() < 2


def test_a_prior_that_mirrors_is_refused(scans):
    with pytest.raises(CoralBayError, match="mirrors or flattens"):
        deform(*scans, prior=lambda p: np.asarray(p, float) * (-1, 1, 1))


def test_it_stops_when_cancelled_and_wants_one_encoder(scans):
    with pytest.raises(Cancelled):
        deform(*scans, prior=SAME, cancelled=lambda: True)
    other = features_at(ripple, 2)
    object.__setattr__(other, "fingerprint", "another")
    with pytest.raises(InputError, match="different models"):
        deform(scans[0], other, prior=SAME)


# --- maps and fields ----------------------------------------------------------------------------------------------


def smooth_field(seed, size=0.8, shape=(10, 11, 12)):
    rng = np.random.default_rng(seed)
    index = np.indices(shape, np.float32) / 6
    waves = rng.uniform(-1, 1, (3, 3))
    parts = [np.sin(np.tensordot(wave, index, 1) + rng.uniform(0, 6)) for wave in waves]
    return (size * np.stack(parts)).astype(np.float32)


@given(st.integers(0, 1000))
def test_fields_undo_each_other(seed):
    field = smooth_field(seed)
    back = inverse(field)
    inner = (slice(None), *[slice(2, -2)] * 3)
    assert np.abs(composed(field, back)[inner]).max() < 0.1
    noisy = back + smooth_field(seed + 1, 0.5)
    before = np.abs(field + after(field, noisy))[inner].mean()
    there, again = undoing(field, noisy)
    assert np.abs(there + after(there, again))[inner].mean() < before / 4


def test_the_derivative_of_a_map_tells_growth_and_folds():
    grid = Grid((8, 9, 10), geometry.translate((5, 6, 7)) @ geometry.scale((4, 4, 4)))
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    for factor, expected in ((1.1, 1.1**3), (-0.5, -0.125)):
        shift = np.moveaxis((factor - 1) * world, -1, 0).astype(np.float32)
        grown = DisplacementMap(np.eye(4), grid, shift, geometry.scale(2))
        np.testing.assert_allclose(grown.jacobian, 8 * expected, rtol=1e-4)
    np.testing.assert_allclose(grown(world[3, 4, 5]), -world[3, 4, 5], rtol=1e-5)


@given(st.tuples(st.floats(0.5, 3), st.floats(0.5, 3), st.floats(0.5, 3)), st.integers(0, 100))
def test_a_map_on_the_grid_of_a_scan_is_the_map_at_its_voxels(spacing, seed):
    lattice = Grid((10, 11, 12), GRID.coarsen(8).affine)
    field = DisplacementMap(np.eye(4), lattice, 5 * smooth_field(seed), geometry.translate((3, 2, 1)))
    grid = Grid((12, 13, 14), geometry.translate((40, 30, -60)) @ SPL @ geometry.scale(spacing))
    position_mm = grid.cell_positions(np.ones(grid.shape, bool))
    away = field.on(grid).reshape(3, -1).T
    np.testing.assert_allclose(position_mm + away, field(position_mm), atol=0.6)


def test_what_is_evaluated_loosely_covers_the_whole_grid():
    grid = Grid((7, 5, 1), geometry.scale(1.0))
    (x,) = loosely(lambda p: p[:, :1], grid)
    np.testing.assert_allclose(x, np.indices(grid.shape)[0], atol=1e-4)
