"""Edge-aware refinement: from cells of several mm to voxels, by the HU around them.

Around each place every class has a mean and a spread of HU, estimated with its own probabilities as weights. A voxel's
HU is then evidence for the classes with similar HU there: the posterior of a Gaussian mixture whose parameters vary in
space, as in locally adaptive tissue segmentation (Ashburner and Friston 2005 for one global mixture; local means as in
Li et al. 2011, IEEE TIP 20:2007). The parameters are smooth, so they are stored at about 3 mm and interpolated; only
the last step works on voxels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..features import FeatureMaps
from ..spatial import Grid, Volume
from ..spatial.resampling import resample, resample_blocks

# HU beyond are as good as these: air is air, and cortical bone is bone.
GUIDE_HU = (-300.0, 400.0)
# Standard deviation of the window in which a class has one mean.
WINDOW_MM = 6.0
# Spread that is noise and partial volume, in HU.
NOISE_HU = 20.0
# How much one voxel's HU count beside the features; below 1, as HU are not independent of what the features saw.
STRENGTH = 0.4
# Limit of the evidence of HU against a class, in standard deviations: gas at the skin is not evidence for the colon.
OUTLIER = 2.5
_WORKING_STRIDE = 2
_LEAST = 1e-4


@dataclass(frozen=True, eq=False)
class LocalIntensities:
    """Local mean and standard deviation of HU of each class.

    Parameters
    ----------
    mean, spread : (classes, z, y, x) float32 arrays
        HU, on `grid`.
    grid : Grid
    guide : Volume
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    grid: Grid
    guide: Volume

    @classmethod
    def of(
        cls, scores: NDArray[np.float32], scores_grid: Grid, features: FeatureMaps, guide: Volume
    ) -> "LocalIntensities":
        """Estimate them from scores (classes, z, y, x) on another grid and a CT."""
        grid = features.grid.coarsen(_WORKING_STRIDE)
        hu = np.clip(guide.data, *GUIDE_HU)
        level = resample(hu, guide.grid, grid)
        square = resample(np.square(hu, dtype=np.float32), guide.grid, grid)
        probabilities = _softmax(np.stack([resample(channel, scores_grid, grid) for channel in scores]))
        mean, spread = _moments(probabilities, level, square, WINDOW_MM / grid.spacing_mm)
        return cls(mean, spread, grid, guide)

    def slabs(self, grid: Grid, voxels: int) -> Iterator[NDArray[np.float32]]:
        """Log-likelihoods (classes, z, y, x) of the CT's voxels on a grid, slab by slab along z."""
        hu = resample_blocks(self.guide.data, self.guide.grid, grid, block_voxels=voxels)
        moments = [
            [resample_blocks(channel, self.grid, grid, block_voxels=voxels) for channel in maps]
            for maps in (self.mean, self.spread)
        ]
        for _, block in hu:
            mean, spread = (np.stack([next(stream)[1] for stream in streams]) for streams in moments)
            yield _log_likelihood(np.clip(block, *GUIDE_HU), mean, spread)


def _moments(
    probabilities: NDArray, level: NDArray, square: NDArray, sigma: NDArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Local mean and standard deviation of HU of each class."""
    means, spreads = [], []
    for weight in probabilities:
        # Far from a class its window holds next to nothing: its mean over the scan takes over.
        share = _LEAST * float(weight.mean()) + 1e-12
        overall = [float(np.vdot(weight, values) / max(weight.sum(), 1e-12)) for values in (level, square)]
        total = _smooth(weight, sigma) + share
        mean, mean_square = (
            (_smooth(weight * values, sigma) + share * over) / total
            for values, over in zip((level, square), overall, strict=True)
        )
        means.append(mean)
        spreads.append(np.sqrt(np.maximum(mean_square - mean**2, 0) + NOISE_HU**2))
    return np.stack(means).astype(np.float32), np.stack(spreads).astype(np.float32)


def _smooth(values: NDArray, sigma: NDArray) -> NDArray[np.float32]:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3), np.float32)


def _log_likelihood(hu: NDArray, mean: NDArray, spread: NDArray) -> NDArray[np.float32]:
    distance = np.clip((hu - mean) / spread, -OUTLIER, OUTLIER)
    return np.asarray(-STRENGTH * (0.5 * distance**2 + np.log(spread)), np.float32)


def _softmax(scores: NDArray) -> NDArray[np.float32]:
    raised = np.exp(scores - scores.max(0))
    return np.asarray(raised / raised.sum(0), np.float32)
