"""Steps that several commands take: open, load the model, compute features."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..volume import Volume
from .output import Progress, note

if TYPE_CHECKING:
    from ..encoder import Encoder
    from ..features import FeatureMaps


def open_ct(path: Path, series: str | None = None) -> Volume:
    """Read a CT and print what there is to note about it."""
    from ..volume_io import load_volume

    volume = load_volume(path, series=series)
    for text in volume.notes:
        note(f"{path}: {text}")
    return volume


def open_model(model: str | None, device: str) -> "Encoder":
    """The model that was asked for, or the default one."""
    from ..card import DEFAULT_MODEL
    from ..weights import load_encoder

    encoder = load_encoder(model or DEFAULT_MODEL, device=device)
    if notice := getattr(encoder, "notice", ""):
        note(notice)
    return encoder


def features_of(volume: Volume, encoder: "Encoder", strides: tuple[int, ...]) -> "FeatureMaps":
    """Features from disk or computed, with progress."""
    from ..pipeline import features_for

    return features_for(volume, encoder, strides=strides, progress=Progress(f"features of {volume.name}"))


def scans_in(path: Path) -> Iterator[tuple[str, Path]]:
    """Scans that a path stands for, by names that tell them apart."""
    found = sorted(p for p in path.rglob("*.nii*") if p.name.endswith((".nii", ".nii.gz"))) if path.is_dir() else []
    if not found:
        yield path.name.removesuffix(".gz").removesuffix(".nii"), path
    for file in found:
        relative = file.relative_to(path).as_posix()
        yield relative.removesuffix(".gz").removesuffix(".nii").replace("/", "--"), file
