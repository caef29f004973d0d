"""What computing the features of a scan would take, found out without computing any."""

from collections.abc import Collection
from dataclasses import dataclass

from ..models.encoder import Encoder, check_strides
from ..spatial import Volume
from .cache import FeatureStore, key_of, signature
from .extraction_input import ExtractionInput
from .progress_estimate import result_bytes
from .sliding_window import DEFAULT_STRIDES


@dataclass(frozen=True)
class CostEstimate:
    """What is known before the first tile; `ProgressEstimate` says the rest after two.

    Parameters
    ----------
    device, precision : str
    tiles : int
        To compute; 0 where all of it is kept on disk.
    tiles_of_air : int
        Tiles of the scan that hold no body and are left out.
    tile_size : tuple of int
        Voxels of the model grid.
    kept : float
        Share of the result that is on disk already.
    memory_bytes : int
        What the scan on the model grid and one tile take, from above; 0 where nothing is to compute.
    result_bytes : int
        Of the maps, in float16, as they are kept.
    seconds : float, optional
        To wait, where it is known how long a tile takes.
    """

    device: str
    precision: str
    tiles: int
    tiles_of_air: int
    tile_size: tuple[int, ...]
    kept: float
    memory_bytes: int
    result_bytes: int
    seconds: float | None = None

    def __str__(self) -> str:
        if not self.tiles:
            return f"On disk already: {self.result_bytes / 1e6:.0f} MB to read, nothing to compute"
        size = " x ".join(map(str, self.tile_size))
        air = f", {self.tiles_of_air} more are air" if self.tiles_of_air else ""
        kept = f"; {self.kept:.0%} is on disk already" if self.kept else ""
        time = "" if self.seconds is None else f"about {self.seconds:.0f} s, "
        return (
            f"{self.device}, {self.precision}: {self.tiles} tiles of {size} voxels{air}; {time}up to "
            f"{self.memory_bytes / 1e9:.1f} GB of memory, {self.result_bytes / 1e6:.0f} MB to keep{kept}"
        )


def forecast(
    volume: Volume,
    encoder: Encoder,
    *,
    strides: Collection[int] = DEFAULT_STRIDES,
    store: FeatureStore | bool | None = True,
    tile_s: float | None = None,
) -> CostEstimate:
    """What `features_for` would take; nothing is computed or removed.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    strides : collection of int
    store : FeatureStore or bool
        As of `features_for`.
    tile_s : float, optional
        Seconds that a tile takes with this encoder on its device, where that is known.
    """
    strides = check_strides(encoder, strides)
    device, precision = str(encoder.device), str(encoder.precision).removeprefix("torch.")
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
            size = result_bytes(encoder, entry.grid, strides)
            return CostEstimate(device, precision, 0, 0, (), 1.0, 0, size)
    scene = ExtractionInput.of(volume, encoder)
    tiles = scene.tiles if missing is None else scene.tiles_for([scene.lattice.chunk_box(chunk) for chunk in missing])
    memory = scene.hu.nbytes + encoder.working_bytes(scene.lattice.size)
    size = result_bytes(encoder, scene.grid, strides)
    seconds = None if tile_s is None else len(tiles) * tile_s
    return CostEstimate(
        device, precision, len(tiles), scene.tiles_of_air, scene.lattice.size, kept, memory, size, seconds
    )
