"""Steps that several commands take: open, load the model, compute features."""

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
