"""A model's features in fewer numbers, comparable from scan to scan.

Each stage is standardised and projected to the leading principal directions of the model's features, which were fitted
once on many scans (`compact_fit`) and are kept beside the weights. The projection is linear, so it commutes with the
blending of tiles: it is done tile by tile, and neither memory nor disk ever hold the full maps.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .encoder import Encoder, Stage
from .errors import MissingFileError, WeightsError

SUFFIX = ":compact"
"""After the name of a model: its features in compact form."""

_FORMAT = "1"


@dataclass(frozen=True, eq=False)
class StageBasis:
    """Principal directions of a stage.

    Parameters
    ----------
    mean, scale : (C,) float32 arrays
        Of the channels, over the scans that the basis was fitted on.
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
        Share of the variance of a stage's unit vectors that is kept.
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
        """Write to a safetensors file, whole or not at all."""
        from safetensors.numpy import save_file

        tensors = {
            f"{stride}.{name}": np.ascontiguousarray(getattr(basis, name), np.float32)
            for stride, basis in self.stages.items()
            for name in ("mean", "scale", "directions")
        }
        about = {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "explained": json.dumps(self.explained),
            "scans": str(self.scans),
        }
        temporary = path.with_name(path.name + ".part")
        try:
            save_file(tensors, temporary, about)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: Path) -> "CompactBasis":
        """Read a file that `save` wrote.

        Raises
        ------
        MissingFileError, WeightsError
        """
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            raise MissingFileError(
                "no compact form of this model", where=path, hint="make one with coralbay models compact"
            )
        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            if about.get("format") != _FORMAT:
                raise WeightsError("unknown format", where=path, found=about.get("format"), expected=_FORMAT)
            strides = sorted({int(key.split(".")[0]) for key in tensors})
            stages = {
                s: StageBasis(tensors[f"{s}.mean"], tensors[f"{s}.scale"], tensors[f"{s}.directions"]) for s in strides
            }
            explained = {int(s): float(share) for s, share in json.loads(about["explained"]).items()}
            basis = cls(stages, about["fingerprint"], explained, int(about["scans"]))
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError("not a compact form of a model", where=path, found=error) from error
        for stride, stage in stages.items():
            if stage.directions.ndim != 2 or not stage.mean.shape == stage.scale.shape == stage.directions.shape[1:]:
                raise WeightsError("shapes do not fit", where=path, found=f"stride {stride}")
        return basis


class CompactEncoder:
    """An `Encoder` that gives the compact form of another one's stages.

    Parameters
    ----------
    encoder : Encoder
    basis : CompactBasis
        Fitted for it; stages that it does not hold are not available.
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
        self.name = encoder.name + SUFFIX
        self.preprocessing, self.tiling = encoder.preprocessing, encoder.tiling
        self.device, self.precision = encoder.device, encoder.precision
        self.fingerprint = f"{encoder.fingerprint}-{basis.digest[:16]}"
        self.notice: str = getattr(encoder, "notice", "")
        self.stages = tuple(Stage(stride, len(stage.directions)) for stride, stage in sorted(basis.stages.items()))
        self._linear = {
            stride: (torch.from_numpy(stage.weight), torch.from_numpy(stage.bias))
            for stride, stage in basis.stages.items()
        }

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        maps = self.full(x, strides)
        return {stride: self._project(stride, tensor) for stride, tensor in maps.items()}

    def _project(self, stride: int, tensor: Tensor) -> Tensor:
        weight, bias = (part.to(tensor.device) for part in self._linear[stride])
        return torch.einsum("kc,bczyx->bkzyx", weight, tensor) + bias[:, None, None, None]

    def working_bytes(self, size: Sequence[int]) -> int:
        """Memory that a tile of `size` voxels takes, from above; 0 where that is not known."""
        return self.full.working_bytes(size) if hasattr(self.full, "working_bytes") else 0

    def on(self, device: str) -> "CompactEncoder":
        """The same on another device."""
        return CompactEncoder(self.full.on(device), self.basis)  # type: ignore[attr-defined]
