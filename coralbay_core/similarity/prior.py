"""Distance prior: scores fall off with the distance from the expected positions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..spatial import Grid

if TYPE_CHECKING:
    from .heat import HeatMap


@dataclass(frozen=True, eq=False)
class DistancePrior:
    """A Gaussian around expected positions.

    Parameters
    ----------
    centers_mm : (N, 3) array
        World mm of the scan that is searched; the nearest counts.
    sigma_mm : float
        At this distance a score keeps .61 of its height above the lowest of the body, at twice that .14.
    """

    centers_mm: NDArray[np.float64]
    sigma_mm: float

    def __post_init__(self) -> None:
        centers = np.asarray(self.centers_mm, float).reshape(-1, 3)
        if not np.isfinite(self.sigma_mm) or self.sigma_mm <= 0:
            raise InputError("unusable distance prior", found=self.sigma_mm, expected="a number of mm above 0")
        if not len(centers) or not np.isfinite(centers).all():
            raise InputError("distance prior without a place", expected="at least one position in mm")
        object.__setattr__(self, "centers_mm", centers)

    def factor(self, grid: Grid) -> NDArray[np.float32]:
        """Factor in [0, 1] for each cell of a grid, (z, y, x)."""
        world = grid.cell_positions(np.ones(grid.shape, bool)).astype(np.float32)
        nearest = np.full(len(world), np.inf, np.float32)
        for center in self.centers_mm.astype(np.float32):
            away = world - center
            np.minimum(nearest, np.einsum("nc,nc->n", away, away), out=nearest)
        return np.exp(-nearest / (2 * self.sigma_mm**2)).reshape(grid.shape)

    def applied(self, heat: "HeatMap") -> NDArray[np.float32]:
        """Apply the prior to a heat map: its scores, pulled to their minimum with the distance."""
        floor = heat.minimum
        return (floor + np.maximum(heat.data - floor, 0) * self.factor(heat.grid)).astype(np.float32)


def prior_around(centers_mm: ArrayLike, sigma_mm: float | None) -> DistancePrior | None:
    """Make a prior; None if no width is given."""
    return None if sigma_mm is None else DistancePrior(np.asarray(centers_mm, float), float(sigma_mm))
