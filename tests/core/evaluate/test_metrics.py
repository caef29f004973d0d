"""Metrics of the evaluation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from coralbay_core.evaluate.metrics import (
    average_precision,
    bootstrap_interval,
    nearest_votes,
    overlap_and_distance,
    precision_at_size,
    rank_correlation,
)

SCORES = hnp.arrays(np.float32, st.integers(2, 60), elements=st.integers(0, 12).map(float))


@settings(max_examples=100)
@given(scores=SCORES, seed=st.integers(0, 1000))
def test_average_precision_is_that_of_scikit_learn(scores, seed):
    """Scores are few whole numbers, so that ties are common."""
    positive = np.random.default_rng(seed).random(len(scores)) < 0.4
    positive[seed % len(scores)] = True
    expected = average_precision_score(positive, scores)
    assert average_precision(scores, positive) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=60)
@given(scores=SCORES, seed=st.integers(0, 1000))
def test_ranking_metrics_do_not_depend_on_the_scale_of_scores(scores, seed):
    positive = np.random.default_rng(seed).random(len(scores)) < 0.5
    positive[0] = True
    for metric in (average_precision, precision_at_size):
        assert metric(scores, positive) == pytest.approx(metric(3 * scores + 5, positive))
        assert 0 <= metric(scores, positive) <= 1


def test_precision_at_size():
    positive = np.array([True, True, False, False])
    assert precision_at_size(np.array([4.0, 3, 2, 1]), positive) == 1
    assert precision_at_size(np.array([4.0, 1, 3, 2]), positive) == 0.5
    assert precision_at_size(np.zeros(4), positive) == 0.5  # all tied: what chance gives
    assert np.isnan(average_precision(np.zeros(3), np.zeros(3, bool)))


def test_rank_correlation():
    values = np.random.default_rng(0).random(50)
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert np.isnan(rank_correlation(values, np.ones(50)))


def test_votes_of_neighbours():
    labels = np.array([0, 0, 1, 1, 1])
    similarity = np.array([[0.9, 0.8, 0.7, 0.1, 0.0], [0.9, 0.1, 0.8, 0.7, 0.0], [-np.inf, -np.inf, 0.1, -np.inf, 0.2]])
    assert nearest_votes(similarity, labels, 3).tolist() == [0, 1, 1]
    # One vote each: the more similar one wins.
    assert nearest_votes(np.array([[0.2, 0.0, 0.9, 0.0, 0.0]]), labels, 2).tolist() == [1]


def test_interval_holds_the_mean_and_draws_whole_groups():
    rng = np.random.default_rng(0)
    groups = [rng.normal(level, 0.01, 20) for level in (0.2, 0.4, 0.6, 0.8)]
    low, high = bootstrap_interval(groups, np.mean)
    assert low < 0.5 < high
    # 80 values that were independent would give a fifth of that.
    assert high - low > 0.25
    assert (low, high) == bootstrap_interval(groups, np.mean)
    assert np.isnan(bootstrap_interval(groups[:1], np.mean)).all()
    # The quick way for means draws the same groups.
    np.testing.assert_allclose(bootstrap_interval(groups, lambda values: float(values.mean())), (low, high))


def test_dice_and_surface_distance():
    truth = np.zeros((20, 20, 20), np.uint8)
    truth[5:10, 5:10, 5:10], truth[14:18, 14:18, 14:18] = 2, 3
    shifted = np.roll(truth, 2, axis=0)
    spacing = np.array([3.0, 3.0, 3.0])
    same = overlap_and_distance(truth, truth, [2, 3], spacing, surfaces=True)
    assert same == {2: (1.0, 0.0), 3: (1.0, 0.0)}
    moved = overlap_and_distance(shifted, truth, [2], spacing, surfaces=True)[2]
    assert moved[0] == pytest.approx(0.6)
    assert 0 < moved[1] <= 6
    assert overlap_and_distance(np.zeros_like(truth), truth, [2], spacing, surfaces=True)[2] == (0.0, None)
