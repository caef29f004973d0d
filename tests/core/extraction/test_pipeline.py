"""What the feature engine does beside computing: memory, priority, estimates, compact form, linear functions."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.errors import InputError, MissingFileError, OutsideVolumeError, WeightsError
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.compact_fit import fit_compact
from coralbay_core.extraction.estimate import ProgressEstimate
from coralbay_core.extraction.extraction_input import ExtractionInput
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.sliding_window import ExtractionCallbacks, extract
from coralbay_core.extraction.tile_runner import TileRunner
from coralbay_core.extraction.tiling import make_lattice
from coralbay_core.features.descriptors import joint_descriptors, joint_map, split_by_stage
from coralbay_core.features.linear_maps import linear_maps
from coralbay_core.models.compact import CompactBasis, CompactEncoder, StageBasis
from coralbay_core.models.encoder import Stage
from coralbay_core.spatial import Volume
from coralbay_core.util import memory
from tests.support import ROOT
from tests.support.encoders import PoolingEncoder, SmallDevice
from tests.support.made_features import GRID, made_features
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward


def noise(shape=(200, 70, 70), seed=0) -> Volume:
    volume = ramp_volume(shape)
    return Volume(np.random.default_rng(seed).normal(0, 200, shape).astype(np.float32), volume.grid)


# --- memory


def maps_of(runner: TileRunner, starts) -> dict:
    return {start: maps for batch in runner.run(starts) for start, maps in batch}


@pytest.mark.parametrize(("most", "batch"), [(2, 2), (1, 1)])
def test_a_batch_that_does_not_fit_is_halved(most, batch):
    volume, said = noise(), []
    encoder = SmallDevice(most)
    scene = ExtractionInput.of(volume, encoder)
    runner = TileRunner(encoder, scene, (4,), 10**9, said.append)
    runner.batch = 4
    found = maps_of(runner, scene.tiles)
    assert list(found) == scene.tiles
    assert runner.batch == batch
    assert said == [f"cpu ran out of memory: going on with {n} tile(s) at a time" for n in (2, 1) if n >= batch]
    alone = maps_of(TileRunner(PoolingEncoder(64, 32), scene, (4,), 10**9), scene.tiles)
    for start, maps in alone.items():
        torch.testing.assert_close(found[start][4], maps[4])


def test_a_device_that_holds_no_tile_gives_way_to_the_cpu():
    encoder, said = SmallDevice(0), []
    encoder.device = torch.device("mps")
    scene = ExtractionInput.of(noise((70, 70, 70)), encoder)
    runner = TileRunner(encoder, scene, (4,), 10**9, said.append)
    assert len(maps_of(runner, scene.tiles)) == len(scene.tiles)
    assert said == ["mps is too small for one tile: going on with the CPU"]
    encoder.device = torch.device("cpu")
    with pytest.raises(InputError, match="not enough memory for one tile"):
        extract(noise((70, 70, 70)), encoder)


def test_other_errors_are_not_taken_for_memory():
    class Broken(PoolingEncoder):
        def __call__(self, x, strides):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        extract(noise((70, 70, 70)), Broken())
    assert memory.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"))
    assert memory.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"))


def test_budget_is_what_is_free_or_less(monkeypatch, tmp_path):
    cpu = torch.device("cpu")
    free = memory.budget(cpu)
    assert free.host_bytes == free.device_bytes > 0
    assert memory.budget(cpu, 10**6).host_bytes == 10**6
    (tmp_path / "limit").write_text(f"{10**12}\n")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (str(tmp_path / "limit"), str(tmp_path / "none")))
    assert memory.budget(cpu).host_bytes > 10**8
    (tmp_path / "limit").write_text("1")  # a container that is full
    assert memory.budget(cpu).host_bytes == 0


_LARGE = """
import resource, sys, tempfile
import numpy as np
sys.path[:0] = [{root!r}]
from tests.support.encoders import PoolingEncoder
from tests.support.scans import SPL
from coralbay_core.spatial import geometry
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.spatial.volume import Grid, Volume

shape = (1000, 512, 512)
y, x = np.ogrid[:512, :512]
data = np.full(shape, -1000, np.int16)
data[:, ((y - 256) / 170) ** 2 + ((x - 256) / 230) ** 2 < 1] = 40
volume = Volume(data, Grid(shape, SPL @ geometry.scale((1.0, 0.75, 0.75))))
features_for(Volume(data[:70, 220:290, 220:290], Grid((70, 70, 70), volume.affine)), PoolingEncoder(), store=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with tempfile.TemporaryDirectory() as folder:
    maps = features_for(volume, PoolingEncoder(128, 96), store=FeatureStore(folder), memory_bytes=10**9)
    point = volume.grid.to_world((500, 256, 256))
    assert abs(maps.sample(point)[4] - 0.52) < 1e-3
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.slow
def test_a_large_scan_takes_less_than_a_gigabyte_beside_itself():
    code = _LARGE.format(root=str(ROOT))
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(printed.stdout) < 1e9


# --- what is first, and what is ahead


def test_work_starts_around_the_focus():
    volume = noise((400, 70, 70))
    encoder, previews = PoolingEncoder(96, 64), []
    focus = volume.grid.to_world((300, 30, 30))
    seen = []

    def preview(maps):
        previews.append(maps)
        seen.append(encoder.calls)

    whole = extract(volume, encoder, strides=(4, 16), focus_mm=focus, watch=ExtractionCallbacks(preview=preview))
    first = previews[0]
    assert seen == [1]  # the fourth tile is behind the middle
    assert first.grid.contains(focus)
    assert first.strides == (4, 16)
    # A tile alone is not blended; the mean of its input is the same.
    np.testing.assert_allclose(first.sample(focus)[4], whole.sample(focus)[4], atol=1e-2)
    np.testing.assert_array_equal(
        whole.stages[4].data, extract(volume, PoolingEncoder(96, 64), strides=(4, 16)).stages[4].data
    )


def test_outlook_comes_once_and_is_right(tmp_path):
    volume = noise((400, 70, 200))
    volume.data[:, :, 100:] = -1000
    told: list[ProgressEstimate] = []
    encoder = PoolingEncoder(96, 96)
    maps = features_for(volume, encoder, store=FeatureStore(tmp_path), watch=ExtractionCallbacks(outlook=told.append))
    (ahead,) = told
    lattice = make_lattice(maps.grid.shape, 96, 96)
    assert ahead.tiles == encoder.calls
    assert ahead.tiles + ahead.tiles_of_air == len(lattice.tiles())
    assert ahead.tiles_of_air > 0
    assert ahead.result_bytes == maps.size_bytes
    assert ahead.seconds > 0
    assert str(ahead).startswith(f"cpu, float32: {ahead.tiles} tiles of 96 x 96 x 96 voxels, ")


# --- linear functions at each stage's own resolution


@settings(max_examples=25)
@given(data=st.data())
def test_linear_maps_equal_products_of_joint_descriptors(data):
    features = made_features()
    weights = np.random.default_rng(1).normal(size=(3, 48)).astype(np.float32)
    shape = features.finest.shape[1:]
    box = tuple(
        slice(low, data.draw(st.integers(low + 1, n))) for n in shape for low in [data.draw(st.integers(0, n - 1))]
    )
    rows = split_by_stage(features, weights.T)
    found = linear_maps(features, rows, box=box).numpy()
    index = np.stack(np.meshgrid(*[np.arange(b.start, b.stop) for b in box], indexing="ij"), -1)
    joint = joint_descriptors(features, features.finest.grid.to_world(index.reshape(-1, 3)))
    np.testing.assert_allclose(found, (joint @ weights.T).T.reshape(found.shape), atol=2e-5)
    np.testing.assert_allclose(linear_maps(features, rows).numpy()[(slice(None), *box)], found, atol=2e-5)


def test_joint_map_is_of_the_body():
    features = made_features()
    joint = features.descriptor(8)
    assert joint.tokens.shape == (features.body_at(8).sum(), 48)
    assert joint.blocks == {4: slice(0, 24), 8: slice(24, 48)}
    np.testing.assert_allclose(np.linalg.norm(joint.tokens[:, joint.blocks[8]], axis=1), 1, atol=1e-4)
    volume = joint.scatter(joint.position_mm)
    assert volume.shape == (*GRID.coarsen(8).shape, 3)
    inside = features.body_at(8)
    np.testing.assert_allclose(volume[inside], GRID.coarsen(8).to_world(np.argwhere(inside)))
    np.testing.assert_array_equal(joint_map(features, 4).index, np.flatnonzero(features.body_at(4)))


def test_methods_of_feature_maps():
    features = made_features()
    point = GRID.to_world((20, 40, 50))
    assert {s: v.shape for s, v in features.sample([point, point]).items()} == {4: (2, 24), 8: (2, 24)}
    assert features.similar(point).at(point)[0] > 0.9
    with pytest.raises(InputError, match="no such stage"):
        features.stage(2)
    with pytest.raises(OutsideVolumeError):
        features.sample((900, 0, 0))


# --- the compact form


class ManyChannels(PoolingEncoder):
    """Twelve channels a stage, which are mixtures of four: local means of four functions of the input."""

    name = "mixtures"
    stages = tuple(Stage(stride, 12) for stride in (4, 8))

    def __call__(self, x, strides):
        four = torch.cat([x, x**2, (10 * x).sin(), (30 * x).cos()], 1)
        mixing = torch.from_numpy(np.random.default_rng(5).normal(size=(12, 4)).astype(np.float32))
        pooled = super().__call__(four, strides)
        return {s: torch.einsum("kc,bczyx->bkzyx", mixing, tensor) + 3 for s, tensor in pooled.items()}


def test_compact_form_keeps_similarities(tmp_path):
    encoder = ManyChannels()
    basis = fit_compact(encoder, [noise(seed=s) for s in (1, 2)], dimensions=16, strides=(4, 8), store=False)
    assert {s: b.directions.shape for s, b in basis.stages.items()} == {4: (8, 12), 8: (8, 12)}
    assert min(basis.explained.values()) > 0.999
    compact = CompactEncoder(encoder, CompactBasis.load(basis.save(tmp_path / "b.safetensors")))
    assert compact.fingerprint != encoder.fingerprint
    volume = noise(seed=3)
    full, small = (
        features_for(volume, e, strides=(4, 8), store=FeatureStore(tmp_path / "c")) for e in (encoder, compact)
    )
    assert small.size_bytes < full.size_bytes
    assert small.compact
    assert not full.compact
    point = volume.grid.to_world((60, 30, 30))
    a, b = full.similar(point), small.similar(point)
    assert np.corrcoef(a.data[a.inside], b.data[b.inside])[0, 1] > 0.98


def test_projecting_tiles_and_blending_them_commute():
    encoder, volume = ManyChannels(64, 32), noise(seed=4)
    basis = fit_compact(encoder, [volume], dimensions=16, strides=(4, 8), store=False)
    full = extract(volume, encoder, strides=(4, 8))
    small = extract(volume, CompactEncoder(encoder, basis), strides=(4, 8))
    for stride, stage in basis.stages.items():
        expected = np.tensordot(stage.weight, full.stages[stride].data.astype(np.float32), 1)
        expected += stage.bias[:, None, None, None]
        # Both were rounded to float16, before the projection and after it.
        assert np.abs(small.stages[stride].data - expected).max() < 0.01 * np.abs(expected).max()


def test_bad_compact_forms(tmp_path):
    encoder = ManyChannels()
    ones = StageBasis(np.zeros(12, np.float32), np.ones(12, np.float32), np.eye(12, dtype=np.float32)[:8])
    with pytest.raises(WeightsError, match="belongs to other weights"):
        CompactEncoder(encoder, CompactBasis({4: ones}, "another", {4: 1.0}, 1))
    with pytest.raises(MissingFileError, match="no compact form"):
        CompactBasis.load(tmp_path / "none.safetensors")
    for content in (b"", b"\x80\x04nonsense", b"\xff" * 64):
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(InputError, match="not a compact form"):
            CompactBasis.load(tmp_path / "bad.safetensors")
    odd = StageBasis(np.zeros(5, np.float32), np.ones(12, np.float32), np.eye(12, dtype=np.float32)[:8])
    CompactBasis({4: odd}, "f", {4: 1.0}, 1).save(tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match="shapes do not fit"):
        CompactBasis.load(tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match="unusable number of dimensions"):
        fit_compact(encoder, [], dimensions=500, strides=(4, 8))
    with pytest.raises(InputError, match="no scan to fit on"):
        fit_compact(encoder, [], dimensions=16, strides=(4, 8))
