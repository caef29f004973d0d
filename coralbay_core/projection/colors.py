"""RGB colors from three channels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..features import FeatureMaps
from ..spatial import Grid
from ..spatial.resampling import resample_blocks


@dataclass(frozen=True, eq=False)
class RgbMap:
    """Three components of a scan, shown as colors.

    Parameters
    ----------
    components : (3, z, y, x) float32 array
        Scaled so that most of the body lies in [0, 1].
    grid : Grid
        The finest stage's.
    explained : tuple of float
        Share of the variance of each component; empty where that has no meaning.
    features : FeatureMaps
    selected : (z, y, x) bool array, optional
        On `grid`: what is shown; by default the body.
    """

    components: NDArray[np.float32]
    grid: Grid
    explained: tuple[float, ...]
    features: FeatureMaps
    selected: NDArray[np.bool_] | None = None

    def resample_to(self, grid: Grid) -> NDArray[np.uint8]:
        """Colors on another grid, (z, y, x, 3) uint8, black exactly outside the body and the selection."""
        out = np.zeros((*grid.shape, 3), np.uint8)
        if self.selected is None:
            mask, mask_grid = self.features.body, self.features.grid
        else:
            mask, mask_grid = self.selected, self.grid
        for channel, component in enumerate(self.components):
            shown = resample_blocks(mask, mask_grid, grid, order=0, fill=0)
            values = resample_blocks(component, self.grid, grid)
            for (part, inside), (_, block) in zip(shown, values, strict=True):
                out[part, ..., channel] = np.where(inside, np.rint(np.clip(255 * block, 1, 255)), 0)
        return out

    def on(self, grid: Grid) -> NDArray[np.uint8]:
        """Alias of `resample_to`."""
        return self.resample_to(grid)


def color_range(values: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """1st and 99th percentile of each row of (K, N) values, with a small minimum distance."""
    low, high = np.percentile(values, (1, 99), axis=1).astype(np.float32)
    return low, np.maximum(high, low + 1e-6)


def scaled(maps: NDArray, low: NDArray, high: NDArray) -> NDArray[np.float32]:
    """Scale (K, z, y, x) values so that `low` becomes 0 and `high` 1."""
    low, high = (np.asarray(v, np.float32)[:, None, None, None] for v in (low, high))
    return np.asarray((maps - low) / (high - low), np.float32)


def continued(maps: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill (K, z, y, x) values outside with the nearest value inside, so that edges are not darkened."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return maps[(slice(None), *nearest)]
