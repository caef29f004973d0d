"""The input of an extraction: HU on the model grid, the body mask, and the lattice of tiles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..models.encoder import Encoder
from ..spatial import Grid, Volume, geometry
from ..spatial.body_mask import body_mask
from ..spatial.preprocessing import model_grid, to_unit
from ..spatial.resampling import resample
from ..spatial.volume import AIR_HU
from .tiling import Box, Index, Lattice, body_box, make_lattice


@dataclass(frozen=True, eq=False)
class ExtractionInput:
    """The scan on the model grid, from which tiles are cut.

    Parameters
    ----------
    grid : Grid
        The model grid.
    hu : (z, y, x) float32 array
    body : (z, y, x) bool array
    lattice : Lattice
    window_hu : tuple of float
        HU that become 0 and 1.
    tiles_of_air : int
        Number of tiles that a lattice over the whole volume would have beyond those that are computed.
    """

    grid: Grid
    hu: NDArray[np.float32]
    body: NDArray[np.bool_]
    lattice: Lattice
    window_hu: tuple[float, float]
    tiles_of_air: int = 0

    @classmethod
    def of(cls, volume: Volume, encoder: Encoder, *, may_be_air: bool = False) -> "ExtractionInput":
        """Resample a volume for an encoder and find the body in it; raise if there is none, unless it may be air."""
        grid = model_grid(volume.grid, encoder.preprocessing.spacing_mm)
        hu = on_model_grid(volume, grid)
        body = body_mask(hu, encoder.preprocessing.spacing_mm)
        if not may_be_air:
            require_body(body, volume)
        tile, step = encoder.tiling.tile, encoder.tiling.step
        scene = cls(
            grid,
            hu,
            body,
            make_lattice(grid.shape, tile, step, body_box(body)),
            encoder.preprocessing.window_hu,
        )
        everywhere = make_lattice(grid.shape, tile, step)
        return replace(scene, tiles_of_air=len(everywhere.tiles()) - len(scene.tiles))

    @cached_property
    def tiles(self) -> list[Index]:
        """Tiles that hold some body. The others are never computed."""
        return [start for start in self.lattice.tiles() if holds(self.body, self.lattice.tile_box(start))]

    def tiles_for(self, boxes: Iterable[Box]) -> list[Index]:
        """List the tiles that some of the boxes need."""
        needed = {start for box in boxes for start in self.lattice.tiles(box)}
        return [start for start in self.tiles if start in needed]

    def inputs(self, starts: Sequence[Index]) -> Tensor:
        """Cut windowed crops (B, 1, z, y, x); beyond the high ends of the volume its edge is repeated."""
        size = self.lattice.size
        crops = []
        for start in starts:
            crop = self.hu[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))]
            pads = [(0, n - have) for n, have in zip(size, crop.shape, strict=True)]
            crops.append(to_unit(np.pad(crop, pads, mode="edge"), self.window_hu))
        return torch.from_numpy(np.stack(crops)[:, None])


def require_body(body: NDArray[np.bool_], volume: Volume) -> None:
    """Raise if a scan holds nothing that features could be computed of."""
    if body.any():
        return
    size_mm = " x ".join(f"{n:.3g}" for n in volume.grid.spacing_mm * volume.shape)
    raise InputError(
        "no body found",
        where=volume.path or volume.name,
        found=f"values {volume.data.min():g}..{volume.data.max():g} in {size_mm} mm",
        expected="a patient in Hounsfield units",
        hint="is it Hounsfield units, in mm?",
    )


def holds(body: NDArray[np.bool_], box: Box) -> bool:
    """Whether a box holds any body."""
    return bool(body[tuple(slice(low, high) for low, high in box)].any())


def on_model_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    """Resample HU to a model grid of the volume; around an oblique volume there is air."""
    aligned = geometry.is_axis_aligned(volume.affine)
    return resample(volume.data, volume.grid, grid, fill=None if aligned else AIR_HU)
