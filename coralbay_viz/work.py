"""What jobs do: functions of their arguments that call the core and may run on any thread."""

import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.cards import WITHOUT_WEIGHTS
from coralbay_core.volume import Grid, Volume

from .jobs import Report
from .state import Clicks, HeatResult, ScoreScale

if TYPE_CHECKING:
    from coralbay_core.encoder import Encoder
    from coralbay_core.features import FeatureMaps
    from coralbay_core.phantom import Phantom
    from coralbay_core.similarity import HeatMap

Cancelled = Callable[[], bool]

TOP_REGIONS = 10


class Encoders:
    """Encoders by name, loaded once and only when work needs them.

    Parameters
    ----------
    device : str
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._loaded: dict[str, Encoder] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> "Encoder":
        from coralbay_core.weights import load_encoder

        with self._lock:
            if name not in self._loaded:
                self._loaded = {name: load_encoder(name, device=self._device)}
            return self._loaded[name]


def model_names() -> list[str]:
    """Names of the models that the package knows, those without weights last; found without importing torch."""
    names = [entry.name for entry in (files("coralbay_core") / "cards").iterdir()]
    return [*sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")), *WITHOUT_WEIGHTS]


def open_volume(path: Path, series: str | None, report: Report, cancelled: Cancelled) -> Volume:
    from coralbay_core.volume_io import load_volume

    return load_volume(path, series=series)


def make_phantom(report: Report, cancelled: Cancelled) -> "Phantom":
    from coralbay_core import phantom

    return phantom.make_phantom()


def compute_features(
    volume: Volume, encoders: Encoders, model: str, store: Any, report: Report, cancelled: Cancelled
) -> "FeatureMaps":
    from coralbay_core.pipeline import features_for

    return features_for(volume, encoders.get(model), store=store, progress=report, cancelled=cancelled)


def heat(features: "FeatureMaps", clicks: Clicks, grid: Grid, report: Report, cancelled: Cancelled) -> HeatResult:
    from coralbay_core.similarity import heat_map, top_regions

    result = heat_map(features, np.array(clicks.positive), np.array(clicks.negative).reshape(-1, 3))
    scale = ScoreScale(result.data[features.body_at(features.strides[0])])
    regions = tuple(top_regions(result, k=TOP_REGIONS))
    return HeatResult(result, result.on(grid), grid, scale, regions, clicks)


def save(path: Path, volume: Volume, make: Callable[[Grid], NDArray], report: Report, cancelled: Cancelled) -> Path:
    from coralbay_core.volume_io import save_map

    return save_map(path, make(volume.grid), volume)


def on_grid(result: "HeatMap | Any", grid: Grid) -> NDArray:
    """A heat or color map on another grid."""
    return result.on(grid)
