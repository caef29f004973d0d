"""Dense extraction: where features lie, that tiles leave no trace, and that it can be stopped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.errors import Cancelled, InputError
from coralbay_core.extraction.sliding_window import extract
from coralbay_core.extraction.tiling import make_lattice
from coralbay_core.spatial import Grid, SourceGrid, Volume, geometry
from tests.support.encoders import PoolingEncoder
from tests.support.scans import SPL, ramp_volume

pytestmark = pytest.mark.forward


def expected_at(position_mm: np.ndarray) -> np.ndarray:
    return (position_mm @ (1.0, 0.7, 1.3) + 1000) / 2000


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (2.5, 0.8, 0.9)])
def test_every_stage_lies_where_its_grid_says(spacing):
    shape = tuple(int(n) for n in np.array([220, 170, 190]) / spacing)
    volume = ramp_volume(shape, spacing)
    maps = extract(volume, PoolingEncoder(), strides=(2, 4, 8, 16, 32))
    for stride, stage in maps.stages.items():
        inner = np.stack(np.meshgrid(*[np.arange(1, n - 2) for n in stage.data.shape[1:]], indexing="ij"), -1)
        found = stage.data[0][tuple(np.moveaxis(inner, -1, 0))]
        # float16 keeps three digits; a half-voxel slip of stride 2 alone would be 0.001 and more.
        np.testing.assert_allclose(found, expected_at(stage.grid.to_world(inner)), atol=6e-4)
        assert stage.grid.shape == tuple(-(-n // stride) for n in maps.grid.shape)


def test_impulse_is_found_in_the_cell_that_holds_it():
    volume = ramp_volume((96, 96, 96))
    data = np.zeros(volume.shape, np.float32)
    data[50:53, 20:23, 71:74] = 900
    position = volume.grid.to_world((51, 21, 72))
    maps = extract(Volume(data, volume.grid), PoolingEncoder(), strides=(2, 4, 8, 16, 32))
    for stride, stage in maps.stages.items():
        peak = np.unravel_index(stage.data[0].argmax(), stage.data.shape[1:])
        assert np.abs(stage.grid.to_index(position) - peak).max() <= 0.5 + 1 / stride


@pytest.mark.parametrize(("tile", "step"), [(64, 32), (96, 64), (128, 96), (160, 160)])
def test_tiles_leave_no_trace(tile, step):
    volume = ramp_volume()
    rng = np.random.default_rng(0)
    volume = Volume(rng.normal(0, 300, volume.shape).astype(np.float32), volume.grid)
    maps = extract(volume, PoolingEncoder(tile, step), strides=(4, 32))
    whole = extract(volume, PoolingEncoder(160, 160), strides=(4, 32))
    for stride in (4, 32):
        np.testing.assert_allclose(maps.stages[stride].data, whole.stages[stride].data, atol=1e-3)


def test_region_equals_the_whole_scan_there():
    volume = ramp_volume()
    rng = np.random.default_rng(1)
    volume = Volume(rng.normal(0, 300, volume.shape).astype(np.float32), volume.grid)
    whole = extract(volume, PoolingEncoder(), strides=(4, 16))
    low, high = volume.grid.to_world((40, 70, 35)), volume.grid.to_world((120, 100, 60))
    part = extract(volume, PoolingEncoder(), strides=(4, 16), roi_mm=(low, high))
    assert np.prod(part.grid.shape) < np.prod(whole.grid.shape) / 2
    assert part.grid.contains([low, high]).all()
    for stride in (4, 16):
        stage = part.stages[stride]
        centers = stage.grid.to_world(np.stack(np.meshgrid(*map(np.arange, stage.grid.shape), indexing="ij"), -1))
        expected = whole.stages[stride].sample(centers.reshape(-1, 3)).reshape(stage.data.shape[1:])
        np.testing.assert_allclose(stage.data[0], expected, atol=1e-3)


def test_region_outside_is_an_error():
    with pytest.raises(InputError, match="region lies outside the volume"):
        extract(ramp_volume(), PoolingEncoder(), roi_mm=(np.full(3, 900.0), np.full(3, 950.0)))


def test_cancel_and_progress():
    seen: list[tuple[int, int]] = []
    encoder = PoolingEncoder(64, 32)
    with pytest.raises(Cancelled):
        extract(ramp_volume(), encoder, progress=lambda *p: seen.append(p), cancelled=lambda: len(seen) > 3)
    assert encoder.calls == 3
    assert [done for done, _ in seen] == [0, 1, 2, 3]


def test_air_is_not_computed():
    volume = ramp_volume((300, 96, 400))
    data = np.full(volume.shape, -1000, np.float32)
    data[:90, :, :90] = 40
    data[250:, :, 320:] = 40
    encoder = PoolingEncoder(96, 96)
    maps = extract(Volume(data, volume.grid), encoder, strides=(8,))
    assert encoder.calls == 5  # of 4 x 1 x 5
    assert not maps.stages[8].data[0, 15:28, :, :].any()


def test_thin_and_tilted_volumes():
    thin = ramp_volume((3, 80, 80), (2.0, 1.5, 1.5))
    assert np.isfinite(extract(thin, PoolingEncoder(), strides=(4, 32)).stages[32].data).all()
    shear = geometry.translate((0, 0, 0)) @ SPL @ geometry.scale(1.5)
    shear[1, 0] = 0.4
    tilted = Volume(np.full((60, 70, 70), 100, np.int16), Grid((60, 70, 70), shear))
    maps = extract(tilted, PoolingEncoder(), strides=(4,))
    center = tilted.grid.to_world((30, 35, 35))
    assert maps.grid.contains(center)
    np.testing.assert_allclose(maps.stages[4].sample(center), 0.55, atol=1e-3)


@settings(max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 500)] * 3),
    tile=st.sampled_from([64, 96, 128, 160]),
    step=st.sampled_from([32, 64, 96]),
    data=st.data(),
)
def test_lattice_covers_and_stays_on_cells(shape, tile, step, data):
    if step > tile:
        with pytest.raises(InputError, match="tile and step"):
            make_lattice(shape, tile, step)
        return
    lows = data.draw(st.tuples(*[st.integers(0, n - 1) for n in shape]))
    within = tuple((low, data.draw(st.integers(low + 1, n))) for low, n in zip(lows, shape, strict=True))
    for box in (None, within):
        lattice = make_lattice(shape, tile, step, box)
        for (low, high), n, size, starts in zip(box or lattice.whole, shape, lattice.size, lattice.starts, strict=True):
            covered = np.zeros(n + 64, bool)
            for start in starts:
                assert start % 32 == 0
                covered[start : start + size] = True
            assert covered[low:high].all()
            assert starts[0] + 32 > low
            assert starts[-1] + size < max(high + 32, starts[0] + 65)


def test_lattice_covers_the_body_and_not_the_room():
    volume = ramp_volume((64, 300, 300))
    data = np.full(volume.shape, -1000, np.float32)
    data[:, 100:200, 110:180] = 40
    encoder = PoolingEncoder(96, 64)
    scan = Volume(data, volume.grid)
    maps = extract(scan, encoder, strides=(4,))
    assert encoder.calls == 2
    assert maps.body_at(4).any()
    np.testing.assert_allclose(maps.stages[4].data[0, :, 27:48, 30:43], 0.52, atol=1e-3)
    low, high = volume.grid.to_world((5, 120, 120)), volume.grid.to_world((50, 130, 130))
    part = extract(scan, encoder, strides=(4,), roi_mm=(low, high))
    point = part.grid.to_world((20, 20, 20))
    np.testing.assert_allclose(part.sample(point)[4], maps.sample(point)[4], atol=1e-3)


def test_source_grid_of_a_plain_volume_is_its_own():
    volume = ramp_volume((4, 5, 6))
    assert SourceGrid.of(volume.shape, volume.affine).grid == volume.grid
