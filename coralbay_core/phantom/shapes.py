"""Shapes as signed distances in mm, negative inside; curves; branching trees.

The distances are first-order estimates: right at the surface, where partial volume needs them, and only monotonic far
from it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

Floats = NDArray[np.floating]
Points = tuple[Floats, Floats, Floats]
Knots = Sequence[Sequence[float]]
"""Rows ``(x, y, z, radius)`` of a curve."""
MURRAY = 0.36
"""Power of the number of tips that gives a vessel's radius; 1/3 would keep the shear at the wall constant."""


def smooth_min(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """Union of two distances with a fillet of about `blend_mm`."""
    h = np.maximum(blend_mm - np.abs(a - b), 0) / blend_mm
    return np.minimum(a, b) - h * h * (blend_mm / 4)


def smooth_max(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """Intersection of two distances with a rounded edge of about `blend_mm`."""
    h = np.maximum(blend_mm - np.abs(a - b), 0) / blend_mm
    return np.maximum(a, b) + h * h * (blend_mm / 4)


def smooth_step(value: Floats, low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, without a corner."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ellipsoid(points: Points, center: Sequence[float], radii: Sequence[float], frame: Floats | None = None) -> Floats:
    """Ellipsoid whose axes are the rows of `frame`, or the coordinate axes."""
    local = to_frame(points, center, frame)
    first = np.sqrt(sum((p / r) ** 2 for p, r in zip(local, radii, strict=True)))
    second = np.sqrt(sum((p / r**2) ** 2 for p, r in zip(local, radii, strict=True)))
    return first * (first - 1) / np.maximum(second, 1e-6)


def to_frame(points: Points, center: Sequence[float], frame: Floats | None = None) -> Points:
    """Coordinates relative to a center and three orthonormal rows."""
    x, y, z = (p - np.float32(c) for p, c in zip(points, center, strict=True))
    if frame is None:
        return x, y, z
    a, b, c = (row[0] * x + row[1] * y + row[2] * z for row in np.asarray(frame, np.float32))
    return a, b, c


def frame_along(axis: Sequence[float], towards: Sequence[float] = (0, 0, 1)) -> Floats:
    """Orthonormal rows: the first along `axis`, the last as close to `towards` as that allows."""
    first = np.asarray(axis, float) / np.linalg.norm(axis)
    second = np.cross(np.asarray(towards, float), first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def profile(table: ArrayLike) -> PchipInterpolator:
    """Shape-preserving interpolation of rows ``(z, value, value, ...)``, constant beyond the ends."""
    rows = np.asarray(sorted(np.asarray(table, float).tolist()))
    ends = np.vstack([rows[:1], rows, rows[-1:]])
    ends[0, 0] -= 500
    ends[-1, 0] += 500
    return PchipInterpolator(ends[:, 0], ends[:, 1:])


def curve(knots: Knots | Floats, step_mm: float = 4.0) -> NDArray[np.float64]:
    """Smooth curve through rows ``(x, y, z, radius)``, sampled about every `step_mm`, shape (n, 4)."""
    rows = np.asarray(knots, float)
    lengths = np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)])
    fine = np.linspace(0, at[-1], max(2, int(np.ceil(at[-1] / step_mm)) + 1))
    if len(rows) == 2:
        return np.linspace(rows[0], rows[1], len(fine))
    return np.column_stack([CubicSpline(at, rows[:, :3])(fine), PchipInterpolator(at, rows[:, 3])(fine)])


def thicker(path: Floats, by_mm: float) -> Floats:
    """Copy of a curve or tree with larger (or, below 0, smaller) radii."""
    wide = np.array(path, float)
    wide[..., 3] += by_mm
    return wide


def segments(path: Floats) -> NDArray[np.float64]:
    """Consecutive pairs of a curve's samples, shape (n - 1, 2, 4)."""
    return np.stack([path[:-1], path[1:]], 1)


def grow_tree(
    root: ArrayLike, targets: Floats, *, tip_mm: float, root_mm: float, detour: float = 0.5
) -> NDArray[np.float64]:
    """Branching vessels that reach all targets from a root.

    Each target, nearest first, is joined to the node for which the new piece plus `detour` times the way to the root is
    shortest: 0 gives the least total length, 1 a bundle of direct lines. Radii follow a power law of the number of tips
    downstream (Murray), bounded by `root_mm`.

    Returns
    -------
    (n, 2, 4) array
        Segments of ``(x, y, z, radius)``.
    """
    nodes = np.vstack([np.asarray(root, float)[None], targets])
    nodes[1:] = nodes[1:][np.argsort(np.linalg.norm(targets - nodes[0], axis=1))]
    parent = np.zeros(len(nodes), int)
    way = np.zeros(len(nodes))
    for i in range(1, len(nodes)):
        piece = np.linalg.norm(nodes[:i] - nodes[i], axis=1)
        parent[i] = np.argmin(piece + detour * way[:i])
        way[i] = way[parent[i]] + piece[parent[i]]
    tips = np.ones(len(nodes))
    for i in range(len(nodes) - 1, 0, -1):
        tips[parent[i]] += tips[i]
    radius = np.minimum(tip_mm * tips**MURRAY, root_mm)
    child = np.arange(1, len(nodes))
    ends = np.column_stack([nodes, radius])[child]
    starts = np.column_stack([nodes[parent[child]], np.minimum(radius[parent[child]], 1.25 * radius[child])])
    return np.stack([starts, ends], 1)


def wander(tree: Floats, rng: np.random.Generator, size_mm: float = 2.2) -> NDArray[np.float64]:
    """Bend the straight pieces of a tree by a smooth random field, which leaves them joined."""
    pieces = []
    for start, end in tree:
        parts = int(np.ceil(np.linalg.norm(end[:3] - start[:3]) / 9))
        pieces.append(segments(np.linspace(start, end, parts + 1)))
    bent = np.concatenate(pieces)
    shift = np.zeros_like(bent[..., :3])
    for _ in range(5):
        direction, wave = rng.standard_normal((2, 3))
        wave *= 2 * np.pi / rng.uniform(28, 60) / np.linalg.norm(wave)
        shift += direction * np.sin(bent[..., :3] @ wave + rng.uniform(0, 2 * np.pi))[..., None]
    bent[..., :3] += shift * size_mm * np.sqrt(2 / 5)
    return bent
