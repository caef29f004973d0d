"""What jobs do: functions of their arguments that call the core and may run on any thread."""

import sys
import threading
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.cards import WITHOUT_WEIGHTS
from coralbay_core.volume import Grid, Volume

from .jobs import Report
from .state import HeatResult, ScoreScale

if TYPE_CHECKING:
    from coralbay_core.across import FollowUp, Landmark
    from coralbay_core.encoder import Encoder
    from coralbay_core.features import FeatureMaps
    from coralbay_core.phantom import Phantom
    from coralbay_core.similarity import HeatMap
    from coralbay_core.symmetry import Midplane, SideBySide

    from .asking import HeatRequest

Cancelled = Callable[[], bool]

TOP_REGIONS = 10
VARIANTS = (":compact", ":whole")  # of the core, where they cannot be read without importing torch


class Encoders:
    """Encoders by name, loaded once and only when work needs them.

    Parameters
    ----------
    device : str

    Attributes
    ----------
    asked : str
        Device of the encoders that are asked for from now on.
    """

    def __init__(self, device: str) -> None:
        self.asked = device
        self._loaded: dict[tuple[str, str], Encoder] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> "Encoder":
        from coralbay_core.weights import load_encoder

        with self._lock:
            wanted = name, self.asked
            if wanted not in self._loaded:
                self._loaded = {wanted: load_encoder(name, device=wanted[1])}
            return self._loaded[wanted]

    @property
    def device(self) -> str:
        """Where encoders run; ``auto`` stays so until torch, which knows, is there."""
        if self.asked != "auto" or "torch" not in sys.modules:
            return self.asked
        from coralbay_core.encoder import resolve_device

        return str(resolve_device(self.asked))


def find_devices(report: Report, cancelled: Cancelled) -> tuple[str, ...]:
    from coralbay_core.encoder import available_devices

    return available_devices()


def model_names() -> list[str]:
    """Names of the models that the package knows, those without weights last; found without importing torch."""
    names = [entry.name for entry in (files("coralbay_core") / "cards").iterdir()]
    return [*sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")), *WITHOUT_WEIGHTS]


def split_variant(model: str) -> tuple[str, str]:
    """A model without what may follow its name, and that: ``:compact``, ``:whole`` or nothing."""
    variant = next((variant for variant in VARIANTS if model.endswith(variant)), "")
    return model.removesuffix(variant), variant


def about_model(name: str) -> tuple[str, str]:
    """Summary and license of a model, empty for a file; found without importing torch."""
    card = files("coralbay_core") / "cards" / f"{name}.toml"
    if name in WITHOUT_WEIGHTS or not card.is_file():
        return WITHOUT_WEIGHTS.get(name, ""), ""
    content = tomllib.loads(card.read_text("utf-8"))
    license = content["license"] + (", not for commercial use" if content.get("noncommercial") else "")
    return content["summary"], f"License: {license}"


def open_volume(path: Path, series: str | None, report: Report, cancelled: Cancelled) -> Volume:
    from coralbay_core.volume_io import load_volume

    return load_volume(path, series=series)


def make_phantom(report: Report, cancelled: Cancelled) -> "Phantom":
    from coralbay_core import phantom

    return phantom.make_phantom()


def heat(request: "HeatRequest", grid: Grid, report: Report, cancelled: Cancelled) -> HeatResult:
    from coralbay_core.similarity import auto_weights, make_query, merge_queries, search, top_regions

    positive, negative = (
        np.array(points, float).reshape(-1, 3) for points in (request.clicks.positive, request.clicks.negative)
    )
    made = [make_query(request.source, positive, negative)] if len(positive) else []
    query = merge_queries([*made, *request.queries])
    weights: Any = request.weights
    if weights == "auto":
        weights = auto_weights(request.source, positive, negative) if made else None
    features = request.target
    result = search(features, query, weights=weights, prior=_prior(features, request, positive))
    scale = ScoreScale(result.data[features.body_at(features.strides[0])])
    regions = tuple(top_regions(result, k=TOP_REGIONS))
    return HeatResult(result, result.on(grid), grid, scale, regions, request.clicks, request.partial)


def _prior(features: "FeatureMaps", request: "HeatRequest", positive: NDArray) -> Any:
    from coralbay_core.across import align
    from coralbay_core.similarity.prior import prior_around

    if request.prior_mm is None or not len(positive):
        return None
    expected = positive if request.source is features else align(request.source, features)(positive)
    return prior_around(expected, request.prior_mm)


def propagate(
    landmarks: "tuple[Landmark, ...]",
    source: "FeatureMaps",
    target: "FeatureMaps",
    weights: Any,
    prior_mm: float | None,
    report: Report,
    cancelled: Cancelled,
) -> "FollowUp":
    from coralbay_core import across

    return across.propagate(
        landmarks, source, target, weights=weights, prior_mm=prior_mm, progress=report, cancelled=cancelled
    )


def mirror(
    features: "FeatureMaps",
    position_mm: tuple[float, ...],
    plane: "Midplane | None",
    weights: Any,
    grid: Grid,
    report: Report,
    cancelled: Cancelled,
) -> "tuple[Midplane, SideBySide, NDArray[np.float32]]":
    from coralbay_core.symmetry import compare_sides, find_midplane

    plane = plane or find_midplane(features)
    sides = compare_sides(features, position_mm, plane=plane, weights=weights)
    return plane, sides, sides.heat.on(grid)


def save(
    path: Path,
    volume: Volume,
    make: Callable[[Grid], NDArray],
    features: "FeatureMaps | None",
    parameters: dict[str, Any],
    report: Report,
    cancelled: Cancelled,
) -> Path:
    from coralbay_core.provenance import provenance, write_provenance
    from coralbay_core.volume_io import save_map

    written = save_map(path, make(volume.grid), volume)
    origin = {} if features is None else {"model": features.model, "fingerprint": features.fingerprint}
    write_provenance(written, provenance(volume, **origin, **parameters))
    return written


def on_grid(result: "HeatMap | Any", grid: Grid) -> NDArray:
    """A heat or color map on another grid."""
    return result.on(grid)
