"""Suggestion of positions for the next strokes (active learning)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..util.arguments import checked
from .scores import ScoreMap

# Doubt is averaged over this distance: a thin seam of it between two organs is not worth a click, a region is.
SMOOTH_MM = 8.0
APART_MM = 24.0


@dataclass(frozen=True)
class Suggestion:
    """A position to label next.

    Parameters
    ----------
    position_mm : tuple of float
        World mm.
    doubt : float
        Mean of 1 - margin around it, from 0 (sure) to 1.
    candidates : tuple of int
        The two likeliest labels there, the likelier first.
    slice_mm : float
        Superior coordinate of the axial slice with the largest total uncertainty, to label whole slices.
    """

    position_mm: tuple[float, float, float]
    doubt: float
    candidates: tuple[int, int]
    slice_mm: float


@checked
def suggest_next(
    scores: ScoreMap,
    labelled_mm: ArrayLike = (),
    skipped_mm: ArrayLike = (),
    *,
    count: int = 1,
    apart_mm: float = APART_MM,
) -> list[Suggestion]:
    """Suggest the most informative positions, best first.

    These are large regions in which the two most likely labels have similar probabilities (margin sampling; Scheffer,
    Decomain, Wrobel 2001), at a distance from strokes and skipped suggestions.

    Parameters
    ----------
    scores : ScoreMap
    labelled_mm, skipped_mm : (N, 3) arrays
        World mm of labeled positions, and of suggestions that were skipped.
    count : int
    apart_mm : float
        Minimum distance of suggestions from skipped ones and from each other; half of it from labeled positions.

    Returns
    -------
    list of Suggestion
        Fewer than `count` where nothing is left.
    """
    if count < 1:
        raise InputError("number of suggestions out of range", found=count, expected="1 or more")
    probabilities = scores.probabilities()
    doubt = _doubt(scores, probabilities)
    free = scores.inside.copy()
    _clear(free, scores, labelled_mm, apart_mm / 2)
    _clear(free, scores, skipped_mm, apart_mm)
    slice_mm = _slice_mm(scores, np.where(free, doubt, 0))
    found: list[Suggestion] = []
    while free.any() and len(found) < count:
        best = int(np.where(free, doubt, -1).argmax())
        index = np.unravel_index(best, free.shape)
        position = scores.grid.to_world(index)
        first, second = np.argsort(-probabilities.reshape(len(probabilities), -1)[:, best], kind="stable")[:2]
        place = (float(position[0]), float(position[1]), float(position[2]))
        candidates = (scores.values[int(first)], scores.values[int(second)])
        found.append(Suggestion(place, float(doubt[index]), candidates, slice_mm))
        _clear(free, scores, position, apart_mm)
    return found


def _doubt(scores: ScoreMap, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 - margin, averaged over the neighborhood inside the body."""
    from scipy import ndimage

    best = np.partition(probabilities, len(probabilities) - 2, axis=0)
    inside = scores.inside.astype(np.float32)
    sigma = SMOOTH_MM / scores.grid.spacing_mm
    raw = ndimage.gaussian_filter((1 - best[-1] + best[-2]) * inside, sigma)
    share = ndimage.gaussian_filter(inside, sigma)
    return np.asarray(np.where(scores.inside, raw / np.maximum(share, 1e-3), 0), np.float32)


def _slice_mm(scores: ScoreMap, doubt: NDArray[np.float32]) -> float:
    """Superior coordinate of the most uncertain axial slice."""
    z = int(doubt.sum((1, 2)).argmax())
    _, y, x = ((n - 1) / 2 for n in scores.grid.shape)
    return float(scores.grid.to_world((z, y, x))[2])


def _clear(free: NDArray[np.bool_], scores: ScoreMap, position_mm: ArrayLike, radius_mm: float) -> None:
    """Remove cells within a distance of given positions."""
    for place in np.asarray(position_mm, float).reshape(-1, 3):
        box, near = scores.grid.ball(place, radius_mm)
        free[box] &= ~near
