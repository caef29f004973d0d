"""Smooth, exactly invertible map between the canonical body and one subject.

Every subject is the same anatomy under another map, so that a point of the canonical body names corresponding
points in all of them. The map is a chain of ripples, each of which moves one coordinate by a smooth function of the two
others: such a step is undone by subtracting the same function, without iteration. A rotation and a scale follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Ripple:
    """Displacement of one axis as a sum of plane waves over the two others.

    Parameters
    ----------
    axis : int
        Axis that moves: 0 right, 1 anterior, 2 superior.
    amplitude_mm, phase : tuple of float
        One for each wave.
    wave : tuple of (float, float)
        Wave vectors in radians a mm, over the two other axes in ascending order.
    """

    axis: int
    amplitude_mm: tuple[float, ...]
    wave: tuple[tuple[float, float], ...]
    phase: tuple[float, ...]

    def __call__(self, points: Sequence[Floats]) -> Floats:
        """Displace canonical points along the axis."""
        first, second = (points[i] for i in range(3) if i != self.axis)
        shift = np.zeros_like(first)
        for size, (a, b), phase in zip(self.amplitude_mm, self.wave, self.phase, strict=True):
            shift += size * np.sin(a * first + b * second + phase)
        return shift

    @classmethod
    def random(cls, axis: int, size_mm: float, rng: np.random.Generator, waves: int = 4) -> "Ripple":
        """Waves of 140 to 320 mm in random directions, `size_mm` root mean square in all."""
        number = 2 * np.pi / rng.uniform(140, 320, waves)
        angle = rng.uniform(0, 2 * np.pi, waves)
        amplitude = size_mm * np.sqrt(2 / waves) * rng.uniform(0.6, 1.4, waves)
        wave = np.stack([number * np.cos(angle), number * np.sin(angle)], -1)
        phase = rng.uniform(0, 2 * np.pi, waves)
        pairs = tuple((float(a), float(b)) for a, b in wave)
        return cls(axis, tuple(map(float, amplitude)), pairs, tuple(map(float, phase)))


@dataclass(frozen=True, eq=False)
class Warp:
    """Canonical mm to the subject's RAS+ mm and back, exact to rounding.

    Parameters
    ----------
    ripples : tuple of Ripple
        Applied in this order.
    linear : (3, 3) array
        Applied after the ripples.
    offset_mm : (3,) array
        Added last.
    """

    ripples: tuple[Ripple, ...]
    linear: NDArray[np.float64]
    offset_mm: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Mean length of a canonical mm in the subject."""
        return float(np.cbrt(abs(np.linalg.det(self.linear))))

    def from_canonical(self, points: ArrayLike) -> NDArray[np.float64]:
        """World mm of canonical points, shape (..., 3)."""
        moved = list(np.moveaxis(np.array(points, np.float64), -1, 0))
        for ripple in self.ripples:
            moved[ripple.axis] = moved[ripple.axis] + ripple(moved)
        return np.stack(moved, -1) @ self.linear.T + self.offset_mm

    def to_canonical(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Canonical coordinates of world mm, shape (..., 3)."""
        straight = (np.asarray(points_mm, np.float64) - self.offset_mm) @ np.linalg.inv(self.linear).T
        return np.stack(self._unripple(list(np.moveaxis(straight, -1, 0))), -1)

    def canonical_grid(self, right: Floats, anterior: Floats, superior: Floats) -> list[NDArray[np.float32]]:
        """`to_canonical` on the lattice of three world axes: three arrays indexed (superior, anterior, right)."""
        world = (
            np.asarray(right - self.offset_mm[0], np.float32)[None, None, :],
            np.asarray(anterior - self.offset_mm[1], np.float32)[None, :, None],
            np.asarray(superior - self.offset_mm[2], np.float32)[:, None, None],
        )
        inverse = np.linalg.inv(self.linear).astype(np.float32)
        return self._unripple([row[0] * world[0] + row[1] * world[1] + row[2] * world[2] for row in inverse])

    def _unripple(self, points: list) -> list:
        for ripple in reversed(self.ripples):
            points[ripple.axis] = points[ripple.axis] - ripple(points)
        return points
