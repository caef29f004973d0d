"""Compact form of a model: its features in fewer numbers, comparable from scan to scan.

Each stage is standardized and projected to the leading principal directions of the model's features, which were fitted
once on many scans (`compact_fit`) and are saved beside the weights. The projection is linear, so it commutes with the
blending of tiles: it is done tile by tile, and neither memory nor disk ever hold the full maps.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import MissingFileError, WeightsError
from ..util.tensor_file import read_tensors, write_tensors
from .encoder import Encoder, EncoderBase, Stage
from .names import COMPACT_SUFFIX

_KIND, _VERSION = "compact form", 1
_PARTS = ("mean", "scale", "directions")


@dataclass(frozen=True, eq=False)
class StageBasis:
    """Principal directions of a stage.

    Parameters
    ----------
    mean, scale : (C,) float32 arrays
        Mean and scale of the channels, over the scans that the basis was fitted on.
    directions : (K, C) float32 array
        Orthonormal rows, by falling variance.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]

    @property
    def weight(self) -> NDArray[np.float32]:
        """(K, C) matrix of the projection."""
        return self.directions / self.scale

    @property
    def bias(self) -> NDArray[np.float32]:
        """(K,) offset of the projection."""
        return -(self.weight @ self.mean)


@dataclass(frozen=True, eq=False)
class CompactBasis:
    """The compact form of a model.

    Parameters
    ----------
    stages : dict of int to StageBasis
        By stride.
    fingerprint : str
        Of the encoder that it belongs to.
    explained : dict of int to float
        Share of the variance of a stage's unit vectors that the projection preserves.
    scans : int
        Number of scans that it was fitted on.
    """

    stages: dict[int, StageBasis]
    fingerprint: str
    explained: dict[int, float]
    scans: int

    @property
    def digest(self) -> str:
        """Hash of all numbers."""
        digest = hashlib.blake2b(digest_size=16)
        for stride, basis in sorted(self.stages.items()):
            for array in (basis.weight, basis.bias):
                digest.update(f"{stride}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> Path:
        """Write a file, whole or not at all."""
        arrays = {
            f"{stride}.{name}": np.asarray(getattr(basis, name), np.float32)
            for stride, basis in self.stages.items()
            for name in _PARTS
        }
        explained = {str(stride): share for stride, share in self.explained.items()}
        about = {"fingerprint": self.fingerprint, "explained": explained, "scans": self.scans}
        return write_tensors(path, _KIND, _VERSION, arrays, about)

    @classmethod
    def load(cls, path: Path) -> "CompactBasis":
        """Read a file that `save` wrote.

        Raises
        ------
        MissingFileError, InputError, WeightsError
        """
        hint = "make one with coralbay models compact"
        if not path.is_file():
            raise MissingFileError("no compact form of this model", where=path, hint=hint)
        arrays, about = read_tensors(path, _KIND, _VERSION, hint=hint)
        try:
            strides = sorted({int(key.split(".")[0]) for key in arrays})
            stages = {s: StageBasis(*(arrays[f"{s}.{name}"] for name in _PARTS)) for s in strides}
            explained = {int(s): float(share) for s, share in about["explained"].items()}
            basis = cls(stages, str(about["fingerprint"]), explained, int(about["scans"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError("not a compact form of a model", where=path, found=error, hint=hint) from error
        for stride, stage in stages.items():
            if stage.directions.ndim != 2 or not stage.mean.shape == stage.scale.shape == stage.directions.shape[1:]:
                raise WeightsError("shapes do not fit", where=path, found=f"stride {stride}")
        return basis


class CompactEncoder(EncoderBase):
    """An `Encoder` that projects the stages of another one to a `CompactBasis`.

    Parameters
    ----------
    encoder : Encoder
    basis : CompactBasis
        Fitted for `encoder`; stages that it lacks are not available.
    """

    compact = True

    def __init__(self, encoder: Encoder, basis: CompactBasis):
        if basis.fingerprint != encoder.fingerprint:
            raise WeightsError(
                "compact form belongs to other weights",
                where=encoder.name,
                found=basis.fingerprint[:12],
                expected=encoder.fingerprint[:12],
                hint="make it again with coralbay models compact",
            )
        self.full, self.basis = encoder, basis
        self.name = encoder.name + COMPACT_SUFFIX
        self.preprocessing, self.tiling = encoder.preprocessing, encoder.tiling
        self.device, self.precision = encoder.device, encoder.precision
        self.fingerprint = f"{encoder.fingerprint}-{basis.digest[:16]}"
        self.notice, self.ignored = encoder.notice, encoder.ignored
        self.stages = tuple(Stage(stride, len(stage.directions)) for stride, stage in sorted(basis.stages.items()))
        self._linear = {
            stride: (torch.from_numpy(stage.weight), torch.from_numpy(stage.bias))
            for stride, stage in basis.stages.items()
        }

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the projected maps of a batch, as in `Encoder`."""
        maps = self.full(x, strides)
        return {stride: self._project(stride, tensor) for stride, tensor in maps.items()}

    def _project(self, stride: int, tensor: Tensor) -> Tensor:
        weight, bias = (part.to(tensor.device) for part in self._linear[stride])
        return torch.einsum("kc,bczyx->bkzyx", weight, tensor) + bias[:, None, None, None]

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes; 0 where it is unknown."""
        return self.full.working_bytes(size)

    def to(self, device: str) -> "CompactEncoder":
        """Make a copy on another device."""
        return CompactEncoder(self.full.to(device), self.basis)
