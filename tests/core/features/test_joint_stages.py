"""Stages by task: heat maps compare all of them, joint descriptors leave out the coarsest one unless asked."""

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.features import FeatureMaps
from coralbay_core.features.cell_graph import cell_graph
from coralbay_core.features.descriptors import joint_stages, stage_descriptors
from coralbay_core.matching import align
from coralbay_core.probe import fit_probe
from coralbay_core.projection import fit_basis
from coralbay_core.similarity import heat_map
from tests.support.made_features import made_features, strokes, world

FOUR = (4, 8, 16, 32)


@pytest.fixture(scope="module")
def features() -> FeatureMaps:
    return made_features(strides=FOUR)


@pytest.mark.parametrize(
    ("strides", "chosen"), [(FOUR, (4, 8, 16)), ((2, 4, 8), (2, 4, 8)), ((16, 32), (16,)), ((32,), (32,))]
)
def test_the_coarsest_stage_is_left_out_where_there_are_finer_ones(strides, chosen):
    made = made_features(strides=strides)
    assert joint_stages(made).strides == chosen
    assert joint_stages(made, strides) is made
    with pytest.raises(InputError, match="no such stage"):
        joint_stages(made, (4, 64))


def test_selected_stages_share_what_was_computed(features):
    part = joint_stages(features)
    assert joint_stages(features) is part
    assert part.body_at(4) is features.body_at(4)
    assert stage_descriptors(part, 8) is stage_descriptors(features, 8)


def test_descriptors_are_those_of_their_own_body():
    whole = made_features()
    half = FeatureMaps(whole.stages, whole.grid, whole.body.copy(), whole.model, whole.fingerprint)
    half.body[:, :40] = False
    first, second = stage_descriptors(whole, 4), stage_descriptors(half, 4)
    assert not np.allclose(first.mean, second.mean)


def test_heat_maps_compare_all_stages(features):
    assert set(heat_map(features, world("left")).weights) == set(FOUR)


def test_probes_bases_graphs_and_alignments_are_those_of_the_finer_stages(features):
    few = made_features(strides=(4, 8, 16))
    drawn = strokes((1, 2, 3))
    probe = fit_probe(features, drawn)
    assert probe.strides == few.strides
    np.testing.assert_array_equal(probe.scores(features).data, fit_probe(few, drawn).scores(few).data)
    basis = fit_basis(features)
    assert basis.strides == few.strides
    np.testing.assert_array_equal(basis.coordinates(features), fit_basis(few).coordinates(few))
    np.testing.assert_array_equal(cell_graph(features).edges.data, cell_graph(few).edges.data)
    other = made_features(seed=1, strides=FOUR)
    np.testing.assert_array_equal(
        align(features, other).affine, align(few, made_features(seed=1, strides=few.strides)).affine
    )


def test_any_stages_can_be_asked_for(features):
    drawn = strokes((1, 2, 3))
    assert fit_probe(features, drawn, strides=FOUR).strides == FOUR
    assert fit_probe(features, drawn, strides=(8, 32)).strides == (8, 32)
    assert fit_basis(features, strides=(4, 32)).strides == (4, 32)
