"""Clicks: the positions, in world mm, that a heat map answers."""

from dataclasses import dataclass

import numpy as np

from coralbay_core.spatial import Grid

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Clicks:
    """Positive and negative clicks, world mm."""

    positive: tuple[Point, ...] = ()
    negative: tuple[Point, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.positive or self.negative)

    def add(self, point: Point, negative: bool) -> "Clicks":
        """Return clicks with one more."""
        if negative:
            return Clicks(self.positive, self.negative + (point,))
        return Clicks(self.positive + (point,), self.negative)

    def near(self, point: Point, within_mm: float) -> Point | None:
        """Return the click nearest to a point, of either kind; None if none is within the distance."""
        away = {click: float(np.linalg.norm(np.subtract(click, point))) for click in (*self.positive, *self.negative)}
        nearest = min(away, key=away.__getitem__, default=None)
        return nearest if nearest is not None and away[nearest] <= within_mm else None

    def replace(self, click: Point, point: Point | None) -> "Clicks":
        """Return clicks with one moved to another point, or removed."""
        moved = () if point is None else (point,)
        sides = (sum((moved if p == click else (p,) for p in side), ()) for side in (self.positive, self.negative))
        return Clicks(*sides)

    def inside(self, grid: Grid) -> "Clicks":
        """Return the clicks inside a grid."""
        return Clicks(*(tuple(p for p in side if grid.contains(p)) for side in (self.positive, self.negative)))
