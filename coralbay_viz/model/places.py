"""Places: positions that a user or a script asks for, checked and kept inside a grid."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid

Place = tuple[float, float, float]

# Of a cell: far above the rounding of an affine and its inverse, far below what anybody sees.
_TOLERANCE = 1e-6


def as_place(position_mm: ArrayLike | Sequence[float]) -> Place:
    """Return a position as three finite numbers, or raise `InputError`."""
    try:
        position = np.asarray(position_mm, float)
    except (TypeError, ValueError):
        position = np.zeros(0)
    if position.shape != (3,) or not np.isfinite(position).all():
        raise InputError("not a position", found=position_mm, expected="three finite numbers of mm")
    r, a, s = position.tolist()
    return r, a, s


def place_text(position_mm: ArrayLike | Sequence[float], known_axes: str = "RAS") -> str:
    """Format a position with anatomical directions, ``12 R  30 P  210 S``; unknown ones are signed numbers."""
    signs = zip(as_place(position_mm), ("R", "A", "S"), ("L", "P", "I"), strict=True)
    return "  ".join(
        f"{abs(v):.0f} {positive if v >= 0 else negative}" if positive in known_axes else f"{v:+.0f}"
        for v, positive, negative in signs
    )


def nearest_inside(grid: Grid, position_mm: ArrayLike | Sequence[float], margin: float = 0.5) -> Place:
    """Return the position of a grid that is nearest along its own axes, world mm; one inside is returned as it is.

    Applying it twice is applying it once, to the last bit: what was moved to the edge counts as inside.

    Parameters
    ----------
    grid : Grid
    position_mm : (3,) array
    margin : float
        Width of the rim around the centers of the outer cells that is still inside, in cells.
    """
    place = as_place(position_mm)
    with np.errstate(over="ignore", invalid="ignore"):
        index = grid.to_index(place)
    if not np.isfinite(index).all():
        raise InputError("not a position", found=position_mm, expected="three numbers of mm, nearer than that")
    low, high = -margin, np.asarray(grid.shape) - 1 + margin
    if ((index >= low - _TOLERANCE) & (index <= high + _TOLERANCE)).all():
        return place
    r, a, s = grid.to_world(np.clip(index, low, high)).tolist()
    return r, a, s
