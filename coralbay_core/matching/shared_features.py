"""Features of two scans in few common channels, sampled at any place: the input of deformable alignment."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..features import FeatureMaps
from ..features.descriptors import split_by_stage
from ..features.linear_maps import linear_maps
from ..similarity.cell_table import body_tokens, stage_roots
from ..spatial import Grid
from ..spatial.geometry import Affine

CHANNELS = 24
SAMPLE = 3000
# Of a channel that is 1 in the body and 0 outside, beside descriptors of length 1.
BODY_WEIGHT = 0.5


@dataclass(frozen=True, eq=False)
class SampledFeatures:
    """A feature map to sample at the cells of a lattice in a common space, or between them.

    Parameters
    ----------
    values : (K + 1, z, y, x) float32 tensor
        Principal components of the descriptors, 0 outside the body, then a channel that tells the body.
    index_from_common : (4, 4) array
        World mm of the common space to indices.
    """

    values: Tensor
    index_from_common: Affine

    def at(self, lattice: Grid, index: Tensor) -> tuple[Tensor, Tensor]:
        """Values (K + 1, N) at indices (3, N) of a lattice, linear, and whether each lies in the volume, (N,)."""
        place, inside = self._places(lattice, index)
        return sample_at(self.values, place), inside

    def body_at(self, lattice: Grid, index: Tensor) -> tuple[Tensor, Tensor]:
        """Share of the body (N,) at indices (3, N) of a lattice, and whether each lies in the volume, (N,)."""
        place, inside = self._places(lattice, index)
        return sample_at(self.values[-1:], place)[0] / BODY_WEIGHT, inside

    def _places(self, lattice: Grid, index: Tensor) -> tuple[Tensor, Tensor]:
        matrix = torch.from_numpy((self.index_from_common @ lattice.affine).astype(np.float32))
        place = torch.addmm(matrix[:3, 3:], matrix[:3, :3], index)
        inside = torch.ones(place.shape[1], dtype=torch.bool)
        for along, size in zip(place, self.values.shape[1:], strict=True):
            inside &= (along >= -0.5) & (along <= size - 0.5)
        return place, inside

    def smoothed(self) -> "SampledFeatures":
        """The same, averaged over blocks of three cells along each axis, for a lattice that is coarser."""
        padded = torch.nn.functional.pad(self.values[None], (1,) * 6, mode="replicate")
        return SampledFeatures(torch.nn.functional.avg_pool3d(padded, 3, 1)[0], self.index_from_common)


def sample_at(values: Tensor, index: Tensor) -> Tensor:
    """Sample (C, z, y, x) at fractional indices (3, N), trilinear and clamped to the array; (C, N)."""
    place = torch.empty((1, index.shape[1], 1, 1, 3))
    for axis, size in enumerate(values.shape[1:]):
        place[0, :, 0, 0, 2 - axis] = index[axis] * (2 / max(size - 1, 1)) - 1
    found = torch.nn.functional.grid_sample(values[None], place, padding_mode="border", align_corners=True)
    return found[0, :, :, 0, 0]


def shared_features(
    source: FeatureMaps, target: FeatureMaps, affine: Affine, weights: Mapping[int, float] | None = None
) -> tuple[SampledFeatures, SampledFeatures]:
    """Reduce the descriptors of two scans to the principal components of both, in the space of the source.

    Parameters
    ----------
    source, target : FeatureMaps
    affine : (4, 4) array
        World mm of the source to those of the target.
    weights : mapping of int to float, optional
        Of the strides.
    """
    axes, offset = _components(source, target, weights)
    rows = axes * stage_roots(source, weights)[:, None]
    made = []
    for features, matrix in ((source, np.eye(4)), (target, affine)):
        body = torch.from_numpy(features.body_at(features.strides[0]).astype(np.float32))
        values = linear_maps(features, split_by_stage(features, rows))
        values -= torch.from_numpy(offset)[:, None, None, None]
        values = torch.cat([values * body, BODY_WEIGHT * body[None]])
        made.append(SampledFeatures(values, features.finest.grid.index_from_world @ matrix))
    return made[0], made[1]


def _components(
    source: FeatureMaps, target: FeatureMaps, weights: Mapping[int, float] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Principal axes (D, K) of the descriptors of both bodies, and the mean along them (K,)."""
    rng = np.random.default_rng(0)
    parts = [body_tokens(features, weights).vectors for features in (source, target)]
    drawn = np.concatenate([part[rng.permutation(len(part))[:SAMPLE]] for part in parts])
    mean = drawn.mean(0)
    # In torch: numpy's took a third of an alignment where other programs kept the cores busy.
    _, vectors = torch.linalg.eigh(torch.from_numpy(np.cov(drawn.T)))
    axes = np.ascontiguousarray(vectors.numpy()[:, ::-1][:, :CHANNELS], np.float32)
    return axes, np.asarray(mean @ axes, np.float32)
