"""Encoders without weights: by name everywhere, no seams, and what their numbers mean."""

import numpy as np
import pytest
import torch

from coralbay_core import load_encoder
from coralbay_core.errors import WeightsError
from coralbay_core.extraction.sliding_window import extract
from coralbay_core.models.cards import WITHOUT_WEIGHTS
from coralbay_core.similarity import heat_map
from coralbay_core.spatial import Grid, Volume

pytestmark = pytest.mark.forward

AFFINE = np.array([[0, 0, -1.5, 60], [0, -1.5, 0, 50], [1.5, 0, 0, -40], [0, 0, 0, 1.0]])
HANDMADE = ("hu-patch", "hu-context")


def noise_volume(shape=(150, 70, 90)) -> Volume:
    data = np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)
    return Volume(data, Grid(shape, AFFINE))


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_is_an_encoder_like_any_other(name):
    encoder = load_encoder(name, device="cpu", precision=torch.float32)
    assert encoder.name == name
    assert encoder.fingerprint == load_encoder(name, device="cpu", precision=torch.float32).fingerprint
    channels = encoder.channels
    assert {4, 8, 16} <= set(channels)
    x = torch.rand(2, 1, 64, 64, 96)
    maps = encoder(x, (4, 16))
    assert set(maps) == {4, 16}
    for stride, tensor in maps.items():
        assert tensor.shape == (2, channels[stride], 64 // stride, 64 // stride, 96 // stride)
        assert tensor.dtype == torch.float32
        one_by_one = torch.cat([encoder(x[i : i + 1], (stride,))[stride] for i in (0, 1)])
        torch.testing.assert_close(tensor, one_by_one, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", HANDMADE)
def test_a_map_does_not_depend_on_the_stages_beside_it(name):
    """A run that was killed may lack one stage of a chunk; what it computes later must fit what is stored."""
    encoder = load_encoder(name, device="cpu")
    x = torch.randn(1, 1, 48, 64, 64) * 300
    together = encoder(x, (4, 8, 16))
    for stride, expected in together.items():
        assert torch.equal(encoder(x, (stride,))[stride], expected)


def test_fingerprints_differ():
    assert len({load_encoder(name, device="cpu").fingerprint for name in (*WITHOUT_WEIGHTS, "coralbay-mini")}) == 4


@pytest.mark.parametrize("name", HANDMADE)
def test_region_equals_the_whole_scan_there(name):
    volume, encoder = noise_volume(), load_encoder(name, device="cpu")
    whole = extract(volume, encoder, strides=(4, 16))
    low, high = volume.grid.to_world((40, 60, 35)), volume.grid.to_world((120, 20, 60))
    part = extract(volume, encoder, strides=(4, 16), roi_mm=(low, high))
    assert np.prod(part.grid.shape) < np.prod(whole.grid.shape)
    for stride, stage in part.stages.items():
        centers = stage.grid.to_world(np.stack(np.meshgrid(*map(np.arange, stage.grid.shape), indexing="ij"), -1))
        expected = whole.stages[stride].sample(centers.reshape(-1, 3)).T.reshape(stage.data.shape)
        np.testing.assert_allclose(stage.data, expected, atol=1e-3)


def test_patch_is_mean_and_spread():
    x = torch.zeros(1, 1, 64, 64, 64)
    x[..., 32:] = 1
    x[:, :, ::2, :32, :32] = 0.5
    (patch,) = load_encoder("hu-patch", device="cpu")(x, (4,))[4]
    torch.testing.assert_close(patch[:2, 4, 4, 12], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(patch[:2, 4, 4, 4], torch.tensor([0.25, 0.25]))


def test_context_tells_directions_apart():
    """A bright block lies 48 mm (32 voxels) above a place: exactly the offset that points there sees it."""
    x = torch.zeros(1, 1, 96, 96, 96)
    x[:, :, 64:84, 40:60, 40:60] = 1  # five cells of 4 voxels around cell 18, 12, 12
    (context,) = load_encoder("hu-context", device="cpu")(x, (4,))[4]
    here = context[4:, 10, 12, 12]
    brightest = int(here.argmax())
    assert brightest == 26 + 26 - 5  # (2, 1, 1) among the 26 of 48 mm
    assert here[brightest] > 0.99
    assert (here > 0.01).sum() == 1


def test_a_click_is_answered_without_weights():
    volume = noise_volume((96, 96, 96))
    data = volume.data.copy() * 0.05
    data[20:44, 20:44, 20:44] = 400
    data[60:84, 60:84, 60:84] = 400
    volume = Volume(data, volume.grid)
    heat = heat_map(extract(volume, load_encoder("hu-patch", device="cpu")), volume.grid.to_world((32, 32, 32)))
    elsewhere = heat.at(volume.grid.to_world([(72, 72, 72), (72, 32, 32)]))
    assert elsewhere[0] > elsewhere[1] + 0.5


def test_what_has_no_weights_says_so():
    with pytest.raises(WeightsError, match="SwinUNETR family only - hu-patch - found merging"):
        load_encoder("hu-patch", merging="v2")
