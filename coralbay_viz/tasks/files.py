"""Reading volumes and writing maps."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from coralbay_core.spatial import Grid, Volume

from ..model.grids import viewing_volume

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.phantom import Phantom
    from coralbay_core.similarity import HeatMap


def open_volume(path: Path, series: str | None) -> Volume:
    """Read a scan, and resample one that no viewer can slice as it is."""
    from coralbay_core.io import load_volume

    volume = load_volume(path, series=series)
    viewing_volume(volume)
    return volume


def make_phantom() -> "Phantom":
    """Create the synthetic torso."""
    from coralbay_core import phantom

    return phantom.make_phantom()


def save(
    path: Path,
    volume: Volume,
    make: Callable[[Grid], NDArray],
    features: "FeatureMaps | None",
    parameters: dict[str, Any],
) -> Path:
    """Write a map on the scan's grid, with its provenance in a file beside it."""
    from coralbay_core.io import save_map
    from coralbay_core.provenance import provenance, write_provenance

    written = save_map(path, make(volume.grid), volume)
    origin = {} if features is None else {"model": features.model, "fingerprint": features.fingerprint}
    write_provenance(written, provenance(volume, **origin, **parameters))
    return written


def on_grid(result: "HeatMap | Any", grid: Grid) -> NDArray:
    """Resample a heat or color map to another grid."""
    return result.resample_to(grid)
