"""The backbone against MONAI's, which the field's weights were trained with."""

import numpy as np
import pytest
import torch
from monai.networks.nets.swin_unetr import SwinTransformer, SwinUNETR

from coralbay_core.errors import InputError
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig, pooled
from coralbay_core.models.swin3d.windows import from_windows, plan_windows, to_windows
from tests.support.published_weights import MONAI_MERGING, randomize, relative, without_index

pytestmark = pytest.mark.forward


def transformer_pair(config: Swin3DConfig, dtype: torch.dtype) -> tuple[SwinTransformer, Swin3D]:
    reference = SwinTransformer(
        1,
        config.embed_dim,
        (config.window,) * 3,
        (2,) * 3,
        config.depths,
        config.heads,
        use_v2=config.conv_blocks,
        downsample=MONAI_MERGING[config.merging],
    )
    randomize(reference.to(dtype))
    ours = Swin3D(config).to(dtype)
    ours.load_state_dict({f"swinViT.{k}": v for k, v in without_index(reference.state_dict()).items()})
    return reference, ours.eval()


@pytest.mark.parametrize("merging", MONAI_MERGING)
@pytest.mark.parametrize("conv_blocks", [False, True])
def test_equals_monai_in_double_precision(merging, conv_blocks):
    config = Swin3DConfig(embed_dim=12, window=4, conv_blocks=conv_blocks, merging=merging)
    reference, ours = transformer_pair(config, torch.float64)
    x = torch.rand(2, 1, 48, 38, 34, dtype=torch.float64)
    with torch.no_grad():
        expected = reference(x)
        found = ours(x)
    assert list(found) == [2, 4, 8, 16, 32]
    for tensor, reference_map in zip(found.values(), expected, strict=True):
        assert relative(tensor, reference_map) < 1e-10


@pytest.mark.parametrize("size", [(96, 64, 48), (33, 50, 71)])
def test_equals_monai_with_the_published_window(size):
    reference, ours = transformer_pair(Swin3DConfig(embed_dim=24), torch.float32)
    x = torch.rand(1, 1, *size)
    with torch.no_grad():
        for tensor, expected in zip(ours(x).values(), reference(x), strict=True):
            assert relative(tensor, expected) < 2e-5


def test_gradients_equal_monai():
    reference, ours = transformer_pair(Swin3DConfig(embed_dim=12, window=7), torch.float64)
    x = torch.rand(1, 1, 40, 36, 34, dtype=torch.float64)
    for network in (reference, ours):
        maps = network(x)
        maps = maps.values() if isinstance(maps, dict) else maps
        sum((tensor * torch.linspace(-1, 1, tensor.numel()).view_as(tensor)).sum() for tensor in maps).backward()
    expected = dict(reference.named_parameters())
    for name, parameter in ours.named_parameters():
        assert relative(parameter.grad, expected[name.removeprefix("swinViT.")].grad) < 1e-8, name


def test_residual_blocks_equal_swin_unetr():
    reference = randomize(SwinUNETR(in_channels=1, out_channels=2, feature_size=12, use_v2=True).double())
    ours = Swin3D(Swin3DConfig(embed_dim=12, residual_blocks=True)).double().eval()
    encoder = {k: v for k, v in without_index(reference.state_dict()).items() if k.startswith(("swinViT", "encoder"))}
    ours.load_state_dict(encoder)
    x = torch.rand(1, 1, 64, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        hidden = reference.swinViT(x)
        expected = {
            1: reference.encoder1(x),
            2: reference.encoder2(hidden[0]),
            4: reference.encoder3(hidden[1]),
            8: reference.encoder4(hidden[2]),
            16: hidden[3],
            32: reference.encoder10(hidden[4]),
        }
        found = ours(x)
    for stride, tensor in expected.items():
        assert relative(found[stride], tensor) < 1e-10
    assert pooled(found, (1, 2, 4, 8, 32)).shape == (1, 12 + 12 + 24 + 48 + 192)


def test_cached_bias_follows_the_weights():
    network = randomize(Swin3D(Swin3DConfig(embed_dim=12, window=4)))
    x = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        before = network(x, [4])[4].clone()
        network.swinViT.layers1[0].blocks[0].attn.relative_position_bias_table.add_(torch.randn(343, 3))
        after = network(x, [4])[4]
    assert relative(after, before) > 1e-3


def test_inference_then_training():
    network = randomize(Swin3D(Swin3DConfig(embed_dim=12, window=4)))
    x = torch.rand(1, 1, 40, 32, 32)
    with torch.inference_mode():
        frozen = network(x)[32].clone()
    trained = network(x)[32]
    trained.square().sum().backward()
    assert relative(trained.detach(), frozen) < 1e-5


def test_batch_equals_one_by_one():
    network = randomize(Swin3D(Swin3DConfig(embed_dim=12, window=4)))
    x = torch.rand(3, 1, 48, 32, 40)
    with torch.no_grad():
        together = network(x)
        for i in range(3):
            for stride, tensor in network(x[i : i + 1]).items():
                assert relative(together[stride][i], tensor[0]) < 1e-5


def test_only_the_stages_asked_for():
    network = Swin3D(Swin3DConfig(embed_dim=12, window=4))
    assert set(network(torch.rand(1, 1, 32, 32, 32), [4, 8])) == {4, 8}
    with pytest.raises(InputError, match="unknown strides - found \\[3\\]"):
        network(torch.rand(1, 1, 32, 32, 32), [3])


@pytest.mark.parametrize("grid", [(8, 9, 5), (3, 4, 12)])
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_are_a_permutation(grid, shifted):
    plan = plan_windows(2, grid, 4, shifted, torch.device("cpu"))
    size = 2 * int(np.prod(grid))
    rows = torch.arange(size + 1.0)[:, None]
    slots = to_windows(rows, plan)
    assert torch.equal(from_windows(slots, plan), rows[:-1])
    assert (slots[plan.padding] == size).all()
    assert len(slots) == size + len(plan.padding)
    assert plan.groups[-1][1] * plan.slots == len(slots)
