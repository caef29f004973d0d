"""Encoders by name, loaded when first needed."""

import sys
import threading
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

from coralbay_core.models.cards import ADAPTED, INSTALLABLE, WITHOUT_CARD, WITHOUT_WEIGHTS
from coralbay_core.models.names import split_variant as split_variant

if TYPE_CHECKING:
    from coralbay_core.models.encoder import Encoder


class Encoders:
    """Encoders by name, loaded once and only when work needs them.

    Parameters
    ----------
    device : str

    Attributes
    ----------
    asked : str
        Device of encoders that are loaded from now on.
    """

    def __init__(self, device: str) -> None:
        self.asked = device
        self._loaded: dict[tuple[str, str], Encoder] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> "Encoder":
        """Return an encoder by name; load it on first use."""
        from coralbay_core.models.loading import load_encoder

        with self._lock:
            wanted = name, self.asked
            if wanted not in self._loaded:
                self._loaded = {wanted: load_encoder(name, device=wanted[1])}
            return self._loaded[wanted]

    @property
    def device(self) -> str:
        """Device of the encoders; ``auto`` and ``gpu`` until torch is imported."""
        if self.asked not in ("auto", "gpu") or "torch" not in sys.modules:
            return self.asked
        from coralbay_core.models.encoder import resolve_device

        return str(resolve_device(self.asked))


def find_devices() -> tuple[str, ...]:
    """Return the devices that torch can use."""
    from coralbay_core.models.encoder import available_devices

    return available_devices()


def model_names() -> list[str]:
    """Return the names of all known models, those without a card last; without importing torch."""
    names = [entry.name for entry in (files("coralbay_core.models") / "cards").iterdir()]
    with_card = sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
    return [*with_card, *INSTALLABLE, *ADAPTED, *WITHOUT_WEIGHTS]


def has_variants(name: str) -> bool:
    """Whether a model has other forms, compact or whole."""
    return name not in WITHOUT_CARD


def about_model(name: str) -> tuple[str, str]:
    """Return summary and license of a model, empty for a file; without importing torch."""
    card = files("coralbay_core.models") / "cards" / f"{name}.toml"
    if not card.is_file():
        return WITHOUT_CARD.get(name, ""), ""
    content = tomllib.loads(card.read_text("utf-8"))
    license = content["license"] + (", not for commercial use" if content.get("noncommercial") else "")
    return content["summary"], f"License: {license}"
