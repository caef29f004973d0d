"""Features that are there before those of the whole scan: of a cube around a place, and of the tiles so far."""

import gc
from weakref import ref

import numpy as np
import pytest

from coralbay_core.errors import Cancelled
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.estimate import forecast
from coralbay_core.extraction.first_features import CUBE, cube_around
from coralbay_core.extraction.kept_input import extraction_input, forget_input
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.sliding_window import ExtractionCallbacks, extract
from coralbay_core.spatial import Grid, Volume, geometry
from tests.support.encoders import PoolingEncoder
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward

PLACE = (75, 55, 45)


@pytest.fixture(scope="module")
def ramp() -> Volume:
    """More than eight cubes."""
    return ramp_volume((115, 105, 100), (3, 3, 3))


def previews_of(volume, encoder, focus, **options) -> tuple[list, list[int]]:
    found, calls = [], []

    def preview(maps):
        found.append(maps)
        calls.append(encoder.calls)

    extract(volume, encoder, strides=(4, 16), focus_mm=focus, watch=ExtractionCallbacks(preview=preview), **options)
    return found, calls


def test_a_large_scan_is_answered_from_a_cube_before_anything_else(ramp):
    encoder, focus = PoolingEncoder(96, 64), ramp.grid.to_world(PLACE)
    found, calls = previews_of(ramp, encoder, focus)
    tiles = encoder.calls - 1
    assert calls == [count for count in (1, 2, 5, 17) if count == 1 or count - 1 <= tiles // 2]
    cube = found[0]
    assert cube.grid.shape == (CUBE,) * 3
    assert np.abs(cube.grid.center_mm - focus).max() <= ramp.grid.spacing_mm.max()
    assert cube.body.all()
    # The mean of a ramp is its value, whatever the window; at its sides the resampled ramp is flat.
    whole = extract(ramp, PoolingEncoder(96, 64), strides=(4, 16))
    for maps in found:
        for stride in (4, 16):
            np.testing.assert_allclose(maps.sample(focus)[stride], whole.sample(focus)[stride], atol=2e-3)


def test_features_so_far_are_final_where_no_tile_is_missing(ramp):
    whole = extract(ramp, PoolingEncoder(96, 64), strides=(4, 16))
    *_, last = previews_of(ramp, PoolingEncoder(96, 64), ramp.grid.to_world(PLACE))[0]
    assert last.grid.shape < whole.grid.shape
    start = np.rint(whole.grid.to_index(last.grid.to_world((0, 0, 0)))).astype(int)
    covered = last.body_at(4)
    assert covered.any()
    part = tuple(slice(s // 4, s // 4 + n) for s, n in zip(start, covered.shape, strict=True))
    final = whole.stages[4].data[(slice(None), *part)]
    np.testing.assert_allclose(last.stages[4].data[:, covered], final[:, covered], atol=2e-3)


def test_cells_that_no_tile_covered_do_not_count_as_body(ramp):
    found, _ = previews_of(ramp, PoolingEncoder(96, 64), ramp.grid.to_world(PLACE))
    for maps in found[1:]:
        assert maps.stages[4].data[:, maps.body_at(4)].min() > 0
        assert (maps.stages[4].data[:, ~maps.body_at(4)] == 0).all()


@pytest.mark.parametrize("where", ["small scan", "region", "air", "no focus"])
def test_there_is_no_cube_where_it_would_not_help(ramp, where):
    volume, focus, options = ramp, ramp.grid.to_world(PLACE), {}
    if where == "small scan":
        volume = ramp_volume((200, 70, 70))
        focus = volume.grid.center_mm
    elif where == "region":
        options = {"roi_mm": ramp.grid.box_around(focus, 40)}
    elif where == "air":
        data = ramp.data.copy()
        data[50:] = -1000
        volume = Volume(data, ramp.grid)
    else:
        focus = None
    found, _ = previews_of(volume, PoolingEncoder(64, 32), focus, **options)
    assert found or where == "air"
    assert all(maps.grid.shape != (CUBE,) * 3 for maps in found)


def test_a_cube_at_the_end_of_a_scan_is_moved_into_it(ramp):
    cube = cube_around(ramp, ramp.grid.to_world((0, 104, 50)), 96)
    assert cube.shape == (32, 32, 32)
    np.testing.assert_array_equal(cube.data, ramp.data[:32, -32:, 34:66])
    np.testing.assert_allclose(cube.grid.to_world((0, 0, 0)), ramp.grid.to_world((0, 73, 34)))
    thin = Volume(ramp.data[:5], Grid((5, *ramp.shape[1:]), ramp.affine))
    assert cube_around(thin, thin.grid.center_mm, 96).shape == (5, 32, 32)


def test_a_cube_of_a_tilted_scan_holds_its_place():
    angle = np.radians(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ramp = ramp_volume((90, 80, 70))
    tilted = Volume(ramp.data, Grid(ramp.shape, turn @ ramp.affine))
    place = tilted.grid.to_world((30, 40, 50))
    cube = cube_around(tilted, place, 45)
    assert cube.shape == (30, 30, 30)
    assert cube.grid.contains(place)
    index = cube.grid.nearest_index(place)
    assert cube.data[tuple(index)] == ramp.data[30, 40, 50]
    assert geometry.is_axis_aligned(ramp.affine)
    assert not geometry.is_axis_aligned(cube.affine)


# --- the input that an estimate leaves behind


def locked(shape=(100, 90, 80)) -> Volume:
    volume = ramp_volume(shape)
    volume.data.setflags(write=False)
    return volume


def test_an_estimate_leaves_its_input_to_the_extraction(tmp_path):
    volume, encoder, store = locked(), PoolingEncoder(96, 64), FeatureStore(tmp_path)
    forecast(volume, encoder, store=store)
    left = extraction_input(volume, encoder)
    assert extraction_input(volume, PoolingEncoder(96, 64)).hu is left.hu
    features_for(volume, encoder, store=store)
    again = extraction_input(volume, encoder)
    assert again.hu is not left.hu
    np.testing.assert_array_equal(again.hu, left.hu)
    forget_input(volume)


def test_an_estimate_that_is_not_wanted_any_more_does_not_resample(tmp_path):
    volume, encoder, store = locked(), PoolingEncoder(96, 64), FeatureStore(tmp_path)
    with pytest.raises(Cancelled):
        forecast(volume, encoder, store=store, cancelled=lambda: True)
    features_for(volume, encoder, store=store)
    assert forecast(volume, encoder, store=store, cancelled=lambda: True).tiles == 0  # there is nothing to resample


def test_another_lattice_or_window_is_not_taken_for_the_same():
    volume, encoder = locked(), PoolingEncoder(96, 64)
    first = extraction_input(volume, encoder)
    other = extraction_input(volume, PoolingEncoder(64, 32))
    assert other.lattice.size == (64, 64, 64) != first.lattice.size
    forget_input(volume)


def test_voxels_that_may_change_are_read_again():
    volume, encoder = ramp_volume((100, 90, 80)), PoolingEncoder(96, 64)
    before = extraction_input(volume, encoder).hu
    volume.data[...] += 100
    assert extraction_input(volume, encoder).hu.mean() == pytest.approx(before.mean() + 100)


def test_the_input_goes_with_its_scan():
    volume = locked()
    kept = ref(extraction_input(volume, PoolingEncoder(96, 64)).hu)
    del volume
    gc.collect()
    assert kept() is None
