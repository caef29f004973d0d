"""Scores of a probe on the finest grid of a scan, and segmentations from them on any grid.

Only the scores of the classes are brought to the CT's grid, slab by slab, where the best class wins: memory and time
are those of the label map, not of the features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, InputError
from ..features import FeatureMaps
from ..spatial import Grid, LabelVolume, Volume
from ..spatial.resampling import resample, resample_blocks
from .refine import LocalIntensities

_SLAB_VALUES = 4_000_000


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
        """
        values = np.array(self.values, np.min_scalar_type(max(*self.values, self.outside, _largest(protected))))
        labels = np.full(grid.shape, self.outside, values.dtype)
        sure = np.zeros(grid.shape, np.float32) if probability else None
        ahead = np.zeros(grid.shape, np.float32) if margin else None
        for part, inside, scores in self._slabs(grid, guide):
            if cancelled():
                raise Cancelled("segmentation was stopped")
            labels[part] = np.where(inside, values[scores.argmax(0)], labels.dtype.type(self.outside))
            if sure is None and ahead is None:
                continue
            first, second = _two_best(softmax(scores))
            if sure is not None:
                sure[part] = np.where(inside, first, 0)
            if ahead is not None:
                ahead[part] = np.where(inside, first - second, 0)
        if protected is not None:
            fixed = _on(protected, grid)
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
        for part, inside, scores in self._slabs(grid, guide):
            out[part] = np.where(inside, softmax(scores)[number], 0)
        if protected is not None:
            fixed = _on(protected, grid)
            out[fixed != 0] = fixed[fixed != 0] == value
        return out

    def _slabs(
        self, grid: Grid, guide: Volume | None
    ) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.float32]]]:
        """Yield slabs of a grid with the body mask and the (classes, z, y, x) scores."""
        voxels = max(grid.shape[1] * grid.shape[2], _SLAB_VALUES // len(self.values))
        streams = [resample_blocks(channel, self.grid, grid, block_voxels=voxels) for channel in self.data]
        likely = (
            None
            if guide is None
            else LocalIntensities.of(self.data, self.grid, self.features, guide).slabs(grid, voxels)
        )
        body = resample_blocks(self.features.body, self.features.grid, grid, order=0, fill=0, block_voxels=voxels)
        for part, inside in body:
            scores = np.stack([next(stream)[1] for stream in streams])
            if likely is not None:
                scores += next(likely)
            yield part, inside, scores


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (classes, ...) of scores."""
    raised = np.exp(scores - scores.max(0))
    return np.asarray(raised / raised.sum(0), np.float32)


def _two_best(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    best = np.partition(probabilities, len(probabilities) - 2, axis=0)
    return best[-1], best[-2]


def _largest(labels: LabelVolume | None) -> int:
    return 0 if labels is None else int(labels.data.max(initial=0))


def _on(labels: LabelVolume, grid: Grid) -> NDArray[np.integer]:
    return labels.data if labels.grid == grid else resample(labels.data, labels.grid, grid, order=0, fill=0)
