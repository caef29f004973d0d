"""Projection heads, which are used in pretraining only and discarded afterwards."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


class Prototypes(nn.Module):
    """L2-normalized bottleneck and weight-normalized prototypes of norm 1: logits are cosines."""

    def __init__(self, bottleneck: int, prototypes: int):
        super().__init__()
        self.linear = weight_norm(nn.Linear(bottleneck, prototypes, bias=False))
        self.linear.parametrizations.weight.original0.data.fill_(1)
        self.linear.parametrizations.weight.original0.requires_grad = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized output of the head."""
        return self.linear(F.normalize(x.float(), dim=-1))


class DinoHead(nn.Module):
    """MLP, bottleneck and prototypes (DINO, arXiv 2104.14294, section 3.2), without batch norm.

    Parameters
    ----------
    inputs, hidden, bottleneck, prototypes : int
    """

    def __init__(self, inputs: int, hidden: int = 512, bottleneck: int = 128, prototypes: int = 256):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(inputs),
            nn.Linear(inputs, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.prototypes = Prototypes(bottleneck, prototypes)

    def forward(self, x: Tensor) -> Tensor:
        """Map vectors (..., inputs) to logits (..., prototypes) in [-1, 1], in float32 for precise losses."""
        with torch.autocast(x.device.type, enabled=False):
            return self.prototypes(self.mlp(x.float()))


class TokenHead(nn.Module):
    """Two-layer head of one stage's tokens, (..., channels) to unit vectors (..., outputs)."""

    def __init__(self, channels: int, outputs: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized output of the head."""
        with torch.autocast(x.device.type, enabled=False):
            return F.normalize(self.mlp(x.float()), dim=-1)
