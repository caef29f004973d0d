"""Features of a scan and the estimate of their cost."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import Volume

from ..jobs import Report
from .encoders import Cancelled, Encoders

if TYPE_CHECKING:
    from coralbay_core.extraction.estimate import CostEstimate
    from coralbay_core.extraction.sliding_window import ExtractionCallbacks
    from coralbay_core.features import FeatureMaps


@dataclass(frozen=True)
class Listener:
    """Who hears of features while they are computed, where the session lives.

    Parameters
    ----------
    outlook, preview, say : callable
        As of `coralbay_core.extraction.sliding_window.Watch`.
    """

    outlook: Callable[[Any], Any]
    preview: Callable[[Any], Any]
    say: Callable[[str], Any]

    def watch(self, report: Report, cancelled: Cancelled) -> "ExtractionCallbacks":
        """What the work is watched by: each call takes the way of results."""
        from coralbay_core.extraction.sliding_window import ExtractionCallbacks

        calls = (partial(report.tell, call) for call in (self.outlook, self.preview, self.say))
        return ExtractionCallbacks(report, cancelled, *calls)


def look_ahead(
    volume: Volume,
    encoders: Encoders,
    model: str,
    store: Any,
    tile_s: dict[tuple[str, str], float],
    report: Report,
    cancelled: Cancelled,
) -> "CostEstimate | str":
    from coralbay_core.errors import Cancelled as Stopped
    from coralbay_core.extraction.estimate import forecast

    try:
        encoder = encoders.get(model)
        if cancelled():
            raise Stopped("not wanted any more")
        return forecast(volume, encoder, store=store, tile_s=tile_s.get((model, str(encoder.device))))
    except Stopped:
        raise
    except Exception as error:  # nobody asked for this: `compute` will say it as an error
        return str(error) or type(error).__name__


def compute_features(
    volume: Volume,
    encoders: Encoders,
    model: str,
    store: Any,
    focus_mm: Any,
    listener: Listener,
    report: Report,
    cancelled: Cancelled,
) -> "FeatureMaps":
    from coralbay_core.extraction.pipeline import features_for

    watch = listener.watch(report, cancelled)
    return features_for(volume, encoders.get(model), store=store, focus_mm=focus_mm, watch=watch)
