"""Cells of the body as rows whose inner products are mixed cosines: whole scans compared by products of matrices."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..features import FeatureMaps
from ..features.descriptors import describe_points, joint_descriptors
from .stage_weights import resolve_weights

TOKEN_STRIDE = 8


@dataclass(frozen=True, eq=False)
class Tokens:
    """Rows of a scan: one per cell of the body.

    Parameters
    ----------
    vectors : (N, D) float32 array
        Unit vectors of all stages, concatenated from fine to coarse, each times the root of its weight.
    position_mm : (N, 3) array
        World mm.
    cell_ml : float
        Volume per row.
    """

    vectors: NDArray[np.float32]
    position_mm: NDArray[np.float64]
    cell_ml: float

    def __len__(self) -> int:
        return len(self.vectors)


def token_stride(features: FeatureMaps) -> int:
    """Choose the stage whose cells become rows: the one with the stride nearest to `TOKEN_STRIDE`."""
    return min(features.strides, key=lambda stride: (abs(np.log2(stride / TOKEN_STRIDE)), stride))


def body_tokens(features: FeatureMaps, weights: Mapping[int, float] | None = None) -> Tokens:
    """Compute rows of all cells of the body, about 12 mm apart.

    The maps are interpolated linearly, so the product of such a row and one of `point_tokens` is the mixed cosine that
    the stages' own maps have at the cell's center.
    """
    stride = token_stride(features)
    grid = features.stages[stride].grid
    position_mm = grid.cell_positions(features.body_at(stride))
    return Tokens(joint_descriptors(features, position_mm) * stage_roots(features, weights), position_mm, grid.voxel_ml)


def point_tokens(
    features: FeatureMaps, position_mm: ArrayLike, weights: Mapping[int, float] | None = None
) -> NDArray[np.float32]:
    """Compute rows (N, D) of clicked positions (N, 3)."""
    rows = [describe_points(features, position_mm, stride) for stride in features.strides]
    return np.concatenate(rows, 1) * stage_roots(features, weights)


def stage_roots(features: FeatureMaps, weights: Mapping[int, float] | None = None) -> NDArray[np.float32]:
    """Compute the root of the weight of each column of a row, (D,)."""
    shares = resolve_weights(weights, features, features)
    repeats = list(features.channels.values())
    return np.sqrt(np.repeat([shares.get(stride, 0.0) for stride in features.strides], repeats)).astype(np.float32)
