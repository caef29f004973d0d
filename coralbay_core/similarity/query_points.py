"""Places for a query: from strokes, label maps and boxes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..spatial import LabelVolume
from ..util.arguments import checked

MAX_POINTS = 2000
LIKE, UNLIKE = 1, 2


@checked
def stroke_points(labels: LabelVolume, *, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places painted with 1 (positive) and with 2 (negative), world mm of shapes (N, 3) and (M, 3).

    At most `MAX_POINTS` of each, drawn with a seed.
    """
    values = set(np.unique(labels.data).tolist()) - {0}
    if not values <= {LIKE, UNLIKE} or LIKE not in values:
        raise InputError(
            "strokes of other values",
            where=labels.name,
            found=sorted(values)[:12],
            expected=f"{LIKE} = like it, {UNLIKE} = unlike it",
            hint="for one label of a map use --region with --label",
        )
    return _places(labels.data == LIKE, labels, seed), _places(labels.data == UNLIKE, labels, seed)


@checked
def label_points(labels: LabelVolume, value: int | None = None, *, seed: int = 0) -> NDArray[np.float64]:
    """Places in a label map, world mm (N, 3): of one value, or of all values but 0."""
    mask = labels.data != 0 if value is None else labels.data == value
    if not mask.any():
        present = np.unique(labels.data).tolist()
        raise InputError("empty region", where=labels.name, found=f"values {present[:20]}", expected=value or "any")
    return _places(mask, labels, seed)


@checked
def box_points(features: FeatureMaps, corners_mm: ArrayLike) -> NDArray[np.float64]:
    """Centers of the finest cells of the body between two corners (2, 3), world mm (N, 3)."""
    low, high = np.sort(np.asarray(corners_mm, float).reshape(2, 3), 0)
    cells = features.finest.grid.cell_positions(features.body_at(features.strides[0]))
    found = cells[((cells >= low) & (cells <= high)).all(1)]
    if not len(found):
        raise InputError(
            "no body in the region",
            found=[low.round(1).tolist(), high.round(1).tolist()],
            expected="two opposite corners in mm around some of the body",
        )
    return found[:: max(1, -(-len(found) // MAX_POINTS))]


def _places(mask: NDArray[np.bool_], labels: LabelVolume, seed: int) -> NDArray[np.float64]:
    marked = np.flatnonzero(mask)
    if len(marked) > MAX_POINTS:
        marked = np.sort(np.random.default_rng(seed).choice(marked, MAX_POINTS, replace=False))
    return labels.grid.cell_positions(marked)
