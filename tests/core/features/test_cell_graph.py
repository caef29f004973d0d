"""The graph of neighboring cells, and values that spread over it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import Cancelled, InputError
from coralbay_core.features.cell_graph import cell_graph
from coralbay_core.spatial import Volume
from tests.support.made_features import CT_GRID, GRID, made_features, tissue_map, world


@pytest.fixture(scope="module")
def features():
    return made_features()


@pytest.fixture(scope="module")
def graph(features):
    return cell_graph(features)


def test_edges_join_the_six_neighbors_inside_the_body(features, graph):
    inside = features.body_at(4)
    assert len(graph) == inside.sum()
    pairs = sum(
        (np.take(inside, range(1, n), a) & np.take(inside, range(n - 1), a)).sum() for a, n in enumerate(inside.shape)
    )
    assert graph.edges.nnz == 2 * pairs
    assert abs(graph.edges - graph.edges.T).max() == 0
    assert graph.edges.data.max() <= 1.0001


def test_edges_between_tissues_are_weaker_than_within(graph):
    kind = tissue_map()[2::4, 2::4, 2::4].reshape(-1)[graph.index]
    edges = graph.edges.tocoo()
    same = kind[edges.row] == kind[edges.col]
    assert np.median(edges.data[same]) > 20 * np.median(edges.data[~same])


def test_hu_weaken_edges_that_the_features_do_not(features):
    data = np.where(np.arange(CT_GRID.shape[2]) < 25, -100, 200) * np.ones(CT_GRID.shape)
    volume = Volume(data.astype(np.int16), CT_GRID, "halves")
    plain, guided = cell_graph(features), cell_graph(features, volume)
    assert guided.hu is not None
    assert guided.edges.sum() < plain.edges.sum()
    assert cell_graph(features, volume) is guided


def test_spread_values_are_means_of_neighbors_and_stay_between_fixed_ones(graph):
    fixed = np.zeros(len(graph), bool)
    ends = graph.cells_at([world("left"), world("right")])
    fixed[ends] = True
    values = np.zeros((len(graph), 1), np.float32)
    values[ends[0]] = 1
    found = graph.spread(fixed, values, prior=np.full_like(values, 0.5), pull=0.01, tolerance=1e-5)[:, 0]
    assert found.min() >= -1e-3
    assert found.max() <= 1.001
    free = ~fixed
    degree = np.asarray(graph.edges.sum(1)).ravel()
    mean = (graph.edges @ found + 0.01 * 0.5) / (degree + 0.01)
    np.testing.assert_allclose(found[free], mean[free], atol=1e-3)


def test_spread_stops_at_the_border_of_a_tissue(graph):
    fixed = np.zeros(len(graph), bool)
    seed = graph.nearest_cell(world("left"))
    fixed[seed] = True
    reached = graph.spread(fixed, np.eye(1, len(graph), seed, dtype=np.float32).T, pull=0.003)[:, 0]
    kind = tissue_map()[2::4, 2::4, 2::4].reshape(-1)[graph.index]
    assert reached[kind == 1].min() > 2 * reached[kind != 1].max()


@given(st.integers(0, 2**31))
def test_cells_at_their_centers_are_themselves(seed):
    graph = cell_graph(_features)
    number = np.random.default_rng(seed).integers(len(graph), size=5)
    assert (graph.cells_at(graph.grid.cell_positions(graph.index[number])) == number).all()


_features = made_features(1)


def test_places_outside_the_body_have_no_cell(graph):
    assert graph.cells_at([GRID.to_world((10, 0, 10))]).tolist() == [-1]


def test_bad_weight_and_cancel(graph):
    fixed, values = np.zeros(len(graph), bool), np.zeros((len(graph), 1), np.float32)
    fixed[0] = True
    with pytest.raises(InputError, match="weight of the prior"):
        graph.spread(fixed, values, pull=0)
    with pytest.raises(Cancelled):
        graph.spread(fixed, values, pull=1, cancelled=lambda: True)
