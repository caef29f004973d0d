"""Configuration of a Swin3D backbone, in the terms of the SwinUNETR family."""

from dataclasses import dataclass
from typing import Literal

from ...errors import InputError

Merging = Literal["monai<=1.4", "monai>=1.5", "v2"]


@dataclass(frozen=True)
class Swin3DConfig:
    """Architecture of a `Swin3D`.

    Parameters
    ----------
    embed_dim : int
        Channels of the patch embedding; stage i of the transformer has ``embed_dim * 2**i``.
    depths, heads : tuple of int
        Transformer blocks and attention heads of each stage.
    window : int
        Side of an attention window in tokens.
    in_channels : int
    patch : int
        Side of a patch in voxels, the stride of the first map.
    mlp_ratio : float
    conv_blocks : bool
        A residual convolution block before each stage (``use_v2`` of MONAI).
    residual_blocks : bool
        The residual encoder blocks of SwinUNETR (``encoder1`` ... ``encoder10``), which also give a stride-1 map.
    merging : str
        Order in which the eight neighbors are concatenated when a stage is merged. MONAI changed it in 1.5.0 under
        the same name, with the same weight shapes and other features; ``"v2"`` is its ``mergingv2``.
    """

    embed_dim: int = 48
    depths: tuple[int, ...] = (2, 2, 2, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    in_channels: int = 1
    patch: int = 2
    mlp_ratio: float = 4.0
    conv_blocks: bool = True
    residual_blocks: bool = False
    merging: Merging = "monai>=1.5"

    def __post_init__(self) -> None:
        if len(self.depths) != 4 or len(self.heads) != 4:
            raise InputError(
                "depths and heads need one number per stage", found=(self.depths, self.heads), expected="4 each"
            )
        if min(self.embed_dim, self.window, self.patch, self.in_channels, *self.heads) < 1 or min(self.depths) < 0:
            raise InputError("unusable sizes of a network", found=self, expected="sizes of 1 or more")
        for stage, heads in enumerate(self.heads):
            if (self.embed_dim << stage) % heads:
                raise InputError(
                    "heads do not divide channels", where=f"stage {stage}", found=(self.embed_dim << stage, heads)
                )
        if self.residual_blocks and self.patch != 2:
            raise InputError("residual blocks need patches of 2 voxels", found=self.patch)

    def channels(self) -> dict[int, int]:
        """Compute the number of channels per stride."""
        maps = {self.patch << stage: self.embed_dim << stage for stage in range(5)}
        return {1: self.embed_dim} | maps if self.residual_blocks else maps
