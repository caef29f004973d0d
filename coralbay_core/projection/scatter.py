"""Scatter plot linked with positions in the patient: from a lasso to a mask, from a click to a point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..spatial import Grid
from ..spatial.resampling import resample
from .basis import Basis
from .embedding import Embedding


@dataclass(frozen=True, eq=False)
class Scatter:
    """Cells of a scan as points of a plane.

    Parameters
    ----------
    points : (N, 2) float32 array
    inside : (z, y, x) bool array
        The N cells, in C order.
    grid : Grid
        Grid of the cells.
    """

    points: NDArray[np.float32]
    inside: NDArray[np.bool_]
    grid: Grid

    @property
    def position_mm(self) -> NDArray[np.float64]:
        """World position of each point, (N, 3)."""
        return self.grid.cell_positions(self.inside)

    def lasso(self, polygon: ArrayLike) -> NDArray[np.bool_]:
        """Points inside a polygon (M, 2) of the plane, (N,); the polygon is closed automatically."""
        from matplotlib.path import Path

        corners = np.asarray(polygon, float)
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
            raise InputError("not a polygon", found=f"shape {corners.shape}", expected="three corners (x, y) or more")
        return np.asarray(Path(corners).contains_points(self.points), bool)

    def mask(self, chosen: NDArray[np.bool_], grid: Grid | None = None) -> NDArray[np.bool_]:
        """Mask of chosen points (N,) in the patient, on `grid` or on the grid of the cells."""
        cells = np.zeros(self.inside.shape, bool)
        cells[self.inside] = chosen
        return cells if grid is None else resample(cells, self.grid, grid, order=0, fill=0)

    def choose(self, mask: NDArray, grid: Grid) -> NDArray[np.bool_]:
        """Points (N,) that a mask in the patient covers."""
        known = grid.contains(self.position_mm)
        chosen = np.zeros(len(known), bool)
        chosen[known] = mask[tuple(grid.nearest_index(self.position_mm[known]).T)] != 0
        return chosen

    def point_at(self, position_mm: ArrayLike) -> int | None:
        """Return the number of the point at a world position; None if this cell is not shown."""
        index = self.grid.nearest_index(position_mm)
        if not self.grid.contains(position_mm) or not self.inside[tuple(index)]:
            return None
        flat = int(np.ravel_multi_index(tuple(index), self.inside.shape))
        return int(np.count_nonzero(self.inside.reshape(-1)[:flat]))

    def nearest(self, point: ArrayLike) -> int:
        """Return the number of the point nearest to a position in the plane."""
        return int(((self.points - np.asarray(point, float)) ** 2).sum(1).argmin())

    def thinned(self, count: int, seed: int = 0) -> NDArray[np.intp]:
        """Numbers of a seeded choice of at most `count` points, for views that cannot draw all."""
        return np.sort(np.random.default_rng(seed).permutation(len(self.points))[:count])


def scatter_of(
    source: Embedding | Basis, features: FeatureMaps | None = None, inside: NDArray[np.bool_] | None = None
) -> Scatter:
    """Make the scatter plot of an embedding, or of the first two principal components of a scan.

    Parameters
    ----------
    source : Embedding or Basis
    features, inside : optional
        Features of the scan to show, and its cells, if the source is a basis.
    """
    if isinstance(source, Embedding):
        return Scatter(np.ascontiguousarray(source.coordinates[:2, source.inside].T), source.inside, source.grid)
    if features is None:
        raise InputError("no points to show", expected="a basis together with the features of a scan")
    shown = features.body_at(features.strides[0]) if inside is None else inside
    return Scatter(np.ascontiguousarray(source.coordinates(features)[:2, shown].T), shown, features.finest.grid)
