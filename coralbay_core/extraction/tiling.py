"""The lattice of a sliding window: positions of tiles, and the chunks of the result.

Tiles start at multiples of the coarsest stride of the *whole* model grid, whichever region is computed: features of a
voxel depend on the position of its window (instance norm, padding, window phase), so a region must have the windows of
the whole scan, and every stage of neighboring tiles must fall on one common grid. They cover the body and not
the room around it. Results are written and read in chunks, which lie on a grid of their own, also fixed to the volume.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..spatial import Grid, geometry

CELL = 32
"""Coarsest stride; tiles and chunks start on multiples of it."""

CHUNK = 96
"""Side of a chunk in voxels of the model grid: three cells of stride 32, 0.6 MB at stride 4 and 24 channels."""

Index = tuple[int, int, int]

Box = tuple[tuple[int, int], ...]
"""First and last + 1 voxel of the model grid along z, y, x."""


@dataclass(frozen=True)
class Lattice:
    """Tiles and chunks over a model grid.

    Parameters
    ----------
    shape : tuple of int
        Of the model grid.
    size : tuple of int
        Of every tile.
    starts : tuple of tuples of int
        Starts of tiles along each axis.
    chunk : int
        Side of a chunk.
    """

    shape: Index
    size: Index
    starts: tuple[tuple[int, ...], ...]
    chunk: int = CHUNK

    def tiles(self, region: Box | None = None) -> list[Index]:
        """List the starts of the tiles that touch a region, in the order of memory."""
        starts = [(z, y, x) for z, y, x in product(*self.starts)]
        return starts if region is None else [start for start in starts if _overlap(self.tile_box(start), region)]

    def tile_box(self, start: Index) -> Box:
        """Box of a tile, padding included."""
        return tuple((s, s + n) for s, n in zip(start, self.size, strict=True))

    def chunks(self, region: Box | None = None) -> list[Index]:
        """List the chunks that touch a region, by their index in the grid of chunks."""
        box = self.whole if region is None else region
        ranges = [range(low // self.chunk, -(-high // self.chunk)) for low, high in box]
        return list(product(*ranges))  # type: ignore[arg-type]

    def chunk_box(self, chunk: Index) -> Box:
        """Box of a chunk in the model grid, at whose ends the last chunks are cut."""
        return tuple((c * self.chunk, min((c + 1) * self.chunk, n)) for c, n in zip(chunk, self.shape, strict=True))

    @property
    def whole(self) -> Box:
        """Box of the whole model grid."""
        return tuple((0, n) for n in self.shape)


def _overlap(a: Box, b: Box) -> bool:
    return all(low < high_b and high > low_b for (low, high), (low_b, high_b) in zip(a, b, strict=True))


def common_box(a: Box, b: Box) -> Box:
    """Box that two boxes have in common; some of its ends lie before its starts where they have none."""
    return tuple((max(low, low_b), min(high, high_b)) for (low, high), (low_b, high_b) in zip(a, b, strict=True))


def make_lattice(shape: tuple[int, ...], tile: int, step: int, within: Box | None = None) -> Lattice:
    """Make a lattice over a volume of `shape`, or over the part of it that holds the body.

    The part is grown to whole cells at either end (thin ones to two cells, which may reach beyond the volume). The last
    tile of an axis is moved back to end with it, still on a multiple of the cell. A larger `tile` is cut: then
    one pass covers all.

    Parameters
    ----------
    shape : tuple of int
        Of the model grid.
    tile, step : int
        Voxels, multiples of the cell.
    within : Box, optional
        Box that tiles have to cover; by default the volume.
    """
    if tile % CELL or step % CELL or not 0 < step <= tile:
        raise InputError(
            "tile and step do not fit the strides", found=(tile, step), expected=f"multiples of {CELL}, step <= tile"
        )
    low = [start // CELL * CELL for start, _ in within or [(0, 0)] * len(shape)]
    high = [end for _, end in within or [(0, n) for n in shape]]
    padded = [max(-(-(end - start) // CELL) * CELL, 2 * CELL) for start, end in zip(low, high, strict=True)]
    size = tuple(min(tile, n) for n in padded)
    starts = tuple(
        tuple(sorted({first + min(start, n - side) for start in range(0, n - side + step, step)}))
        for first, n, side in zip(low, padded, size, strict=True)
    )
    return Lattice(tuple(shape), size, starts)  # type: ignore[arg-type]


def body_box(body: NDArray[np.bool_]) -> Box | None:
    """Smallest box that holds a mask; None if it is empty."""
    spans = [np.flatnonzero(body.any(axis=tuple(a for a in range(body.ndim) if a != axis))) for axis in range(3)]
    if not len(spans[0]):
        return None
    return tuple((int(span[0]), int(span[-1]) + 1) for span in spans)


def blending_weights(side: int, stride: int) -> NDArray[np.float32]:
    """Gaussian weight of each cell along one axis of a tile, sigma one eighth of the tile as in MONAI."""
    cells = side // stride
    distance = (np.arange(cells) - (cells - 1) / 2) / (cells / 8)
    return np.maximum(np.exp(-0.5 * distance**2), 1e-3).astype(np.float32)


def region_of(grid: Grid, roi_mm: tuple[ArrayLike, ArrayLike] | None) -> Box:
    """Region of the model grid that holds a box in world mm (two opposite corners), grown to whole cells."""
    if roi_mm is None:
        return tuple((0, n) for n in grid.shape)
    ends = list(zip(*(np.asarray(corner, float) for corner in roi_mm), strict=True))
    corners = grid.to_index(geometry.box_corners(ends))
    low = np.floor(np.clip(corners.min(0) + 0.5, 0, None) / CELL).astype(int) * CELL
    high = np.minimum(np.ceil((corners.max(0) + 0.5) / CELL).astype(int) * CELL, grid.shape)
    if (low >= high).any():
        bounds = np.round(np.stack(grid.bounds_mm), 1).tolist()
        raise InputError(
            "region lies outside the volume",
            found=[[float(v) for v in np.asarray(c)] for c in roi_mm],
            expected=f"mm within {bounds}",
        )
    return tuple((int(a), int(b)) for a, b in zip(low, high, strict=True))


def region_grid(grid: Grid, region: Box) -> Grid:
    """Cut a grid to a region."""
    shape = tuple(high - low for low, high in region)
    return Grid(shape, grid.affine @ geometry.translate([low for low, _ in region]))  # type: ignore[arg-type]


def nearest_first(lattice: Lattice, tiles: Iterable[Index], index: NDArray) -> list[Index]:
    """Sort tiles by the distance of their centers from an index of the model grid."""
    middle = np.asarray(lattice.size) / 2

    def distance(start: Index) -> float:
        return float(np.abs(np.asarray(start) + middle - index).max())

    return sorted(tiles, key=distance)


def stage_slices(box: Box, stride: int) -> tuple[slice, ...]:
    """Cells of a stage that a box of whole cells, or one that ends with the grid, holds."""
    return tuple(slice(low // stride, -(-high // stride)) for low, high in box)
