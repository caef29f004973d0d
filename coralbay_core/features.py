"""Feature maps of a scan, each with its grid."""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .volume import Grid


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """One stage's features.

    Parameters
    ----------
    stride : int
        In voxels of the model grid.
    data : (C, z, y, x) float16 array
    grid : Grid
        Where the cells' centres lie.
    """

    stride: int
    data: NDArray[np.float16]
    grid: Grid

    @property
    def channels(self) -> int:
        return self.data.shape[0]

    def sample(self, position_mm: ArrayLike) -> NDArray[np.float32]:
        """Trilinear features at world positions (N, 3), clamped to the outer cells; (N, C) float32."""
        return sample_trilinear(self.data, self.grid.to_index(np.atleast_2d(np.asarray(position_mm, float))))


def sample_trilinear(data: NDArray, index: NDArray) -> NDArray[np.float32]:
    """Trilinear samples of (C, z, y, x) at fractional indices (N, 3), clamped to the array; (N, C) float32."""
    last = np.asarray(data.shape[1:]) - 1
    index = np.clip(index, 0, last)
    low = np.minimum(np.floor(index).astype(int), np.maximum(last - 1, 0))
    fraction = (index - low).astype(np.float32)
    total = np.zeros((len(index), data.shape[0]), np.float32)
    for corner in product((0, 1), repeat=3):
        weight = np.prod(np.where(corner, fraction, 1 - fraction), axis=1)
        z, y, x = np.minimum(low + corner, last).T
        total += weight[:, None] * data[:, z, y, x].T.astype(np.float32)
    return total


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of a scan, or of a region of it, at one or several strides.

    Parameters
    ----------
    stages : dict of int to FeatureMap
        By stride.
    grid : Grid
        The model grid, or the region of it that was computed.
    body : (z, y, x) bool array
        On `grid`: what belongs to the patient; results outside it mean nothing.
    model : str
        Name of the encoder.
    fingerprint : str
        Of the encoder; features of different fingerprints cannot be compared.
    notice : str
        What whoever uses them must know of the license of the weights.
    """

    stages: dict[int, FeatureMap]
    grid: Grid
    body: NDArray[np.bool_]
    model: str
    fingerprint: str
    notice: str = ""
    _pooled_body: dict[int, NDArray[np.bool_]] = field(default_factory=dict, init=False, repr=False)

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(sorted(self.stages))

    @property
    def finest(self) -> FeatureMap:
        return self.stages[self.strides[0]]

    @property
    def size_bytes(self) -> int:
        return sum(stage.data.nbytes for stage in self.stages.values())

    def body_at(self, stride: int) -> NDArray[np.bool_]:
        """Cells of a stage that are at least half body; the fullest one where none is."""
        if stride not in self._pooled_body:
            share = cell_share(self.body, stride)
            self._pooled_body[stride] = share >= min(0.5, share.max())
        return self._pooled_body[stride]

    def require_same_encoder(self, other: "FeatureMaps") -> None:
        """Raise unless both come from the same weights and settings."""
        if self.fingerprint != other.fingerprint:
            raise InputError("features come from different models", found=other.model, expected=self.model)


def cell_share(mask: NDArray[np.bool_], stride: int) -> NDArray[np.float32]:
    """Share of each cell of `stride` voxels that a mask covers; what lies beyond the array counts as outside."""
    share = np.pad(mask, [(0, -n % stride) for n in mask.shape]).astype(np.float32)
    z, y, x = (n // stride for n in share.shape)
    return share.reshape(z, stride, y, stride, x, stride).mean((1, 3, 5))
