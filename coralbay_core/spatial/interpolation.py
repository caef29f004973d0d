"""Interpolation of parts of maps: from boxes of one grid to boxes of another, many channels at once."""

import numpy as np
from numpy.typing import NDArray

from . import geometry
from .resampling import antialias_sigma, resample, separable_weights
from .volume import Grid

Box = tuple[slice, slice, slice]


def box_grid(grid: Grid, box: Box) -> Grid:
    """Grid of a box of another grid."""
    first = [part.start for part in box]
    shape = tuple(part.stop - part.start for part in box)
    return Grid(shape, grid.affine @ geometry.translate(first))  # type: ignore[arg-type]


class Interpolator:
    """Linear interpolation as of `resample`, of boxes only.

    Parameters
    ----------
    source, target : Grid
    """

    def __init__(self, source: Grid, target: Grid):
        self.source, self.target = source, target
        self._weights = separable_weights(source, target)
        self._ends = None if self._weights is None else [_ends(matrix) for matrix in self._weights]

    def needed(self, part: Box) -> Box:
        """Box of the source that a box of the target depends on."""
        if self._ends is not None:
            z, y, x = (slice(int(a[p].min()), int(b[p].max()) + 1) for (a, b), p in zip(self._ends, part, strict=True))
            return z, y, x
        index = self.source.to_index(box_grid(self.target, part).corner_positions)
        step = float((self.target.spacing_mm.max() / self.source.spacing_mm).max())
        reach = 1 + int(np.ceil(4 * antialias_sigma(step)))
        last = np.asarray(self.source.shape)
        low = np.clip(np.floor(index.min(0)) - reach, 0, last - 1).astype(int)
        high = np.clip(np.ceil(index.max(0)) + reach + 1, low + 1, last).astype(int)
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return z, y, x

    def __call__(self, channels: NDArray, box: Box, part: Box) -> NDArray[np.float32]:
        """Interpolate (C, z, y, x) values of a box of the source, `needed(part)` or more, to a box of the target."""
        if self._weights is None:
            source, target = box_grid(self.source, box), box_grid(self.target, part)
            return np.stack([resample(channel, source, target) for channel in channels])
        values = np.ascontiguousarray(channels, np.float32)
        wz, wy, wx = (np.ascontiguousarray(m[p, b]) for m, p, b in zip(self._weights, part, box, strict=True))
        count, depth, height, width = values.shape
        values = (values.reshape(-1, width) @ wx.T).reshape(count * depth, height, -1)
        values = wy @ values
        return (wz @ values.reshape(count, depth, -1)).reshape(count, len(wz), len(wy), len(wx))


def _ends(matrix: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last source index of each target index."""
    used = matrix != 0
    return used.argmax(1), used.shape[1] - 1 - used[:, ::-1].argmax(1)


def touching(boxes: "list[Box]") -> Box:
    """Smallest box that holds all others."""
    z, y, x = (slice(min(b[axis].start for b in boxes), max(b[axis].stop for b in boxes)) for axis in range(3))
    return z, y, x
