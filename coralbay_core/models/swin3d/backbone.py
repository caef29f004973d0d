"""The hierarchical 3-D Swin backbone of the SwinUNETR family, which CoralBay builds on (arXiv 2606.03888)."""

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from .blocks import ResidualBlock, Stage
from .config import Swin3DConfig


class _PatchEmbed(nn.Module):
    def __init__(self, config: Swin3DConfig):
        super().__init__()
        self.proj = nn.Conv3d(config.in_channels, config.embed_dim, config.patch, config.patch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Z, Y, X) to (B, z, y, x, channels); sizes are padded with zeros to whole patches."""
        patch = self.proj.stride[0]
        pads = [pad for size in reversed(x.shape[2:]) for pad in (0, -size % patch)]
        return self.proj(F.pad(x, pads) if any(pads) else x).permute(0, 2, 3, 4, 1).contiguous()


class _SwinTransformer(nn.Module):
    """Patch embedding and four stages; each list holds one module because MONAI's state dicts name them so."""

    def __init__(self, config: Swin3DConfig):
        super().__init__()
        self.patch_embed = _PatchEmbed(config)
        self.conv_blocks = config.conv_blocks
        for i, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True)):
            channels = config.embed_dim << i
            if config.conv_blocks:
                setattr(self, f"layers{i + 1}c", nn.ModuleList([ResidualBlock(channels, channels)]))
            stage = Stage(channels, depth, heads, config.window, config.mlp_ratio, config.merging)
            setattr(self, f"layers{i + 1}", nn.ModuleList([stage]))

    def stage(self, i: int, x: Tensor) -> Tensor:
        """Run stage `i` on tokens (B, z, y, x, channels)."""
        if self.conv_blocks:
            block = getattr(self, f"layers{i + 1}c")[0]
            x = block(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1).contiguous()
        return getattr(self, f"layers{i + 1}")[0](x)


class Swin3D(nn.Module):
    """Swin3D encoder with maps at strides 2, 4, 8, 16, 32 and, with residual blocks, 1.

    State dicts are those of MONAI's ``SwinUNETR`` encoder: keys ``swinViT.*`` and ``encoder1|2|3|4|10.*``.

    Parameters
    ----------
    config : Swin3DConfig

    Notes
    -----
    Without residual blocks a map is the output of a stage after a layer norm without parameters; with them it is
    the input of SwinUNETR's decoder (the stride-16 map has no block there).
    """

    def __init__(self, config: Swin3DConfig):
        super().__init__()
        self.config = config
        self.swinViT = _SwinTransformer(config)
        width = config.embed_dim
        if config.residual_blocks:
            self.encoder1 = ResidualBlock(config.in_channels, width)
            self.encoder2 = ResidualBlock(width, width)
            self.encoder3 = ResidualBlock(2 * width, 2 * width)
            self.encoder4 = ResidualBlock(4 * width, 4 * width)
            self.encoder10 = ResidualBlock(16 * width, 16 * width)
        # Convolutions read tokens as they lie; weights in the same order keep torch from turning either around.
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels per stride."""
        return self.config.channels()

    def forward(self, x: Tensor, strides: Collection[int] | None = None) -> dict[int, Tensor]:
        """Compute the maps of a batch.

        Parameters
        ----------
        x : (B, in_channels, Z, Y, X) Tensor
        strides : collection of int, optional
            Maps to return, all by default; stages deeper than the last of them are not computed.

        Returns
        -------
        dict of int to (B, C, ceil(Z / stride), ...) Tensor
        """
        wanted = set(self.channels if strides is None else strides)
        if not wanted or not wanted <= set(self.channels):
            raise InputError("unknown strides", found=sorted(wanted), expected=f"some of {sorted(self.channels)}")
        maps = {1: self.encoder1(x)} if 1 in wanted else {}
        tokens = self.swinViT.patch_embed(x)
        for i in range(5):
            if i:
                tokens = self.swinViT.stage(i - 1, tokens)
            stride = self.config.patch << i
            if stride in wanted:
                maps[stride] = self._map(stride, tokens)
            if stride >= max(wanted):
                break
        return maps

    def _map(self, stride: int, tokens: Tensor) -> Tensor:
        normed = F.layer_norm(tokens, tokens.shape[-1:]).permute(0, 4, 1, 2, 3)
        blocks = {2: "encoder2", 4: "encoder3", 8: "encoder4", 32: "encoder10"}
        if self.config.residual_blocks and stride in blocks:
            return getattr(self, blocks[stride])(normed)
        return normed


def pooled(maps: dict[int, Tensor], strides: Collection[int]) -> Tensor:
    """Global average of each map, concatenated: the multi-scale vector that CoralBay distills, (B, sum of channels)."""
    return torch.cat([maps[stride].mean((2, 3, 4)) for stride in sorted(strides)], 1)
