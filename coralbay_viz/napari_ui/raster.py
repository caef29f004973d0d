"""Rasterization of many points with numpy, without a graphics card or a second OpenGL context.

Points are drawn in shuffled order, so that no group hides another. 250,000 points take a few ms (docs/decisions.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BACKGROUND = 0xFF1B1E24
_MARGIN = 1.08
_DIM = 0.25


@dataclass(frozen=True)
class View:
    """Visible part of the plane.

    Parameters
    ----------
    center : (2,) tuple of float
        Place of the plane at the center of the picture.
    scale : float
        Pixels per unit.
    """

    center: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0

    def pixels(self, points: NDArray, size: tuple[int, int]) -> NDArray:
        """Return pixels (N, 2) as x, y of places (N, 2) in a picture of (width, height); y of the plane points up."""
        middle = np.array(size, np.float32) / 2
        factor = np.array((self.scale, -self.scale), np.float32)
        return (points - np.asarray(self.center, np.float32)) * factor + middle

    def place(self, pixel: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
        """Return the place of one pixel: the inverse of `pixels`."""
        x, y = np.asarray(pixel, float) - np.array(size) / 2
        return np.array([self.center[0] + x / self.scale, self.center[1] - y / self.scale])

    def zoomed(self, factor: float, pixel: ArrayLike, size: tuple[int, int]) -> "View":
        """Zoom about a pixel, whose place is fixed."""
        fixed = self.place(pixel, size)
        x, y = fixed + (np.asarray(self.center) - fixed) / factor
        return View((float(x), float(y)), self.scale * factor)


def view_of(points: NDArray, size: tuple[int, int]) -> View:
    """Return a view of all points, with a margin."""
    if not len(points):
        return View()
    low, high = points.min(0), points.max(0)
    extent = np.maximum((high - low) * _MARGIN, 1e-6)
    x, y = ((low + high) / 2).tolist()
    return View((x, y), float((np.array(size) / extent).min()))


def rasterize(points: NDArray, colors: NDArray[np.uint32], view: View, size: tuple[int, int]) -> NDArray[np.uint32]:
    """Draw points, two pixels wide, as a picture (height, width) of ARGB values.

    Parameters
    ----------
    points : (N, 2) float32 array
        Later ones lie over earlier ones.
    colors : (N,) uint32 array
        ARGB.
    view : View
    size : tuple of int
        Width and height in pixels.
    """
    width, height = size
    at = view.pixels(points, size)
    inside = ((at >= 0) & (at < np.array(size, np.float32))).all(1)
    column, row = at[inside].astype(np.int32).T
    # One more row and column than are shown, so that points at the edge need no check.
    picture = np.full((height + 1) * (width + 1), _BACKGROUND, np.uint32)
    start, shown = row * np.int32(width + 1) + column, colors[inside]
    for offset in (0, 1, width + 1, width + 2):
        picture[start + offset] = shown
    return np.ascontiguousarray(picture.reshape(height + 1, width + 1)[:height, :width])


def argb(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Convert (N, 3) colors to (N,) opaque ARGB values."""
    red, green, blue = rgb.astype(np.uint32).T
    return np.uint32(0xFF000000) | red << 16 | green << 8 | blue


def dimmed(colors: NDArray[np.uint32], chosen: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Fade the colors of points that are not selected."""
    shift = np.array([16, 8, 0], np.uint32)
    channels = (colors[~chosen, None] >> shift) & 255
    ground = (np.uint32(_BACKGROUND) >> shift) & 255
    faint = ground + _DIM * (channels - ground.astype(float))
    out = colors.copy()
    out[~chosen] = argb(faint.clip(0, 255).astype(np.uint8))
    return out
