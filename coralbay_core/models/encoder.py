"""The `Encoder` protocol: stages, preprocessing, and feature maps of a batch of crops."""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from ..errors import InputError
from ..spatial.volume import AXIS_CODES


@dataclass(frozen=True)
class Stage:
    """One map of an encoder: `stride` in voxels of the model grid, number of `channels`."""

    stride: int
    channels: int


@dataclass(frozen=True)
class Preprocessing:
    """Conversion of a CT to the input of a network.

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
    """The sliding window of a model: `tile` and `step` in voxels, both multiples of the last stride."""

    tile: int = 128
    step: int = 96


WHOLE = Tiling(tile=8192, step=8192)
"""One pass over the whole body: larger than any scan, and cut to its size."""


class Encoder(Protocol):
    """A frozen network that maps crops of a preprocessed CT to feature maps.

    The maps of a batch are those of its items one by one. Calls need no gradient; one thread may call at a time.
    `EncoderBase` implements all members but `name`, `stages`, `fingerprint` and the call.

    Attributes
    ----------
    name : str
    stages : tuple of Stage
        From fine to coarse.
    preprocessing : Preprocessing
    tiling : Tiling
    device : torch.device
    precision : torch.dtype
        Of weights and activations.
    notice : str
        License notice to show to users; empty for unrestricted weights.
    ignored : tuple of str
        Parts of the checkpoint that were left out by name: a decoder, heads.
    compact : bool
        Whether the channels are principal coordinates (`CompactEncoder`), which descriptors center but do not scale.
    """

    name: str
    stages: tuple[Stage, ...]
    preprocessing: Preprocessing
    tiling: Tiling
    device: torch.device
    precision: torch.dtype
    notice: str
    ignored: tuple[str, ...]
    compact: bool

    @property
    def fingerprint(self) -> str:
        """Hash of weights, architecture and preprocessing: features with the same one can be compared."""
        ...

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels per stride."""
        ...

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes; 0 where it is unknown."""
        ...

    def to(self, device: str) -> "Encoder":
        """Make a copy on another device; this encoder is left as it is."""
        ...

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Feature maps of a batch.

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


class EncoderBase:
    """Defaults for an `Encoder`: a subclass adds `name`, `stages`, `fingerprint` and ``__call__``.

    The attributes are those of `Encoder`.
    """

    name: str
    stages: tuple[Stage, ...]
    fingerprint: str
    preprocessing: Preprocessing = Preprocessing()
    tiling: Tiling = Tiling()
    device: torch.device = torch.device("cpu")
    precision: torch.dtype = torch.float32
    notice: str = ""
    ignored: tuple[str, ...] = ()
    compact: bool = False

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels per stride."""
        return {stage.stride: stage.channels for stage in self.stages}

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes; 0 where it is unknown."""
        return 0

    def to(self, device: str) -> Self:
        """Make a copy on another device; subclasses that hold tensors move them, too."""
        moved = copy.copy(self)
        moved.device = resolve_device(device)
        return moved


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
    """Resolve a name of a device; raise if the device is absent.

    Parameters
    ----------
    device : str
        ``gpu`` is CUDA, else Apple's MPS; ``auto`` is the same, else the CPU. ``cuda:1`` is the second of several GPUs.
    """
    name, colon, number = device.strip().lower().partition(":")
    if name in ("auto", "gpu"):
        present = [kind for kind, is_present in _AVAILABLE.items() if is_present()]
        name = present[0] if name == "auto" or present[0] != "cpu" else name
    if name not in (*_AVAILABLE, "gpu") or (colon and not (number.isascii() and number.isdecimal())):
        raise InputError(
            "unknown device", where="--device", found=device, expected="auto, cpu, gpu, cuda, cuda:1 or mps"
        )
    if name == "gpu" or not _AVAILABLE[name]() or int(number or 0) >= _count(name):
        raise InputError(
            "device is not available",
            where="--device",
            found=device,
            expected=", ".join(available_devices()),
            hint="use --device cpu",
        )
    return torch.device(f"{name}{colon}{number}")


def _count(kind: str) -> int:
    return torch.cuda.device_count() if kind == "cuda" else 1


def resolve_precision(device: torch.device) -> torch.dtype:
    """Choose bfloat16 where the hardware multiplies in it, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


DEFAULT_STRIDES = (4, 8, 16, 32)
"""Strides of the stages that are computed and compared by default, as far as an encoder has them."""


def default_strides(encoder: Encoder) -> tuple[int, ...]:
    """List the strides of an encoder that are used by default; all of them if it has none of `DEFAULT_STRIDES`."""
    known = [stage.stride for stage in encoder.stages]
    return tuple(stride for stride in DEFAULT_STRIDES if stride in known) or tuple(known)


def check_strides(encoder: Encoder, strides: Collection[int] | None) -> tuple[int, ...]:
    """Sort strides, or list the default ones for None; raise if the encoder lacks one."""
    if strides is None:
        return default_strides(encoder)
    known = [stage.stride for stage in encoder.stages]
    if not strides or not set(strides) <= set(known):
        raise InputError("unknown stages", where=encoder.name, found=list(strides), expected=f"strides among {known}")
    return tuple(sorted(set(strides)))
