"""Checkpoints as others publish them, written from MONAI's own modules with random weights."""

import torch
from monai.networks.nets.swin_unetr import SwinUNETR
from test_swin3d import MONAI_MERGING, randomize, relative

SAID = {"merging": "monai>=1.5", "axis_codes": "SPL"}
CPU = {"device": "cpu", "precision": torch.float32}
LIMITS = {1: 1e-4}


def unetr(embed_dim=12, *, v2=True, merging="monai>=1.5", in_channels=1):
    """MONAI's SwinUNETR with random weights that all matter."""
    return randomize(
        SwinUNETR(
            in_channels=in_channels,
            out_channels=3,
            feature_size=embed_dim,
            use_v2=v2,
            downsample=MONAI_MERGING[merging],
        )
    )


@torch.no_grad()
def reference_maps(model, x):
    hidden = model.swinViT(x)
    return {
        1: model.encoder1(x),
        2: model.encoder2(hidden[0]),
        4: model.encoder3(hidden[1]),
        8: model.encoder4(hidden[2]),
        16: hidden[3],
        32: model.encoder10(hidden[4]),
    }


def encoder_only(state):
    return {key: value for key, value in state.items() if key.startswith(("swinViT.", "encoder"))}


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def require_equal(found, expected):
    assert set(found) == set(expected)
    for stride, tensor in expected.items():
        assert relative(found[stride], tensor) < LIMITS.get(stride, 2e-5), stride
