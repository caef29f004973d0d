"""Estimates of the cost of computing features: before the first tile, and after the first two."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models.encoder import Encoder, check_strides
from ..spatial import Grid, Volume
from ..util.cancellation import IsCancelled, check_cancelled
from .cache import FeatureStore, key_of, signature
from .extraction_input import ExtractionInput
from .kept_input import extraction_input

if TYPE_CHECKING:
    from .tile_runner import TileRunner


@dataclass(frozen=True, kw_only=True)
class _Estimate:
    """The fields that both estimates have.

    Parameters
    ----------
    device, precision : str
    tiles : int
        Tiles to compute.
    tiles_of_air : int
        Tiles of the scan that hold no body and are left out.
    tile_size : tuple of int
        Voxels of the model grid.
    result_bytes : int
        Size of the maps in float16, as they are kept.
    """

    device: str
    precision: str
    tiles: int
    tiles_of_air: int
    tile_size: tuple[int, ...]
    result_bytes: int

    def _work(self) -> str:
        size = " x ".join(map(str, self.tile_size))
        air = f", {self.tiles_of_air} more are air" if self.tiles_of_air else ""
        return f"{self.device}, {self.precision}: {self.tiles} tiles of {size} voxels{air}"

    def _result(self) -> str:
        return f"{self.result_bytes / 1e6:.0f} MB to keep"


@dataclass(frozen=True, kw_only=True)
class CostEstimate(_Estimate):
    """The cost of computing features, estimated before the first tile. No tile is to compute where all are on disk.

    Parameters
    ----------
    device, precision, tiles, tiles_of_air, tile_size, result_bytes
        As of `ProgressEstimate`.
    kept : float
        Share of the result that is on disk already.
    memory_bytes : int
        Upper bound for the scan on the model grid and one tile; 0 where nothing is to compute.
    seconds : float, optional
        Time to wait, where the time per tile is known.
    """

    kept: float = 0.0
    memory_bytes: int = 0
    seconds: float | None = None

    def __str__(self) -> str:
        if not self.tiles:
            return f"On disk already: {self.result_bytes / 1e6:.0f} MB to read, nothing to compute"
        kept = f"; {self.kept:.0%} is on disk already" if self.kept else ""
        time = "" if self.seconds is None else f"about {self.seconds:.0f} s, "
        return f"{self._work()}; {time}up to {self.memory_bytes / 1e9:.1f} GB of memory, {self._result()}{kept}"


@dataclass(frozen=True, kw_only=True)
class ProgressEstimate(_Estimate):
    """The time left, estimated after the first two tiles.

    Parameters
    ----------
    device, precision : str
    tiles : int
        Tiles to compute, those of the trial included.
    tiles_of_air : int
        Tiles of the scan that hold no body and are left out.
    tile_size : tuple of int
        Voxels of the model grid.
    result_bytes : int
        Size of the maps in float16, as they are kept.
    batch : int
        Tiles per pass.
    seconds : float
        Time left.
    tile_s : float
        Seconds per tile.
    """

    batch: int
    seconds: float
    tile_s: float

    @classmethod
    def of(cls, scene: ExtractionInput, runner: "TileRunner", *, tiles_left: int, tiles: int) -> "ProgressEstimate":
        """Estimate from a trial that a runner has made."""
        encoder = runner.encoder
        return cls(
            device=str(encoder.device),
            precision=_precision(encoder),
            tiles=tiles,
            tiles_of_air=scene.tiles_of_air,
            tile_size=scene.lattice.size,
            result_bytes=result_bytes(encoder, scene.grid, runner.strides),
            batch=runner.batch,
            seconds=tiles_left * runner.tile_s,
            tile_s=runner.tile_s,
        )

    def __str__(self) -> str:
        return f"{self._work()}; about {self.seconds:.0f} s to go, {self._result()}"


def result_bytes(encoder: Encoder, grid: Grid, strides: Iterable[int]) -> int:
    """Size of the maps of a whole model grid, in float16."""
    cells = {stride: grid.coarsen(stride).shape for stride in strides}
    return sum(2 * encoder.channels[stride] * z * y * x for stride, (z, y, x) in cells.items())


def forecast(
    volume: Volume,
    encoder: Encoder,
    *,
    strides: Collection[int] | None = None,
    store: FeatureStore | bool | None = True,
    tile_s: float | None = None,
    cancelled: IsCancelled | None = None,
) -> CostEstimate:
    """Estimate the cost of `features_for`; nothing is computed or removed.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    strides, store : optional
        As of `features_for`.
    tile_s : float, optional
        Seconds per tile with this encoder on its device, where they are known.
    cancelled : callable, optional
        Called before the scan is resampled; when it returns true, `Cancelled` is raised.
    """
    strides = check_strides(encoder, strides)
    found = FeatureStore() if store is True else store or None
    entry = None
    if found is not None:
        wanted = signature(volume, encoder)
        entry = found.open(key_of(wanted), wanted)
    missing, kept = None, 0.0
    if entry is not None:
        needed = entry.needed(entry.whole)
        missing = {chunk for chunk in needed if not all(entry.has(stride, chunk) for stride in strides)}
        kept = 1 - len(missing) / max(1, len(needed))
        if not missing:
            return CostEstimate(
                device=str(encoder.device),
                precision=_precision(encoder),
                tiles=0,
                tiles_of_air=0,
                tile_size=(),
                result_bytes=result_bytes(encoder, entry.grid, strides),
                kept=1.0,
            )
    check_cancelled(cancelled, "estimate")
    scene = extraction_input(volume, encoder)
    tiles = scene.tiles if missing is None else scene.tiles_for([scene.lattice.chunk_box(chunk) for chunk in missing])
    return CostEstimate(
        device=str(encoder.device),
        precision=_precision(encoder),
        tiles=len(tiles),
        tiles_of_air=scene.tiles_of_air,
        tile_size=scene.lattice.size,
        result_bytes=result_bytes(encoder, scene.grid, strides),
        kept=kept,
        memory_bytes=scene.hu.nbytes + encoder.working_bytes(scene.lattice.size),
        seconds=None if tile_s is None else len(tiles) * tile_s,
    )


def _precision(encoder: Encoder) -> str:
    return str(encoder.precision).removeprefix("torch.")
