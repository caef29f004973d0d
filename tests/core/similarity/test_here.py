"""The clicked structure."""

import numpy as np
import pytest
from scipy import ndimage

from coralbay_core.errors import InputError, OutsideVolumeError
from coralbay_core.matching import SimilarityRequest, answer
from coralbay_core.similarity import HereWeights, here_map
from coralbay_core.spatial import Grid, Volume
from tests.support.made_features import GRID, TISSUES, made_features, tissue_map, world


@pytest.fixture(scope="module")
def features():
    """Left and right tissue look alike here, so that only connection tells them apart."""
    return made_features()


@pytest.fixture(scope="module")
def volume():
    return Volume((40 * tissue_map()).astype(np.int16), GRID, "blocks")


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_a_click_marks_its_structure_and_knows_where_it_ends(features, volume):
    heat = here_map(features, world("left"), guide=volume)
    assert heat.at(world("left"))[0] == pytest.approx(1, abs=0.05)
    assert 0 < heat.data.min() <= heat.data.max() <= 1
    truth = tissue_map() == 1
    assert dice(heat.mask(GRID, heat.threshold), truth) > 0.7


def test_voxels_follow_the_hu_of_the_ct(features, volume):
    """Cells of 6 mm alone would give a stair of four voxels at the border."""
    heat = here_map(features, world("top"), guide=volume)
    mask = heat.mask(GRID, heat.threshold)
    plain = here_map(features, world("top"), guide=volume, weights=HereWeights(intensity=0))
    truth = tissue_map() == 3
    assert dice(mask, truth) > dice(plain.mask(GRID, plain.threshold), truth)


def test_a_negative_click_takes_its_part_away(features, volume):
    z, y, x = TISSUES["left"]
    against = GRID.to_world((z + 8, y, x))
    both = here_map(features, world("left"), guide=volume)
    one = here_map(features, world("left"), against, guide=volume)
    assert one.at(against)[0] < 0.9 * both.at(against)[0]


def test_more_clicks_add(features, volume):
    heat = here_map(features, [world("left"), world("top")], guide=volume)
    assert min(heat.at([world("left"), world("top")])) > 0.9
    assert heat.at(world("right"))[0] < heat.threshold


def test_parts_have_weights(features, volume):
    look = answer(SimilarityRequest(target=features, positive_mm=world("left"))).heat
    near = here_map(features, world("left"), guide=volume, weights=HereWeights(place=3))
    plain = here_map(features, world("left"), guide=volume)
    assert near.at(world("right"))[0] < plain.at(world("right"))[0]
    with pytest.raises(InputError, match="similarity is missing"):
        here_map(features, world("left"), guide=volume, weights=HereWeights(look=1))
    assert here_map(features, world("left"), guide=volume, weights=HereWeights(look=1), look=look).threshold
    with pytest.raises(InputError, match="unusable weights"):
        HereWeights(0, 0, 0, 0)


def test_scopes_of_a_request(features, volume):
    here = answer(SimilarityRequest(target=features, positive_mm=world("left"), scope="here", guide=volume))
    assert here.heat.threshold is not None
    everywhere = answer(SimilarityRequest(target=features, positive_mm=world("left")))
    assert everywhere.heat.threshold is None
    place = answer(SimilarityRequest(target=features, positive_mm=world("left"), scope="place"))
    assert place.heat.at(world("right"))[0] < everywhere.heat.at(world("right"))[0]


def test_what_cannot_be_asked(features, volume):
    with pytest.raises(InputError, match="unknown scope"):
        SimilarityRequest(target=features, positive_mm=world("left"), scope="there")
    with pytest.raises(InputError, match="CT is missing"):
        SimilarityRequest(target=features, positive_mm=world("left"), scope="here")
    other = made_features(3)
    with pytest.raises(InputError, match="another scan"):
        SimilarityRequest(target=features, source=other, positive_mm=world("left"), scope="here", guide=volume)
    with pytest.raises(InputError, match="no positive"):
        here_map(features, (), guide=volume)
    with pytest.raises(OutsideVolumeError):
        here_map(features, (900, 0, 0), guide=volume)


def test_a_mask_is_what_is_connected_to_a_click(features, volume):
    heat = here_map(features, [world("left"), world("top")], guide=volume)
    mask = heat.mask(GRID, heat.threshold)
    parts, count = ndimage.label(mask)
    clicked = {int(parts[tuple(GRID.nearest_index(world(name)))]) for name in ("left", "top")}
    assert clicked == set(range(1, count + 1))
    assert not heat.mask(GRID, 1.1).any()
    moved = Grid(GRID.shape, GRID.affine.copy())
    np.testing.assert_array_equal(heat.mask(moved, heat.threshold), mask)


def test_the_places_of_a_stroke_are_many_clicks(features, volume):
    """Thousands of places must not take thousands of times as long: each is one cell, and levels of HU are few."""
    z, y, x = np.indices((20, 20, 20)).reshape(3, -1)
    places = GRID.to_world(np.stack([z, y, x], 1) + np.array(TISSUES["left"]) - 10)
    heat = here_map(features, places, guide=volume, weights=HereWeights(place=1))
    assert len(heat.term.levels_hu) < 20
    assert dice(heat.mask(GRID, heat.threshold), tissue_map() == 1) > 0.7
