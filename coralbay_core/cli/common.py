"""Steps shared by several commands: read scans, load the model, compute features."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..spatial import LabelVolume, Volume
from . import options
from .output import Progress, note

if TYPE_CHECKING:
    from ..extraction.cache import FeatureStore
    from ..features import FeatureMaps
    from ..models.encoder import Encoder


def open_ct(path: Path, series: str | None = None) -> Volume:
    """Read a CT and print its notes."""
    from ..io import load_volume

    volume = load_volume(path, series=series)
    _print_notes(path, volume.notes)
    return volume


def open_labels(path: Path, like: Volume | LabelVolume | None = None) -> LabelVolume:
    """Read a label map, on the grid of `like` if it is given, and print its notes."""
    from ..io import load_labels

    labels = load_labels(path, like=like)
    _print_notes(path, labels.notes)
    return labels


def _print_notes(path: Path, notes: Iterable[str]) -> None:
    for text in notes:
        note(f"{path}: {text}")


def open_model(model: str | None, device: str) -> "Encoder":
    """Load a model, by default the default one, and print its license notice."""
    encoder = encoder_for(model, device)
    if encoder.notice:
        note(encoder.notice)
    return encoder


def encoder_for(model: str | None, device: str) -> "Encoder":
    """Load a model, by default the default one, and print nothing."""
    from ..models.loading import load_encoder
    from ..models.names import DEFAULT_MODEL

    return load_encoder(model or DEFAULT_MODEL, device=device)


def store_of(out: Path | None) -> "FeatureStore | bool":
    """Return True for the user's cache, or a store in a given folder, which is never pruned."""
    from ..extraction.cache import FeatureStore

    return True if out is None else FeatureStore(out, limit_bytes=sys.maxsize)


def features_of(
    volume: Volume,
    encoder: "Encoder",
    strides: tuple[int, ...] | None,
    *,
    out: Path | None = None,
    name: str | None = None,
    roi: tuple[NDArray, NDArray] | None = None,
    focus: NDArray | None = None,
    memory_gb: float | None = None,
) -> "FeatureMaps":
    """Load or compute features; print progress and the estimated remaining time."""
    from ..extraction.pipeline import features_for
    from ..extraction.sliding_window import ExtractionCallbacks

    if focus is not None:
        volume.grid.require_inside(focus, where="--first")
    title = f"features of {name or volume.name}"
    return features_for(
        volume,
        encoder,
        strides=strides,
        roi_mm=roi,
        focus_mm=focus,
        store=store_of(out),
        name=name if out else None,
        memory_bytes=options.memory_bytes(memory_gb),
        watch=ExtractionCallbacks(Progress(title), outlook=lambda ahead: note(f"{title}: {ahead}"), say=note),
    )


def require_outputs(outputs: Iterable[Path | None], *inputs: Path | None, labels: Iterable[Path | None] = ()) -> None:
    """Raise unless results and the provenance files beside them can be written, and none of them over an input.

    Parameters
    ----------
    outputs : iterable of Path or None
        Files to write; None passes.
    *inputs : Path or None
        Files and folders that the command reads.
    labels : iterable of Path or None
        Label maps that it reads, together with their names.
    """
    from ..io import require_apart, require_no_input, require_place
    from ..io.nifti import stem
    from ..provenance import beside

    chosen = [path for path in outputs if path is not None]
    maps = [path for path in labels if path is not None]
    read = [*inputs, *maps, *(path.parent / f"{stem(path)}.json" for path in maps)]
    require_apart(chosen, read)
    for path in chosen:
        require_place(path)
    require_no_input([beside(path) for path in chosen], read)


def weights_files(model: str | None) -> tuple[Path, ...]:
    """Files of a model that was given by its path."""
    if not model:
        return ()
    from ..models.loading import basis_path, is_path
    from ..models.names import split_variant

    base = split_variant(model)[0]
    return (Path(base), basis_path(base)) if is_path(base) else ()


def feature_summary(features: "FeatureMaps") -> dict[str, Any]:
    """Model, size and shapes of the features of a scan, as `embed` reports them."""
    return {
        "model": features.model,
        "bytes": features.size_bytes,
        "stages": {stride: {"shape": stage.shape} for stride, stage in features.stages.items()},
    }
