"""Reading volumes and writing maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume

from ..model.grids import viewing_volume

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.phantom import Phantom
    from coralbay_core.similarity import HeatMap


def open_volume(path: Path, series: str | None) -> Volume:
    """Read a scan, and resample one that no viewer can slice as it is."""
    from coralbay_core.io import load_volume

    volume = freeze(load_volume(path, series=series))
    viewing_volume(volume)
    return volume


def freeze(volume: Volume) -> Volume:
    """Forbid writing to the voxels of a volume that nobody else holds: its hash and resampled HU are computed once."""
    volume.data.setflags(write=False)
    return volume


def make_phantom() -> "Phantom":
    """Create the synthetic torso."""
    from coralbay_core import phantom

    made = phantom.make_phantom()
    freeze(made.volume)
    return made


def save(
    path: Path,
    volume: Volume,
    make: Callable[[Grid], NDArray | LabelVolume],
    features: "FeatureMaps | None",
    parameters: dict[str, Any],
) -> Path:
    """Write a map or labels on the scan's grid, with its provenance in a file beside it."""
    from coralbay_core.io import save_labels, save_map
    from coralbay_core.provenance import provenance, write_provenance

    made = make(volume.grid)
    if isinstance(made, LabelVolume):
        written = save_labels(path, replace(made, source=volume.source_grid))
    else:
        written = save_map(path, made, volume)
    origin = {} if features is None else {"model": features.model, "fingerprint": features.fingerprint}
    write_provenance(written, provenance(volume, **origin, **parameters))
    return written


def save_points(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write named positions."""
    from coralbay_core.matching import write_landmarks

    return write_landmarks(path, rows)


def on_grid(result: "HeatMap | Any", grid: Grid) -> NDArray:
    """Resample a heat or color map to another grid."""
    return result.resample_to(grid)
