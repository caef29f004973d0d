"""Scores of a probe on the finest grid of a scan, and segmentations from them on any grid.

Only the scores of the classes that compete at a place are brought to the CT's grid, tile by tile, where the best class
wins: memory and time are those of the label map, not of the features or of the number of classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, InputError
from ..features import FeatureMaps
from ..spatial import Grid, LabelVolume, Volume
from ..spatial.interpolation import Box
from ..spatial.resampling import labels_on, resample_blocks
from .refine import LARGEST_EVIDENCE, LocalIntensities
from .tiles import Tiles

_ROWS = 4
"""Rows of tiles along z for which local intensities are held at once."""
_CERTAIN = 16.0
"""Lead beyond which a class takes no part in probabilities: together such classes change them by less than 1e-5."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Label map with optional confidence maps.

    Parameters
    ----------
    labels : (z, y, x) int array
        In the painted values.
    probability : (z, y, x) float32 array, optional
        Probability of each voxel's label; 0 outside the body, 1 for protected labels.
    margin : (z, y, x) float32 array, optional
        Probability minus that of the second most likely label; 0 outside the body, 1 for protected labels.
    """

    labels: NDArray[np.integer]
    probability: NDArray[np.float32] | None = None
    margin: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """Scores of the classes; their softmax is the probability.

    Parameters
    ----------
    data : (classes, z, y, x) float32 array
    grid : Grid
        The finest stage's, or a part of it.
    values : tuple of int
        Label value of each class.
    outside : int
        Label outside the body.
    features : FeatureMaps
    """

    data: NDArray[np.float32]
    grid: Grid
    values: tuple[int, ...]
    outside: int
    features: FeatureMaps

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Cells of the finest stage that belong to the body."""
        return self.features.body_at(self.features.strides[0])

    def probabilities(self) -> NDArray[np.float32]:
        """(classes, z, y, x) on `grid`."""
        return softmax(self.data)

    def segment(
        self,
        grid: Grid,
        *,
        guide: Volume | None = None,
        protected: LabelVolume | None = None,
        probability: bool = False,
        margin: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Segmentation:
        """Labels on a grid.

        Parameters
        ----------
        grid : Grid
        guide : Volume, optional
            The CT: borders between classes are then drawn where its HU change (see `refine`).
        protected : LabelVolume, optional
            Labels that are preserved wherever they are above 0.
        probability, margin : bool
            Also make these maps.
        cancelled : callable
            Asked between slabs whether nobody wants the labels any more: `Cancelled` is raised then.
        progress : callable, optional
            Takes the numbers of slices that are done, and of all.
        """
        values = np.array(self.values, np.min_scalar_type(max(*self.values, self.outside, _largest(protected))))
        labels = np.full(grid.shape, self.outside, values.dtype)
        sure = np.zeros(grid.shape, np.float32) if probability else None
        ahead = np.zeros(grid.shape, np.float32) if margin else None
        for part, inside, classes, scores in self._tiles(grid, guide, probability or margin, cancelled, progress):
            labels[part][inside] = values[classes[_best(scores)]][inside]
            if sure is None and ahead is None:
                continue
            first, second = _two_best(softmax(scores))
            if sure is not None:
                sure[part] = np.where(inside, first, 0)
            if ahead is not None:
                ahead[part] = np.where(inside, first - second, 0)
        if protected is not None:
            fixed = labels_on(protected, grid)
            labels[fixed != 0] = fixed[fixed != 0]
            for certain in (sure, ahead):
                if certain is not None:
                    certain[fixed != 0] = 1
        return Segmentation(labels, sure, ahead)

    def probability_of(
        self, value: int, grid: Grid, *, guide: Volume | None = None, protected: LabelVolume | None = None
    ) -> NDArray[np.float32]:
        """Probability of one label on a grid, (z, y, x); 0 outside the body.

        Parameters
        ----------
        value : int
            One of `values`.
        grid : Grid
        guide, protected : optional
            As of `segment`; protected voxels are 1 where they have this label, else 0.

        Raises
        ------
        InputError
            For a label that the probe does not know.
        """
        if value not in self.values:
            raise InputError("no such label", found=value, expected=f"one of {list(self.values)}")
        out = np.zeros(grid.shape, np.float32)
        number = self.values.index(value)
        for part, inside, classes, scores in self._tiles(grid, guide, True):
            own = np.flatnonzero(classes == number)
            if len(own):
                out[part] = np.where(inside, softmax(scores)[own[0]], 0)
        if protected is not None:
            fixed = labels_on(protected, grid)
            out[fixed != 0] = fixed[fixed != 0] == value
        return out

    def _tiles(
        self,
        grid: Grid,
        guide: Volume | None,
        certain: bool,
        cancelled: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[Box, NDArray[np.bool_], NDArray[np.intp], NDArray[np.float32]]]:
        """Yield tiles with the body mask, the numbers of the classes that compete there, and their scores.

        `certain` says that their probabilities are wanted, and not only the best of them.
        """
        slack = (0.0 if guide is None else LARGEST_EVIDENCE) + (_CERTAIN if certain else 0.0)
        tiles = Tiles(self.data, self.grid, grid, slack)
        likely = None if guide is None else LocalIntensities(self.data, self.grid, self.features, guide, grid)
        voxels = _ROWS * tiles.depth * grid.shape[1] * grid.shape[2]
        body = resample_blocks(self.features.body, self.features.grid, grid, order=0, fill=0, block_voxels=voxels)
        for slab, inside in body:
            if cancelled():
                raise Cancelled("segmentation was stopped")
            inside = inside.astype(bool, copy=False)
            found = list(tiles.among(slab, inside))
            if likely is not None:
                likely.prepare(found)
            for tile in found:
                scores = tiles.scores(tile)
                if likely is not None and len(tile.classes) > 1:
                    likely.add_to(scores, tile)
                z, y, x = tile.part
                yield tile.part, inside[z.start - slab.start : z.stop - slab.start, y, x], tile.classes, scores
            if progress is not None:
                progress(slab.stop, grid.shape[0])


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (classes, ...) of scores."""
    raised = np.exp(scores - scores.max(0))
    return np.asarray(raised / raised.sum(0), np.float32)


def _best(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """First of the highest classes: `argmax` over the first axis, several times faster."""
    highest, winner = scores[0].copy(), np.zeros(scores.shape[1:], np.intp)
    for number, own in enumerate(scores[1:], 1):
        better = own > highest
        np.copyto(highest, own, where=better)
        np.copyto(winner, number, where=better)
    return winner


def _two_best(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if len(probabilities) == 1:  # no other class comes near
        return probabilities[0], np.zeros_like(probabilities[0])
    best = np.partition(probabilities, len(probabilities) - 2, axis=0)
    return best[-1], best[-2]


def _largest(labels: LabelVolume | None) -> int:
    return 0 if labels is None else int(labels.data.max(initial=0))
