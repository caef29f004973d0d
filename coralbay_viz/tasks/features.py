"""Features of a scan and the estimate of their cost."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import Volume

from ..jobs import JobContext
from .encoders import Encoders

if TYPE_CHECKING:
    from coralbay_core.extraction.estimate import CostEstimate
    from coralbay_core.extraction.sliding_window import ExtractionCallbacks
    from coralbay_core.features import FeatureMaps


@dataclass(frozen=True)
class ProgressSignals:
    """Functions of the session's thread that are called while features are computed.

    Parameters
    ----------
    outlook, preview, say : callable
        As of `coralbay_core.extraction.sliding_window.ExtractionCallbacks`.
    """

    outlook: Callable[[Any], Any]
    preview: Callable[[Any], Any]
    say: Callable[[str], Any]

    def callbacks(self, context: JobContext) -> "ExtractionCallbacks":
        """Return callbacks of an extraction that post to the session's thread."""
        from coralbay_core.extraction.sliding_window import ExtractionCallbacks

        calls = (partial(context.post, call) for call in (self.outlook, self.preview, self.say))
        return ExtractionCallbacks(context.progress, context.cancelled, *calls)


def look_ahead(
    volume: Volume,
    encoders: Encoders,
    model: str,
    store: Any,
    tile_s: dict[tuple[str, str], float],
    context: JobContext,
) -> "CostEstimate | str":
    """Estimate the cost of computing features; a line of text where that is not possible."""
    from coralbay_core.errors import Cancelled
    from coralbay_core.extraction.estimate import forecast

    try:
        encoder = encoders.get(model)
        context.check_cancelled()
        known_s = tile_s.get((model, str(encoder.device)))
        return forecast(volume, encoder, store=store, tile_s=known_s, cancelled=context.cancelled)
    except Cancelled:
        raise
    except Exception as error:  # `compute` will raise it; the estimate was not requested
        return str(error) or type(error).__name__


def compute_features(
    volume: Volume,
    encoders: Encoders,
    model: str,
    store: Any,
    focus_mm: Any,
    signals: ProgressSignals,
    context: JobContext,
) -> "FeatureMaps":
    """Compute features, or read them from the cache."""
    from coralbay_core.extraction.pipeline import features_for

    watch = signals.callbacks(context)
    return features_for(volume, encoders.get(model), store=store, focus_mm=focus_mm, watch=watch)
