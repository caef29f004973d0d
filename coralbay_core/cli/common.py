"""Steps shared by several commands: read scans, load the model, compute features."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..spatial import Volume
from .output import Progress, note

if TYPE_CHECKING:
    from ..extraction.cache import FeatureStore
    from ..features import FeatureMaps
    from ..models.encoder import Encoder


def open_ct(path: Path, series: str | None = None) -> Volume:
    """Read a CT and print its notes."""
    from ..io import load_volume

    volume = load_volume(path, series=series)
    for text in volume.notes:
        note(f"{path}: {text}")
    return volume


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
    strides: tuple[int, ...],
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
        memory_bytes=None if memory_gb is None else int(memory_gb * 1e9),
        watch=ExtractionCallbacks(Progress(title), outlook=lambda ahead: note(f"{title}: {ahead}"), say=note),
    )


def scans_in(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield a unique name and the path of every NIfTI file in a folder, or of the scan itself."""
    found = sorted(p for p in path.rglob("*.nii*") if p.name.endswith((".nii", ".nii.gz"))) if path.is_dir() else []
    if not found:
        yield path.name.removesuffix(".gz").removesuffix(".nii"), path
    for file in found:
        relative = file.relative_to(path).as_posix()
        yield relative.removesuffix(".gz").removesuffix(".nii").replace("/", "--"), file


def feature_summary(features: "FeatureMaps") -> dict[str, Any]:
    """Model, size and shapes of the features of a scan, as `embed` reports them."""
    return {
        "model": features.model,
        "bytes": features.size_bytes,
        "stages": {stride: {"shape": stage.shape} for stride, stage in features.stages.items()},
    }
