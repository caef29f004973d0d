"""Descriptors of a scan at 8 bits: its heat maps without its features, in a tenth of the space.

Only the cells of the body and those that are interpolated between them are stored. A unit vector is stored as integers
and one scale, which changes cosines by about a thousandth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.descriptors import stage_descriptors
from ..features.linear_maps import stage_matrices
from ..similarity import Query, Region
from ..similarity.heat import contrasted
from ..similarity.regions import regions_of
from ..similarity.stage_weights import resolve_weights
from ..spatial import Grid
from ..util.tensor_file import read_tensors, write_tensors

_KIND, _VERSION = "scan maps", 1
_STEPS = 127
_MOST_CELLS = 500_000_000
_BLOCK = 16_384
_PROTOTYPES = 8  # at a time: each is a map of the whole scan


@dataclass(frozen=True, eq=False)
class StageRows:
    """Unit vectors of some cells of a stage.

    Parameters
    ----------
    cells : (N,) int32 array
        Flat indices on the grid of the stage, ascending.
    rows : (N, C) int8 array
    scale : (N,) float32 array
        Factor of each row.
    """

    cells: NDArray[np.int32]
    rows: NDArray[np.int8]
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, unit: NDArray[np.float32], kept: NDArray[np.bool_]) -> "StageRows":
        """Round the vectors (C, z, y, x) of the cells of a mask."""
        cells = np.flatnonzero(kept).astype(np.int32)
        rows = unit.reshape(len(unit), -1)[:, cells].T
        largest = np.maximum(np.abs(rows).max(1, keepdims=True), np.float32(1e-6))
        rounded = np.rint(rows * (np.float32(_STEPS) / largest))
        # The scale keeps the length, and so what is most alike stays so: its cosines change least.
        scale = np.linalg.norm(rows, axis=1) / np.maximum(np.linalg.norm(rounded, axis=1), 1)
        return cls(cells, rounded.astype(np.int8), scale.astype(np.float32))

    def cosines(self, prototypes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Products (K, N) of the vectors and prototypes (K, C)."""
        out = np.empty((len(prototypes), len(self.rows)), np.float32)
        for start in range(0, len(self.rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            np.matmul(prototypes, self.rows[part].astype(np.float32).T, out=out[:, part])
        return np.multiply(out, self.scale, out=out)


@dataclass(frozen=True, eq=False)
class ScanMaps:
    """Descriptors of a scan at 8 bits.

    Parameters
    ----------
    grid : Grid
        The model grid.
    stages : dict of int to StageRows
        By stride; of the finest stage the cells of the body.
    """

    grid: Grid
    stages: Mapping[int, StageRows]

    @classmethod
    def of(cls, features: FeatureMaps) -> "ScanMaps":
        """Round the descriptors of a scan."""
        finest = features.strides[0]
        body = features.body_at(finest)
        stages = {}
        for stride in features.strides:
            grid = features.stages[stride].grid
            kept = body if stride == finest else _cells_around(body, grid.shape, stride, finest)
            stages[stride] = StageRows.of(stage_descriptors(features, stride).unit, kept)
        return cls(features.grid, stages)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the stages, from fine to coarse."""
        return tuple(sorted(self.stages))

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels per stride, from fine to coarse."""
        return {stride: self.stages[stride].rows.shape[1] for stride in self.strides}

    def __len__(self) -> int:
        return len(self.stages[self.strides[0]].cells)

    def shape_of(self, stride: int) -> tuple[int, int, int]:
        """Shape of the grid of a stage."""
        z, y, x = (-(-n // stride) for n in self.grid.shape)
        return z, y, x

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Cells of the finest grid that belong to the body."""
        mask = np.zeros(self.shape_of(self.strides[0]), bool)
        mask.flat[self.stages[self.strides[0]].cells] = True
        return mask

    def scores(self, query: Query, weights: Mapping[int, float] | None = None) -> NDArray[np.float32]:
        """Compute the scores (N,) of the cells of the body that the heat map of `similarity.search` has."""
        if (found := {s: query.positive[s].shape[1] for s in query.strides if s in self.stages}) != self.channels:
            raise InputError("query does not fit the maps of a scan", found=found, expected=self.channels)
        shares = resolve_weights(weights if weights is not None else query.weights, self, query)  # type: ignore[arg-type]
        scores = self._best_cosine(query.positive, shares)
        return contrasted(scores, self._best_cosine(query.negative, shares)) if query.has_negative else scores

    def regions(self, scores: NDArray[np.float32], count: int) -> list[Region]:
        """Find the best distinct regions, given the scores of the cells of the body."""
        inside, data = self.inside, np.zeros(self.shape_of(self.strides[0]), np.float32)
        data[inside] = scores
        return regions_of(data, inside, self.grid.coarsen(self.strides[0]), count)

    def _best_cosine(
        self, prototypes: Mapping[int, NDArray[np.float32]], shares: Mapping[int, float]
    ) -> NDArray[np.float32]:
        count = len(next(iter(prototypes.values())))
        parts = (slice(start, start + _PROTOTYPES) for start in range(0, count, _PROTOTYPES))
        return np.max([self._cosine({s: w * prototypes[s][part] for s, w in shares.items()}) for part in parts], 0)

    def _cosine(self, rows: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Highest sum, over the stages, of products of cells and some prototypes (K, C)."""
        finest, *coarser = self.strides
        cells, shape = self.stages[finest].cells, self.shape_of(finest)
        total = np.zeros((len(next(iter(rows.values()))), math.prod(shape)), np.float32)
        for stride in set(coarser) & set(rows):
            own = self.shape_of(stride)
            values = np.zeros((len(total), math.prod(own)), np.float32)
            values[:, self.stages[stride].cells] = self.stages[stride].cosines(rows[stride])
            z, y, x = stage_matrices(own, stride, shape, finest)
            planes = y @ (values.reshape(-1, *own) @ x.T)
            total += (z @ planes.reshape(len(total), own[0], -1)).reshape(len(total), -1)
        found = total[:, cells]
        if finest in rows:
            found += self.stages[finest].cosines(rows[finest])
        return found.max(0)

    def save(self, path: Path, about: Mapping[str, Any]) -> Path:
        """Write a file, atomically."""
        arrays: dict[str, NDArray] = {}
        for stride, stage in self.stages.items():
            arrays |= {f"cells.{stride}": stage.cells, f"rows.{stride}": stage.rows, f"scale.{stride}": stage.scale}
        described = {"shape": list(self.grid.shape), "affine": self.grid.affine.tolist(), "strides": self.strides}
        return write_tensors(path, _KIND, _VERSION, arrays, dict(about) | described)


def load_scan_maps(path: Path) -> tuple[ScanMaps, dict[str, Any]]:
    """Load what `ScanMaps.save` wrote: the maps, and the description that came with them.

    Raises
    ------
    MissingFileError, InputError
    """
    arrays, about = read_tensors(path, _KIND, _VERSION)
    try:
        strides = [int(stride) for stride in about["strides"]]
        stages = {s: StageRows(*(arrays[f"{name}.{s}"] for name in ("cells", "rows", "scale"))) for s in strides}
        made = ScanMaps(Grid(tuple(about["shape"]), np.array(about["affine"], float)), stages)
        if not strides or min(strides) < 1 or math.prod(made.shape_of(min(strides))) > _MOST_CELLS:
            raise ValueError("unexpected grid")
        for stride, stage in stages.items():
            _require_fit(stage, made.shape_of(stride))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            "damaged maps of a scan", where=path, found=f"{type(error).__name__}: {error}"[:120]
        ) from error
    return made, about


def _cells_around(mask: NDArray[np.bool_], shape: tuple[int, int, int], stride: int, finest: int) -> NDArray[np.bool_]:
    """Mask of the cells of a stage that are interpolated between for some cells of the finest one."""
    matrices = stage_matrices(shape, stride, mask.shape, finest)  # type: ignore[arg-type]
    z, y, x = ((matrix != 0).astype(np.float32) for matrix in matrices)
    return np.tensordot(z.T, y.T @ (mask.astype(np.float32) @ x), 1) > 0


def _require_fit(stage: StageRows, shape: tuple[int, int, int]) -> None:
    count, cells = len(stage.cells), stage.cells
    if stage.rows.ndim != 2 or len(stage.rows) != count or stage.scale.shape != (count,):
        raise ValueError("unexpected shapes")
    if (cells.dtype, stage.rows.dtype, stage.scale.dtype) != (np.int32, np.int8, np.float32):
        raise ValueError("unexpected types")
    if not count or cells[0] < 0 or cells[-1] >= math.prod(shape) or (cells[1:] <= cells[:-1]).any():
        raise ValueError("unexpected cells")
