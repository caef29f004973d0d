"""Strokes that spread over connections between cells."""

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.probe import connected_scores, fit_probe
from coralbay_core.spatial import LabelVolume, Volume
from tests.support.made_features import CT_GRID, GRID, made_features, strokes, tissue_map, world


@pytest.fixture(scope="module")
def volume():
    return Volume((40 * tissue_map()).astype(np.int16), GRID, "blocks")


@pytest.fixture(scope="module")
def noisy():
    return made_features(noise=1.0)


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_connections_repair_noisy_cells(noisy, volume):
    labels = strokes((1, 2, 3))
    probe = fit_probe(noisy, labels)
    truth = tissue_map()
    plain = probe.segment(noisy, GRID)
    connected = connected_scores(probe, noisy, labels, volume).segment(GRID).labels
    assert dice(connected == 2, truth == 1) > dice(plain == 2, truth == 1)


def test_painted_cells_keep_their_label_and_probabilities_are_proper(noisy, volume):
    labels = strokes((1, 2, 3))
    scores = connected_scores(fit_probe(noisy, labels), noisy, labels, volume)
    probabilities = scores.probabilities()
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)
    assert np.isfinite(scores.data).all()
    at = scores.grid.nearest_index([world("left"), world("top")])
    assert [scores.values[probabilities[(slice(None), *index)].argmax()] for index in at] == [2, 3]


def test_islands_go_unless_they_are_kept(volume):
    features = made_features()
    data = strokes((1, 2, 3)).data.copy()
    # The same look in a place that is not painted: left and right get one direction.
    for stride, stage in features.stages.items():
        kind = tissue_map()[stride // 2 :: stride, stride // 2 :: stride, stride // 2 :: stride]
        stage.data[:, kind == 2] = stage.data[:, kind == 1].mean(1, dtype=np.float32)[:, None]
    kind = tissue_map()[2::4, 2::4, 2::4]
    labels = LabelVolume(data, CT_GRID)
    probe = fit_probe(features, labels)
    right = kind == 2
    kept = connected_scores(probe, features, labels, keep_islands=True).data.argmax(0)
    gone = connected_scores(probe, features, labels).data.argmax(0)
    assert (kept[right] == 1).mean() > 0.5
    assert not (gone[right] == 1).any()


def test_a_stronger_pull_stays_nearer_to_the_probe(noisy, volume):
    labels = strokes((1, 2, 3))
    probe = fit_probe(noisy, labels)
    plain = probe.scores(noisy).data.argmax(0)
    agree = [
        (connected_scores(probe, noisy, labels, volume, pull=p, keep_islands=True).data.argmax(0) == plain).mean()
        for p in (0.001, 10.0)
    ]
    assert agree[0] < agree[1]
    with pytest.raises(InputError, match="out of range"):
        connected_scores(probe, noisy, labels, volume, pull=0)
