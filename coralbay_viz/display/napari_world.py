"""Conversion between RAS+ mm and napari's world.

CoralBay's world is RAS+ mm; napari's is ``(S, P, L)`` mm, so that a volume's array axes and napari's dimensions run the
same way: ``J`` maps ``(R, A, S)`` to ``(S, -A, -R)``. This is the only module that converts between the two.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.spatial import Grid, geometry
from coralbay_core.spatial.geometry import Affine

from ..model.grids import shown_affine

# RAS+ mm -> napari world.
J: Affine = np.array([[0.0, 0, 1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
J.setflags(write=False)
_J_INVERSE: Affine = np.linalg.inv(J).astype(np.float64)


def napari_from_world(position_mm: ArrayLike) -> NDArray[np.float64]:
    """Convert RAS+ mm, shape (..., 3), to napari world coordinates."""
    return geometry.apply(J, position_mm)


def world_from_napari(position: ArrayLike) -> NDArray[np.float64]:
    """Convert napari world coordinates, shape (..., 3), to RAS+ mm."""
    return geometry.apply(_J_INVERSE, position)


def world_affine(affine: ArrayLike) -> Affine:
    """Convert an affine from index to napari's world into one to RAS+ mm."""
    return _J_INVERSE @ np.asarray(affine, float)


def napari_affine(grid: Grid) -> Affine:
    """Return the affine of a napari layer on this grid; exactly axis-aligned if the grid is, up to rounding.

    Files store affines with rounding noise (1e-7 and so), which alone makes napari refuse to slice out of plane.
    """
    return J @ shown_affine(grid)
