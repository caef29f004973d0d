"""Edge-aware refinement: from cells of several mm to voxels, by the HU around them.

Around each place every class has a mean and a spread of HU, estimated with its own probabilities as weights. A voxel's
HU is then evidence for the classes with similar HU there: the posterior of a Gaussian mixture whose parameters vary in
space, as in locally adaptive tissue segmentation (Ashburner and Friston 2005 for one global mixture; local means as in
Li et al. 2011, IEEE TIP 20:2007). The parameters are smooth, so they are stored at about 3 mm and interpolated; only
the last step works on voxels.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..features import FeatureMaps
from ..spatial import Grid, Volume
from ..spatial.interpolation import Box, Interpolator, touching

if TYPE_CHECKING:
    from .tiles import Tile

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
# Largest difference of two classes in the evidence of one voxel: that of the distances, and that of the spreads.
LARGEST_EVIDENCE = STRENGTH * (
    0.5 * OUTLIER**2 + float(np.log(np.hypot((GUIDE_HU[1] - GUIDE_HU[0]) / 2, NOISE_HU) / NOISE_HU))
)
_WORKING_STRIDE = 2
_LEAST = 1e-4
_TRUNCATE = 3
_BLOCK_VOXELS = 16_000_000


class LocalIntensities:
    """Local mean and standard deviation of HU of each class.

    They are computed where they are needed: `prepare` takes the tiles that come next.

    Parameters
    ----------
    scores : (classes, z, y, x) float32 array
    scores_grid : Grid
    features : FeatureMaps
    guide : Volume
    grid : Grid
        Grid of the voxels.
    """

    def __init__(
        self, scores: NDArray[np.float32], scores_grid: Grid, features: FeatureMaps, guide: Volume, grid: Grid
    ):
        self.grid = features.grid.coarsen(_WORKING_STRIDE)
        self._scores, self._guide = scores, guide
        self._from_scores = Interpolator(scores_grid, self.grid)
        self._from_guide = Interpolator(guide.grid, grid)
        self._to_voxels = Interpolator(self.grid, grid)
        self._same_grid = guide.grid == grid
        self._sigma = WINDOW_MM / self.grid.spacing_mm
        self._level, self._square = _levels(guide, self.grid)
        self._total = self._log_total()
        self._overall: dict[int, tuple[float, float, float]] = {}
        self._moments: dict[int, tuple[Box, NDArray[np.float32]]] = {}

    def prepare(self, tiles: "Sequence[Tile]") -> None:
        """Estimate the intensities of the classes that compete in some tiles; earlier ones are dropped."""
        needed: dict[int, list[Box]] = {}
        for tile in tiles:
            if len(tile.classes) > 1:
                box = self._to_voxels.needed(tile.part)
                for number in tile.classes.tolist():
                    needed.setdefault(number, []).append(box)
        self._moments.clear()
        for number, boxes in needed.items():
            box = touching(boxes)
            self._moments[number] = box, self._estimate(number, box)

    def add_to(self, scores: NDArray[np.float32], tile: "Tile") -> None:
        """Add the log-likelihoods of the voxels of a tile to the (N, z, y, x) scores of its classes."""
        hu = np.clip(self._hu(tile.part), *GUIDE_HU)
        box = self._to_voxels.needed(tile.part)
        for own, number in zip(scores, tile.classes.tolist(), strict=True):
            where, moments = self._moments[number]
            z, y, x = (slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, where, strict=True))
            mean, spread = self._to_voxels(moments[:, z, y, x], box, tile.part)
            own += _log_likelihood(hu, mean, spread)

    def _hu(self, part: Box) -> NDArray[np.float32]:
        if self._same_grid:
            return np.asarray(self._guide.data[part], np.float32)
        box = self._from_guide.needed(part)
        return self._from_guide(self._guide.data[box][None], box, part)[0]

    def _channel(self, number: int, box: Box) -> NDArray[np.float32]:
        cells = self._from_scores.needed(box)
        return self._from_scores(self._scores[number][cells][None], cells, box)[0]

    def _log_total(self) -> NDArray[np.float32]:
        """Logarithm of the sum of all exponentials, block by block."""
        total = np.empty(self.grid.shape, np.float32)
        for box in _blocks(self.grid, _BLOCK_VOXELS // len(self._scores)):
            cells = self._from_scores.needed(box)
            block = self._from_scores(self._scores[(slice(None), *cells)], cells, box)
            most = block.max(0)
            block -= most
            total[box] = most + np.log(np.exp(block, out=block).sum(0))
        return total

    def _weight(self, number: int, box: Box) -> NDArray[np.float32]:
        """Probability of a class."""
        channel = self._channel(number, box)
        channel -= self._total[box]
        return np.exp(channel, out=channel)

    def _estimate(self, number: int, box: Box) -> NDArray[np.float32]:
        """Mean and standard deviation of a class in a box, (2, z, y, x)."""
        # Far from a class its window holds next to nothing: its mean over the scan takes over.
        share, level, square = self._over_all(number)
        reach = (_TRUNCATE * self._sigma + 0.5).astype(int) + 1
        z, y, x = (
            slice(max(0, b.start - r), min(n, b.stop + r)) for b, r, n in zip(box, reach, self.grid.shape, strict=True)
        )
        wide: Box = (z, y, x)
        inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
        weight = self._weight(number, wide)
        total = self._smooth(weight)[inner] + share
        mean = (self._smooth(weight * self._level[wide])[inner] + share * level) / total
        mean_square = (self._smooth(weight * self._square[wide])[inner] + share * square) / total
        return np.stack([mean, np.sqrt(np.maximum(mean_square - mean**2, 0) + NOISE_HU**2)]).astype(np.float32)

    def _over_all(self, number: int) -> tuple[float, float, float]:
        """Small share of the whole scan, and the means of HU and squared HU in it."""
        if number not in self._overall:
            sums = np.zeros(3)
            for box in _blocks(self.grid, _BLOCK_VOXELS):
                weight = self._weight(number, box)
                values = self._level[box], self._square[box]
                sums += [float(weight.sum(dtype=np.float64)), *(float(np.vdot(weight, v)) for v in values)]
            mass = max(sums[0], 1e-12)
            size = float(np.prod(self.grid.shape))
            self._overall[number] = _LEAST * sums[0] / size + 1e-12, sums[1] / mass, sums[2] / mass
        return self._overall[number]

    def _smooth(self, values: NDArray) -> NDArray[np.float32]:
        from scipy import ndimage

        return np.asarray(ndimage.gaussian_filter(values, self._sigma, mode="nearest", truncate=_TRUNCATE), np.float32)


def _levels(guide: Volume, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """HU and squared HU of a CT, within `GUIDE_HU`, on a coarser grid; the CT is read in blocks."""
    level, square = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.float32)
    bring = Interpolator(guide.grid, grid)
    finer = max(1.0, float(np.prod(grid.spacing_mm / guide.grid.spacing_mm)))
    for box in _blocks(grid, int(_BLOCK_VOXELS / finer)):
        source = bring.needed(box)
        hu = np.clip(guide.data[source], *(guide.data.dtype.type(v) for v in GUIDE_HU)).astype(np.float32)[None]
        level[box] = bring(hu, source, box)[0]
        square[box] = bring(np.square(hu, out=hu), source, box)[0]
    return level, square


def _blocks(grid: Grid, voxels: int) -> Iterator[Box]:
    """Cut a grid along z into boxes of about so many voxels."""
    depth = max(1, voxels // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], depth):
        yield slice(start, min(start + depth, grid.shape[0])), slice(0, grid.shape[1]), slice(0, grid.shape[2])


def _log_likelihood(hu: NDArray, mean: NDArray, spread: NDArray) -> NDArray[np.float32]:
    distance = np.subtract(hu, mean, out=mean)
    distance /= spread
    np.clip(distance, -OUTLIER, OUTLIER, out=distance)
    distance *= distance
    distance *= 0.5
    distance += np.log(spread, out=spread)
    distance *= -STRENGTH
    return distance
