"""An `Encoder` over a `Swin3D` backbone."""

import copy
import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from ..spatial.volume import AXIS_CODES
from .encoder import WHOLE, EncoderBase, Preprocessing, Stage, Tiling, resolve_device, resolve_precision
from .names import WHOLE_SUFFIX
from .swin3d import Swin3D

if TYPE_CHECKING:
    from .model_card import ModelCard

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


class SwinEncoder(EncoderBase):
    """An `Encoder` over a `Swin3D` backbone.

    Parameters
    ----------
    backbone : Swin3D
    name : str
    preprocessing : Preprocessing
    tiling : Tiling
    device : str
    precision : torch.dtype, optional
        Of weights and activations; by default what suits the device.

    Attributes
    ----------
    card : ModelCard or None
        Card of the weights, if they were loaded with one.
    """

    def __init__(
        self,
        backbone: Swin3D,
        name: str,
        preprocessing: Preprocessing | None = None,
        tiling: Tiling | None = None,
        device: str = "auto",
        precision: torch.dtype | None = None,
    ):
        self.name = name
        self.preprocessing = preprocessing or Preprocessing()
        self.tiling = tiling or Tiling()
        # Of the weights as they came: what they are cast to for a device must not make another model of them.
        self.fingerprint = _fingerprint(backbone, self.preprocessing)
        self.device = resolve_device(device)
        self.precision = precision or resolve_precision(self.device)
        self.backbone = backbone.to(self.device, self.precision).eval().requires_grad_(False)
        self.stages = tuple(Stage(stride, channels) for stride, channels in backbone.channels.items())
        self.card: ModelCard | None = None

    @classmethod
    def from_pretrained(cls, source: str | Path, **settings: Any) -> "SwinEncoder":
        """Load an encoder from a folder, a file, a known name, or a repository of Hugging Face.

        Parameters are those of `pretrained.load_pretrained`: ``revision``, ``token``, ``device``, ``precision``
        and what `load_encoder` takes for weights that do not state it.
        """
        from .pretrained import load_pretrained

        return load_pretrained(source, **settings)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights, ``config.json`` and a model card to a folder that `from_pretrained` reads."""
        from .pretrained import save_pretrained

        return save_pretrained(self, folder)

    def push_to_hub(self, repository: str, **settings: Any) -> str:
        """Upload to ``owner/name`` on the Hugging Face hub and return the address of the commit.

        Parameters are those of `pretrained.push_to_hub`: ``private``, ``token`` and ``message``.
        """
        from .pretrained import push_to_hub

        return str(push_to_hub(self, repository, **settings).commit_url)

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes.

        Measured peaks were 0.4 to 1.7 numbers per voxel and embedding dimension, over precisions, strides and residual
        blocks, on the CPU.
        """
        voxels = int(np.prod(size))
        return 2 * voxels * self.backbone.config.embed_dim * self.precision.itemsize

    def to(self, device: str) -> Self:
        """Make a copy on another device, in the precision that suits it."""
        moved = super().to(device)
        moved.precision = resolve_precision(moved.device)
        moved.backbone = copy.deepcopy(self.backbone).to(moved.device, moved.precision)
        return moved

    @torch.inference_mode()
    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the maps of a batch, as in `Encoder`."""
        return maps_of(self.backbone, self.preprocessing, x.to(self.device, self.precision), strides)


Backbone = Callable[[Tensor, Collection[int]], dict[int, Tensor]]
"""Network that maps a batch and strides to maps."""


def maps_of(backbone: Backbone, preprocessing: Preprocessing, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
    """Compute the maps of a batch in S, P, L order with a backbone that may have been trained in another one."""
    order, flips = _turn(preprocessing.axis_codes)
    turned = x.permute(0, 1, *(2 + axis for axis in order)).flip([2 + i for i in flips])
    maps = backbone(turned, strides)
    back = [order.index(axis) for axis in range(3)]
    return {
        stride: tensor.flip([2 + i for i in flips]).permute(0, 1, *(2 + axis for axis in back)).float()
        for stride, tensor in maps.items()
    }


def _fingerprint(backbone: Swin3D, preprocessing: Preprocessing) -> str:
    digest = hashlib.blake2b(digest_size=16)
    settings = {"config": asdict(backbone.config), "preprocessing": asdict(preprocessing)}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for key, tensor in sorted(backbone.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _turn(codes: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Axis order and flipped axes that turn an S, P, L tensor to `codes`."""
    order = [next(i for i, ours in enumerate(AXIS_CODES) if code in (ours, _OPPOSITE[ours])) for code in codes]
    return order, [i for i, code in enumerate(codes) if code != AXIS_CODES[order[i]]]


def as_single_pass(encoder: SwinEncoder) -> SwinEncoder:
    """Make a variant of an encoder with one tile that covers the whole body.

    Its features differ from those of windows, so name and fingerprint differ, too. The weights are shared with
    `encoder`, which is left as it is.
    """
    single = copy.copy(encoder)
    single.tiling = WHOLE
    single.name = encoder.name + WHOLE_SUFFIX
    single.fingerprint = f"{encoder.fingerprint}-whole"
    return single
