"""What is ahead when features are computed: said once, before the user has waited for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models.encoder import Encoder
from ..spatial import Grid
from .extraction_input import ExtractionInput

if TYPE_CHECKING:
    from .tile_runner import TileRunner


def result_bytes(encoder: Encoder, grid: Grid, strides: Iterable[int]) -> int:
    """Size of the maps of a whole model grid, in float16."""
    cells = {stride: grid.coarsen(stride).shape for stride in strides}
    return sum(2 * encoder.channels[stride] * z * y * x for stride, (z, y, x) in cells.items())


@dataclass(frozen=True)
class ProgressEstimate:
    """An estimate, made after the first two tiles.

    Parameters
    ----------
    device, precision : str
    tiles : int
        To compute, those of the trial included.
    tiles_of_air : int
        Tiles of the scan that hold no body and are left out.
    tile_size : tuple of int
        Voxels of the model grid.
    tiles_a_pass : int
    seconds : float
        Still to wait.
    result_bytes : int
        Of the maps, in float16, as they are kept.
    tile_s : float
        Seconds that a tile took.
    """

    device: str
    precision: str
    tiles: int
    tiles_of_air: int
    tile_size: tuple[int, ...]
    tiles_a_pass: int
    seconds: float
    result_bytes: int
    tile_s: float

    @classmethod
    def of(cls, scene: ExtractionInput, runner: "TileRunner", *, tiles_left: int, tiles: int) -> "ProgressEstimate":
        """From a trial that a runner has made."""
        encoder = runner.encoder
        return cls(
            device=str(encoder.device),
            precision=str(encoder.precision).removeprefix("torch."),
            tiles=tiles,
            tiles_of_air=scene.tiles_of_air,
            tile_size=scene.lattice.size,
            tiles_a_pass=runner.batch,
            seconds=tiles_left * runner.tile_s,
            result_bytes=result_bytes(encoder, scene.grid, runner.strides),
            tile_s=runner.tile_s,
        )

    def __str__(self) -> str:
        size = " x ".join(map(str, self.tile_size))
        air = f", {self.tiles_of_air} more are air" if self.tiles_of_air else ""
        return (
            f"{self.device}, {self.precision}: {self.tiles} tiles of {size} voxels{air}; "
            f"about {self.seconds:.0f} s to go, {self.result_bytes / 1e6:.0f} MB to keep"
        )
