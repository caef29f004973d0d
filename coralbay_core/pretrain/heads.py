"""Projection heads: they exist in pretraining only and are thrown away."""

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


class DinoHead(nn.Module):
    """MLP, L2-normalised bottleneck and weight-normalised prototypes (DINO, arXiv 2104.14294, section 3.2).

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
        self.prototypes = weight_norm(nn.Linear(bottleneck, prototypes, bias=False))
        self.prototypes.parametrizations.weight.original0.data.fill_(1)
        self.prototypes.parametrizations.weight.original0.requires_grad = False

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, prototypes) in [-1, 1]."""
        return self.prototypes(F.normalize(self.mlp(x), dim=-1))


class TokenHead(nn.Module):
    """Two-layer head of one stage's tokens, (N, channels) to unit vectors (N, outputs)."""

    def __init__(self, channels: int, outputs: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.mlp(x), dim=-1)
