"""Selection of the cells of the finest stage for a projection."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..spatial import Grid
from ..spatial.resampling import resample
from ..util.arguments import checked


@checked
def cells_inside(features: FeatureMaps, mask: NDArray | None = None, grid: Grid | None = None) -> NDArray[np.bool_]:
    """Cells of the finest stage that belong to the body, and to a selection if there is one.

    Parameters
    ----------
    features : FeatureMaps
    mask : (z, y, x) array, optional
        Selected where it is not 0.
    grid : Grid, optional
        Grid of the mask; by default that of the finest stage.

    Returns
    -------
    (z, y, x) bool array
        At least half selected; where a selection is smaller than that, the cells that hold some of it.
    """
    body = features.body_at(features.strides[0])
    if mask is None:
        return body
    share = resample((mask != 0).astype(np.float32), grid or features.finest.grid, features.finest.grid, fill=0)
    inside = body & (share >= 0.5)
    inside = inside if inside.any() else body & (share > 0.05)
    if not inside.any():
        raise InputError("empty selection", found="no cell of the body", hint="select a region inside the body")
    return inside


def sample_cells(inside: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.intp]:
    """Flat indices of a seeded choice of at most `count` cells, in order."""
    cells = np.flatnonzero(inside)
    return np.sort(np.random.default_rng(seed).permutation(cells)[:count])
