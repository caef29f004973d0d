"""Checkpoints as others publish them, written from MONAI's own modules with random weights."""

import torch
from monai.networks.nets.swin_unetr import PatchMerging, SwinUNETR

SAID = {"merging": "monai>=1.5", "axis_codes": "SPL"}
CPU = {"device": "cpu", "precision": torch.float32}
LIMITS = {1: 1e-4}


class OldPatchMerging(PatchMerging):
    """MONAI up to 1.4: 101 and 010, 001 instead of the missing 110 and 011."""

    def forward(self, x):
        neighbors = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
        x = torch.nn.functional.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.reduction(self.norm(torch.cat([x[:, i::2, j::2, k::2] for i, j, k in neighbors], -1)))


MONAI_MERGING = {"monai<=1.4": OldPatchMerging, "monai>=1.5": "merging", "v2": "mergingv2"}


def randomize(module: torch.nn.Module) -> torch.nn.Module:
    """Weights under which every parameter matters: the default biases are zero."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return module.eval()


def without_index(state: dict) -> dict:
    return {key: value for key, value in state.items() if not key.endswith("relative_position_index")}


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


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
