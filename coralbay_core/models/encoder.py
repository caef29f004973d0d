"""What the rest of the package knows of a network: stages, preprocessing, and maps of a batch of crops."""

import copy
import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..spatial.volume import AXIS_CODES
from .swin3d import Swin3D
from .swin3d.graphs import GraphedSwin3D

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


@dataclass(frozen=True)
class Stage:
    """One map of an encoder: `stride` in voxels of the model grid, number of `channels`."""

    stride: int
    channels: int


@dataclass(frozen=True)
class Preprocessing:
    """How a CT becomes the input of a network.

    Parameters
    ----------
    spacing_mm : float
        Isotropic spacing of the model grid.
    window_hu : tuple of float
        HU that become 0 and 1.
    axis_codes : tuple of str
        Axis codes of the tensor that the network was trained on.
    """

    spacing_mm: float = 1.5
    window_hu: tuple[float, float] = (-1000.0, 1000.0)
    axis_codes: tuple[str, str, str] = AXIS_CODES


@dataclass(frozen=True)
class Tiling:
    """The sliding window that a model card asks for: `tile` and `step` in voxels, both multiples of the last stride."""

    tile: int = 128
    step: int = 96


WHOLE = Tiling(tile=8192, step=8192)
"""One pass over the whole body: larger than any scan, and cut to its size."""

WHOLE_SUFFIX = ":whole"
"""After the name of a model: its features in one pass instead of windows."""


class Encoder(Protocol):
    """A frozen network that maps crops of a preprocessed CT to feature maps.

    A batch gives what its items give one by one. Calls need no gradient and are safe from any one thread at a time.
    """

    name: str
    stages: tuple[Stage, ...]
    preprocessing: Preprocessing
    tiling: Tiling
    device: torch.device
    precision: torch.dtype

    @property
    def fingerprint(self) -> str:
        """Of weights, architecture and preprocessing: features with the same one can be compared."""
        ...

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Maps of a batch.

        Parameters
        ----------
        x : (B, 1, Z, Y, X) Tensor
            Windowed to [0, 1], axis codes S, P, L, sides multiples of the last stride.
        strides : collection of int

        Returns
        -------
        dict of int to (B, C, Z / stride, Y / stride, X / stride) float32 Tensor, axis codes S, P, L
        """
        ...


_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}


def available_devices() -> tuple[str, ...]:
    """Names of the devices that this machine has, the CPU last; each of several GPUs has its number."""
    count = torch.cuda.device_count() if _AVAILABLE["cuda"]() else 0
    gpus = [f"cuda:{number}" for number in range(count)] if count > 1 else ["cuda"] * count
    return (*gpus, *(name for name in ("mps", "cpu") if _AVAILABLE[name]()))


def resolve_device(device: str) -> torch.device:
    """``auto`` becomes CUDA, else Apple's MPS, else the CPU; a device that is absent is an error."""
    if device == "auto":
        return torch.device(next(name for name, present in _AVAILABLE.items() if present()))
    kind = device.split(":")[0]
    if kind not in _AVAILABLE:
        raise InputError("unknown device", where="--device", found=device, expected="auto, cpu, cuda or mps")
    if not _AVAILABLE[kind]():
        raise InputError("device is not available", where="--device", found=device, hint="use --device cpu")
    return torch.device(device)


def resolve_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


class SwinEncoder:
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
    graphs : bool
        Replay CUDA graphs (`GraphedSwin3D`); of no effect on other devices.

    Attributes
    ----------
    notice : str
        What whoever uses the results must know of the license; empty of weights that are free to use.
    ignored : tuple of str
        Parts of the checkpoint that were left out by name: a decoder, heads.
    """

    notice: str = ""
    ignored: tuple[str, ...] = ()

    def __init__(
        self,
        backbone: Swin3D,
        name: str,
        preprocessing: Preprocessing | None = None,
        tiling: Tiling | None = None,
        device: str = "auto",
        precision: torch.dtype | None = None,
        graphs: bool = False,
    ):
        self.name = name
        self.preprocessing = preprocessing or Preprocessing()
        self.tiling = tiling or Tiling()
        # Of the weights as they came: what they are cast to for a device must not make another model of them.
        self.fingerprint = _fingerprint(backbone, self.preprocessing)
        self.device = resolve_device(device)
        self.precision = precision or resolve_precision(self.device)
        self.backbone = backbone.to(self.device, self.precision).eval().requires_grad_(False)
        self._run = GraphedSwin3D(self.backbone) if graphs else self.backbone
        self.stages = tuple(Stage(stride, channels) for stride, channels in backbone.channels.items())

    def working_bytes(self, size: Sequence[int]) -> int:
        """Memory that a tile of `size` voxels takes, from above.

        Measured peaks were 0.4 to 1.7 numbers a voxel and embedding dimension, over precisions, strides and residual
        blocks, on the CPU.
        """
        voxels = int(np.prod(size))
        return 2 * voxels * self.backbone.config.embed_dim * self.precision.itemsize

    def on(self, device: str) -> "SwinEncoder":
        """The same weights on another device, in the precision that suits it."""
        moved = SwinEncoder(copy.deepcopy(self.backbone), self.name, self.preprocessing, self.tiling, device)
        moved.fingerprint, moved.notice, moved.ignored = self.fingerprint, self.notice, self.ignored
        return moved

    @torch.inference_mode()
    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        order, flips = _turn(self.preprocessing.axis_codes)
        turned = (
            x.to(self.device, self.precision).permute(0, 1, *(2 + axis for axis in order)).flip([2 + i for i in flips])
        )
        maps = self._run(turned, strides)
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


def in_one_pass(encoder: SwinEncoder) -> SwinEncoder:
    """The encoder, told to see the whole body at once. Its features differ from those of windows and are kept apart."""
    encoder.tiling = WHOLE
    encoder.name += WHOLE_SUFFIX
    encoder.fingerprint += "-whole"
    return encoder


def check_strides(encoder: Encoder, strides: Collection[int]) -> tuple[int, ...]:
    """Sorted strides, all of which the encoder has."""
    known = [stage.stride for stage in encoder.stages]
    if not strides or not set(strides) <= set(known):
        raise InputError("unknown stages", where=encoder.name, found=list(strides), expected=f"strides among {known}")
    return tuple(sorted(set(strides)))
