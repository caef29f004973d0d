"""Slices of layers as pixels, in a plane through a position.

A picture has the head up and the patient's left on the right, as radiologists hang it: axial slices with the front up,
coronal ones from the front, sagittal ones with the front on the left. Pixels are sent and drawn as small integers that
a palette turns into colors, so that a browser and matplotlib show the same and a slice stays small.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.spatial import Grid

from ..model import palette as _palette
from ..model.grids import shown_affine
from .layer_specs import HU_ROLES, LayerSpec

View = Literal["axial", "coronal", "sagittal"]
VIEWS: tuple[View, ...] = ("axial", "coronal", "sagittal")

_HU_RANGE = (-32768, 32767)
_PALETTE_STEPS = 256
_LINES = {"R": "R", "L": "R", "A": "A", "P": "A", "S": "S", "I": "S"}  # axis of RAS that a letter belongs to


@dataclass(frozen=True, eq=False)
class Plane:
    """Position of the pixels of a slice in the patient.

    Parameters
    ----------
    view : str
        One of `VIEWS`.
    number : int
        Of the slice, along the array axis that the view looks along.
    shape : tuple of int
        Rows and columns.
    corner_mm : (3,) float64 array
        World position of the center of the first pixel, at the upper left.
    down_mm, right_mm, through_mm : (3,) float64 array
        Steps to the next row, column and slice.
    """

    view: View
    number: int
    shape: tuple[int, int]
    corner_mm: NDArray[np.float64]
    down_mm: NDArray[np.float64]
    right_mm: NDArray[np.float64]
    through_mm: NDArray[np.float64]

    @property
    def extent_mm(self) -> tuple[float, float]:
        """Height and width between the outer edges."""
        rows, columns = self.shape
        return rows * float(np.linalg.norm(self.down_mm)), columns * float(np.linalg.norm(self.right_mm))


def plane_at(grid: Grid, view: View, position_mm: ArrayLike) -> Plane | None:
    """Return the slice of a grid that contains a position, or None if it is outside of the grid.

    Parameters
    ----------
    grid : Grid
        Sliceable, as returned by `viewing_grid`.
    view : str
    position_mm : (3,) array
        World mm.
    """
    axis = VIEWS.index(view)
    affine = shown_affine(grid)
    index = np.linalg.inv(affine) @ [*np.asarray(position_mm, float), 1]
    number = int(np.floor(index[axis] + 0.5))
    if not 0 <= number < grid.shape[axis]:
        return None
    rows, columns = (other for other in range(3) if other != axis)
    first = np.zeros(3)
    first[axis] = number
    down = affine[:3, rows]
    if view != "axial":  # z grows to the head, rows of a picture grow downwards
        first[rows], down = grid.shape[rows] - 1, -down
    corner = affine[:3, :3] @ first + affine[:3, 3]
    shape = grid.shape[rows], grid.shape[columns]
    return Plane(view, number, shape, corner, down, affine[:3, columns], affine[:3, axis])


def pixels(data: NDArray, plane: Plane) -> NDArray:
    """Return the slice of an array ``(z, y, x[, c])`` on the plane's grid, rows downwards; a view."""
    cut = np.take(data, plane.number, axis=VIEWS.index(plane.view))
    return cut if plane.view == "axial" else cut[::-1]


def encoded(spec: LayerSpec, plane: Plane) -> NDArray:
    """Encode the pixels of a layer as small integers.

    Returns
    -------
    (rows, columns) int16 array
        HU, for a scan.
    (rows, columns) uint8 or uint16 array
        Places in `palette`, for heat maps and labels.
    (rows, columns, 4) uint8 array
        RGBA, for color maps.
    """
    cut = pixels(spec.data, plane)
    if spec.is_rgb:
        return np.ascontiguousarray(cut)
    if spec.kind == "labels":
        values = label_values(spec)
        return np.searchsorted(values, cut).clip(0, len(values) - 1).astype(np.min_scalar_type(len(values) - 1))
    if spec.role in HU_ROLES:
        return np.clip(np.rint(cut), *_HU_RANGE).astype(np.int16)
    if spec.contrast_limits is None:
        raise ValueError(f"{spec.role}: an image of one channel needs contrast limits")
    low, high = spec.contrast_limits
    steps = (cut - low) * ((_PALETTE_STEPS - 2) / (high - low)) + 1
    # What lies at the lower limit is clear, as it is in napari.
    return np.where(cut > low, np.clip(steps, 1, _PALETTE_STEPS - 1), 0).astype(np.uint8)


def palette(spec: LayerSpec) -> NDArray[np.uint8]:
    """Return RGBA colors (n, 4) of the integers of `encoded`, without the opacity; none for a scan or RGBA."""
    if spec.kind == "labels":
        shown = [spec.colors.get(int(value), "#00000000") for value in label_values(spec)]
        return np.array([_rgba(color) for color in shown], np.uint8).reshape(-1, 4)
    if spec.is_rgb or spec.role in HU_ROLES:
        return np.zeros((0, 4), np.uint8)
    chosen = _palette.heat_colors(_PALETTE_STEPS) if isinstance(spec.colormap, str) else np.asarray(spec.colormap)
    return np.rint(chosen * 255).astype(np.uint8)


def painted(spec: LayerSpec, plane: Plane, window_hu: tuple[float, float]) -> NDArray[np.uint8]:
    """Return a layer's slice as RGBA, (rows, columns, 4), as a browser draws `encoded` and `palette`.

    Parameters
    ----------
    spec : LayerSpec
    plane : Plane
        Of the layer's own grid.
    window_hu : tuple of float
        Lower and upper end of the gray scale of a scan.
    """
    cut = encoded(spec, plane)
    if spec.role in HU_ROLES:
        low, high = window_hu
        gray = np.clip((cut - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        return np.stack([gray, gray, gray, np.full_like(gray, 255)], -1)
    picture = cut.copy() if spec.is_rgb else palette(spec)[cut]
    picture[..., 3] = np.rint(picture[..., 3] * spec.opacity).astype(np.uint8)
    return picture


def edge_letters(plane: Plane, known_axes: str = "RAS") -> dict[str, str]:
    """Return the side of the patient at each edge of the picture: R, L, A, P, S or I; nothing where it is unknown."""
    right, down = (_letter(step) for step in (plane.right_mm, plane.down_mm))
    left, up = (_letter(-step) for step in (plane.right_mm, plane.down_mm))
    letters = {"left": left, "right": right, "top": up, "bottom": down}
    return {edge: letter if _LINES[letter] in known_axes else "" for edge, letter in letters.items()}


def _letter(step: NDArray) -> str:
    axis = int(np.abs(step).argmax())
    return ("RL", "AP", "SI")[axis][int(step[axis] < 0)]


def label_values(spec: LayerSpec) -> list[int]:
    """Return label values in the order of their colors in `palette`; none for an image."""
    return sorted({0, *(value for value in spec.colors if value is not None)}) if spec.kind == "labels" else []


def _rgba(color: str) -> tuple[int, ...]:
    """Convert ``#rrggbb`` or ``#rrggbbaa`` to four numbers up to 255."""
    parts = bytes.fromhex(color.lstrip("#"))
    return (*parts, 255)[:4]
