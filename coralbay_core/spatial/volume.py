"""Volumes in memory: an array, its grid, and the grid of the file that it was read from."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, OutsideVolumeError
from . import geometry
from .geometry import Affine
from .label_colors import Color

AXIS_CODES = ("S", "P", "L")

AIR_HU = -1000


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions of the samples of an array.

    Parameters
    ----------
    shape : tuple of int
        ``(z, y, x)``.
    affine : (4, 4) float64 array
        Index ``(z, y, x)`` to RAS+ mm.
    """

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        try:
            affine = np.array(self.affine, np.float64)
            shape = tuple(int(n) for n in self.shape)
        except (TypeError, ValueError) as error:
            raise _no_grid(self.shape, self.affine) from error
        if len(shape) != 3 or min(shape) < 1 or shape != tuple(self.shape):
            raise _no_grid(self.shape, affine)
        if affine.shape != (4, 4) or not geometry.is_invertible(affine, 1e-12):
            raise InputError(
                "unusable affine", found=np.array2string(affine), expected="an invertible, finite 4x4 matrix"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return self.shape == other.shape and np.allclose(self.affine, other.affine, rtol=0, atol=1e-3)

    __hash__ = None  # type: ignore[assignment]

    @property
    def spacing_mm(self) -> NDArray[np.floating]:
        """Spacing along each array axis, shape (3,)."""
        return geometry.spacing(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)

    @cached_property
    def orientation(self) -> "SourceGrid":
        """Same grid as that of a file: its `grid` and `from_file` turn an array on it to S, P, L without copying."""
        return SourceGrid.of(self.shape, self.affine)

    @cached_property
    def index_from_world(self) -> Affine:
        """RAS+ mm to index ``(z, y, x)``."""
        return np.asarray(np.linalg.inv(self.affine), np.float64)

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """Convert (fractional) indices to world mm, shape (..., 3)."""
        return geometry.apply(self.affine, index)

    def to_index(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Convert world mm to fractional indices, shape (..., 3)."""
        return geometry.apply(self.index_from_world, position_mm)

    def nearest_index(self, position_mm: ArrayLike) -> NDArray[np.intp]:
        """Convert world mm to indices of the nearest cells, shape (..., 3); outside, those of a cell at the edge."""
        return np.clip(np.rint(self.to_index(position_mm)), 0, np.asarray(self.shape) - 1).astype(np.intp)

    def cell_positions(self, cells: NDArray) -> NDArray[np.float64]:
        """Centers (N, 3) of some cells, world mm, in the order of the array.

        Parameters
        ----------
        cells : (z, y, x) bool array or (N,) int array
            A mask on this grid, or flat indices.
        """
        index = np.argwhere(cells) if cells.dtype == bool else np.stack(np.unravel_index(cells, self.shape), -1)
        return self.to_world(index)

    @property
    def corner_positions(self) -> NDArray[np.float64]:
        """Centers (8, 3) of the cells in the corners, world mm."""
        return self.to_world(geometry.box_corners([(0, n - 1) for n in self.shape]))

    @property
    def center_mm(self) -> NDArray[np.float64]:
        """Middle of the grid, (3,), world mm."""
        return self.to_world((np.asarray(self.shape) - 1) / 2)

    def box_around(self, center_mm: ArrayLike, radius_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Opposite corners, world mm, of a cube of side ``2 * radius_mm``, cut to `bounds_mm`."""
        center = np.asarray(center_mm, float)
        low, high = self.bounds_mm
        return np.maximum(center - radius_mm, low), np.minimum(center + radius_mm, high)

    def ball(self, center_mm: ArrayLike, radius_mm: float) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """Find the cells of a ball: slices of a box that holds it, and a mask of that box."""
        middle, reach = self.to_index(center_mm), radius_mm / self.spacing_mm
        low = np.clip(np.floor(middle - reach), 0, self.shape).astype(int)
        high = np.clip(np.ceil(middle + reach) + 1, low, self.shape).astype(int)
        index = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1)
        away = np.linalg.norm(self.to_world(index) - np.asarray(center_mm, float), axis=-1)
        return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), away <= radius_mm

    def box_of(self, other: "Grid") -> tuple[slice, ...] | None:
        """Find the box of cells that may lie between the outer edges of another grid; None without any."""
        index = self.to_index(other.to_world(geometry.box_corners([(-0.5, n - 0.5) for n in other.shape])))
        low = np.clip(np.floor(index.min(0)), 0, self.shape).astype(int)
        high = np.clip(np.ceil(index.max(0)) + 1, 0, self.shape).astype(int)
        return tuple(slice(a, b) for a, b in zip(low, high, strict=True)) if (low < high).all() else None

    def crop(self, box: tuple[slice, ...]) -> "Grid":
        """Make the grid of a box of cells: slices with start and stop."""
        z, y, x = (int(part.stop - part.start) for part in box)
        return Grid((z, y, x), self.affine @ geometry.translate([part.start for part in box]))

    def contains(self, position_mm: ArrayLike) -> NDArray[np.bool_]:
        """Whether positions lie between the outer edges of the voxels, shape (...)."""
        index = self.to_index(position_mm)
        tolerance = 1e-6
        return np.all((index >= -0.5 - tolerance) & (index <= np.asarray(self.shape) - 0.5 + tolerance), axis=-1)

    def require_inside(self, position_mm: ArrayLike, where: object = None) -> None:
        """Raise `OutsideVolumeError`, with the bounds in mm, for positions outside; `InputError` for invalid ones."""
        for point in as_positions(position_mm, where):
            with np.errstate(over="ignore", invalid="ignore"):  # infinity is outside, not a warning
                inside = bool(self.contains(point))
            if not inside:
                low, high = self.bounds_mm
                bounds = ", ".join(f"{axis} {a:.1f}..{b:.1f}" for axis, a, b in zip("RAS", low, high, strict=True))
                raise OutsideVolumeError(
                    "point outside the volume",
                    where=where,
                    found=", ".join(f"{v:g}" for v in point),
                    expected=f"mm within {bounds}",
                )

    @property
    def bounds_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest world coordinates of the outer voxel edges, each of shape (3,)."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        corners = self.to_world(geometry.box_corners(ends))
        return corners.min(0), corners.max(0)

    def subsample(self, spacing_mm: float) -> "tuple[Grid, tuple[slice, ...]]":
        """Take every so many samples of each axis that they are about `spacing_mm` apart.

        Returns
        -------
        grid : Grid
        taken : tuple of slice
            Select the samples from an array on this grid.
        """
        steps = np.maximum(1, np.round(spacing_mm / self.spacing_mm)).astype(int)
        z, y, x = (int(-(-n // step)) for n, step in zip(self.shape, steps, strict=True))
        taken = tuple(slice(None, None, int(step)) for step in steps)
        return Grid((z, y, x), self.affine @ geometry.scale(steps)), taken

    def coarsen(self, stride: int) -> "Grid":
        """Make the grid of an encoder stage with this stride; the last cell may reach beyond this grid."""
        shape = tuple(-(-n // stride) for n in self.shape)
        return Grid(shape, geometry.coarsen(self.affine, stride))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class SourceGrid:
    """The grid of a file, and the reorientation to the ``(z, y, x)`` array.

    Parameters
    ----------
    shape : tuple of int
        In the file's own axis order.
    affine : (4, 4) float64 array
        File index to RAS+ mm.
    order, flips : tuple
        As `geometry.reorient` returned them for this file.
    header : object, optional
        Header of the file in the form of the module that read it; only `io` reads it.
    """

    shape: tuple[int, int, int]
    affine: Affine
    order: tuple[int, ...]
    flips: tuple[bool, ...]
    header: Any = None

    @classmethod
    def of(cls, shape: tuple[int, ...], affine: Affine, header: Any = None) -> "SourceGrid":
        """Make the grid of a file from its shape and affine."""
        order, flips = geometry.reorient(affine, AXIS_CODES)
        return cls(tuple(shape), np.asarray(affine, np.float64), order, flips, header)  # type: ignore[arg-type]

    @classmethod
    def for_array(cls, grid: Grid) -> "SourceGrid":
        """Make the grid of a new file, with axes R, A, S, for an array whose axes have any order and direction."""
        order, flips = geometry.reorient(grid.affine, ("R", "A", "S"))
        shape = tuple(grid.shape[axis] for axis in order)
        affine = geometry.reoriented_affine(grid.affine, grid.shape, order, flips)
        back = tuple(int(axis) for axis in np.argsort(order))
        return cls(shape, affine, back, tuple(flips[axis] for axis in back))  # type: ignore[arg-type]

    @property
    def grid(self) -> Grid:
        """The grid after reorientation."""
        shape = tuple(self.shape[axis] for axis in self.order)
        return Grid(shape, geometry.reoriented_affine(self.affine, self.shape, self.order, self.flips))  # type: ignore[arg-type]

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(i for i, flip in enumerate(self.flips) if flip)

    @property
    def is_trivial(self) -> bool:
        """Whether arrays in file order are the same after reorientation."""
        return self.order == (0, 1, 2) and not any(self.flips)

    def from_file(self, array: NDArray) -> NDArray:
        """Reorient an array in file order to ``(z, y, x)``: a view, no voxel is changed."""
        return np.flip(array.transpose(self.order), self._flipped)

    def to_file(self, array: NDArray) -> NDArray:
        """Invert `from_file`; axes beyond the third (RGB) stay last."""
        array = np.flip(array, self._flipped)
        back = tuple(np.argsort(self.order)) + tuple(range(3, array.ndim))
        return array.transpose(back)


@dataclass(frozen=True, eq=False)
class _OnGrid:
    data: NDArray
    grid: Grid
    name: str = "volume"
    path: Path | None = None
    source: SourceGrid | None = None

    def __post_init__(self) -> None:
        for value, kind, example in ((self.data, np.ndarray, "an array"), (self.grid, Grid, "a Grid")):
            if not isinstance(value, kind):
                raise InputError("wrong kind of content", where=self.name, found=_shown(value), expected=example)
        if self.data.shape != self.grid.shape:
            raise InputError("array and grid differ", where=self.name, found=self.data.shape, expected=self.grid.shape)

    @property
    def affine(self) -> Affine:
        """Index ``(z, y, x)`` to RAS+ mm."""
        return self.grid.affine

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.grid.shape

    @property
    def source_grid(self) -> SourceGrid:
        """Grid of the file; without a file, this grid with its axes in the usual order of NIfTI: R, A, S."""
        if self.source is not None:
            return self.source
        return SourceGrid.for_array(self.grid)


@dataclass(frozen=True, eq=False)
class Volume(_OnGrid):
    """A CT in Hounsfield units.

    Parameters
    ----------
    data : (z, y, x) array
        HU, int16 or float32. The readers return axes S, P, L: z grows to Superior, y to Posterior, x to Left. Other
        axes are allowed: encoders see the scan turned to S, P, L, and exports put every voxel where `grid` says.
    grid : Grid
    name : str
        Name for display.
    path : Path, optional
        File or folder that it was read from.
    source : SourceGrid, optional
        Grid and header of that file; exports go back to it.
    modality : str
        ``"CT"`` unless the file states another one.
    notes : tuple of str
        Notes for the user about how it was read.
    series : str, optional
        Where its folder holds several DICOM series: hash of the UID of this one, which `load_volume` takes for it.
    known_axes : str
        World axes whose direction in the patient is known, of ``"RAS"``. Without R, left and right may be swapped.
    """

    modality: str = "CT"
    notes: tuple[str, ...] = ()
    series: str | None = None
    known_axes: str = "RAS"


@dataclass(frozen=True, eq=False)
class LabelVolume(_OnGrid):
    """An integer map of structures; 0 is unlabeled.

    Parameters
    ----------
    names : dict of int to str
        Name of each value, if known.
    notes : tuple of str
        Notes for the user about how it was read.
    colors : dict of int to (int, int, int)
        Color of each value, 0 to 255, if known.
    """

    names: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    colors: dict[int, Color] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.issubdtype(self.data.dtype, np.integer):
            raise InputError(
                "label map is not integer", where=self.name, found=self.data.dtype, expected="an integer type"
            )


def _no_grid(shape: object, affine: object) -> InputError:
    found = f"shape {_shown(shape)} and affine {_shown(affine)}"
    return InputError("not a grid", found=found, expected="three whole numbers above 0, and a 4x4 matrix")


def _shown(value: object) -> str:
    return "an array" if isinstance(value, np.ndarray) else repr(value)[:60]


def as_positions(position_mm: ArrayLike, where: object = None) -> NDArray[np.float64]:
    """Convert world positions to an array (n, 3), or raise `InputError` for what cannot be positions."""
    try:
        points = np.atleast_2d(np.asarray(position_mm, float))
    except (TypeError, ValueError):
        points = np.empty((1, 0))
    if points.ndim != 2 or points.shape[1] != 3:
        found = repr(position_mm)[:60]
        raise InputError("not a position", where=where, found=found, expected="three numbers: x, y, z in mm, RAS+")
    return points


def labeled_voxels(data: NDArray[np.integer]) -> NDArray[np.intp]:
    """Flat indices of the voxels that are not 0: `numpy.flatnonzero`, many times faster if little is painted.

    Parameters
    ----------
    data : integer array
        Of any shape, in C order.
    """
    flat = np.ascontiguousarray(data).reshape(-1)
    word = 8 // flat.itemsize  # look at eight bytes at a time first
    whole = len(flat) // word * word
    words = np.flatnonzero(flat[:whole].view(np.uint64))
    if len(words) > whole // (4 * word):
        return np.flatnonzero(flat)
    inside = (words[:, None] * word + np.arange(word)).reshape(-1)
    return np.concatenate([inside[flat[inside] != 0], whole + np.flatnonzero(flat[whole:])])
