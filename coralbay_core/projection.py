"""Features as colors: the first principal components of a scan's descriptors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .descriptors import joint_descriptors, split_by_stage, stage_descriptors
from .features import FeatureMaps
from .preprocess import resample, resample_blocks
from .volume import Grid

FIT_CELLS = 20_000


@dataclass(frozen=True, eq=False)
class RgbMap:
    """Three components as colors.

    Parameters
    ----------
    components : (3, z, y, x) float32 array
        Each scaled to [0, 1] between its 1st and 99th percentile in the body.
    grid : Grid
        The finest stage's.
    explained : tuple of float
        Share of the variance of each component.
    features : FeatureMaps
    """

    components: NDArray[np.float32]
    grid: Grid
    explained: tuple[float, ...]
    features: FeatureMaps

    def on(self, grid: Grid) -> NDArray[np.uint8]:
        """Colors on another grid, (z, y, x, 3) uint8, black outside the body."""
        out = np.zeros((*grid.shape, 3), np.uint8)
        for channel, component in enumerate(self.components):
            body = resample_blocks(self.features.body, self.features.grid, grid, order=0, fill=0)
            values = resample_blocks(component, self.grid, grid)
            for (part, inside), (_, block) in zip(body, values, strict=True):
                out[part, ..., channel] = np.where(inside, np.rint(255 * np.clip(block, 0, 1)), 0)
        return out


def pca_rgb(features: FeatureMaps, *, components: tuple[int, int, int] = (0, 1, 2), seed: int = 0) -> RgbMap:
    """Principal components of the descriptors inside the body.

    Fitted on a seeded sample of cells. Each component's sign makes its largest loading positive, so that the same
    features always give the same colors.

    Parameters
    ----------
    features : FeatureMaps
    components : tuple of int
        Which components become red, green and blue.
    seed : int
    """
    target = features.finest.grid
    inside = features.body_at(features.strides[0])
    cells = np.argwhere(inside)
    chosen = np.random.default_rng(seed).permutation(len(cells))[:FIT_CELLS]
    sample = joint_descriptors(features, target.to_world(cells[np.sort(chosen)]))
    mean = sample.mean(0)
    variance, basis = np.linalg.eigh(np.cov(sample - mean, rowvar=False).astype(np.float64))
    order = [len(variance) - 1 - i for i in components]
    axes = basis[:, order]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])
    projected = _project(features, axes.astype(np.float32), target)
    low, high = np.percentile(projected[:, inside], (1, 99), axis=1)
    scaled = (projected - low[:, None, None, None]) / np.maximum(high - low, 1e-6)[:, None, None, None]
    explained = tuple(float(share) for share in variance[order] / variance.sum())
    return RgbMap(scaled.astype(np.float32), target, explained, features)


def _project(features: FeatureMaps, axes: NDArray[np.float32], target: Grid) -> NDArray[np.float32]:
    """Project each stage at its own resolution and interpolate the result, which is the same and far smaller."""
    total = np.zeros((axes.shape[1], *target.shape), np.float32)
    for stride, rows in split_by_stage(features, axes).items():
        projected = np.tensordot(rows.T, stage_descriptors(features, stride).unit, 1)
        for channel, values in enumerate(projected):
            total[channel] += resample(values, features.stages[stride].grid, target)
    return total
