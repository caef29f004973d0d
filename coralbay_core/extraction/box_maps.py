"""Feature maps of a box of the model grid."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..features import FeatureMaps
from ..models.encoder import Encoder
from ..spatial import Grid
from .extraction_input import ExtractionInput
from .tiling import Box, Index, common_box, region_grid


def assemble(
    arrays: Mapping[int, NDArray[np.float16]], grid: Grid, body: NDArray[np.bool_], region: Box, encoder: Encoder
) -> FeatureMaps:
    """Make feature maps of a region of a model grid from its arrays."""
    inside = body[tuple(slice(a, b) for a, b in region)]
    return FeatureMaps.of(encoder, arrays, region_grid(grid, region), inside)


def tile_maps(start: Index, maps: Mapping[int, Tensor], scene: ExtractionInput, encoder: Encoder) -> FeatureMaps:
    """Make feature maps of the box of one tile, unblended."""
    box = common_box(scene.lattice.tile_box(start), scene.lattice.whole)
    shape = tuple(high - low for low, high in box)
    arrays = {
        stride: tile[(slice(None), *(slice(-(-n // stride)) for n in shape))].half().cpu().numpy()
        for stride, tile in maps.items()
    }
    return assemble(arrays, scene.grid, scene.body, box, encoder)
