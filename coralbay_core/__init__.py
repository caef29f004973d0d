"""CoralBay: multi-scale features of a self-supervised 3-D CT encoder, and what can be done with them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import probe, projection, similarity
    from .errors import CoralBayError, InputError
    from .extraction.cache import FeatureStore
    from .extraction.pipeline import features_for
    from .features import FeatureMaps
    from .io import as_object, list_series, load_labels, load_volume, save_map
    from .library import Library
    from .models.loading import load_encoder
    from .models.swin_encoder import SwinEncoder
    from .phantom import make_phantom
    from .spatial import Grid, LabelVolume, Volume

__version__ = "0.1.0"

# Public names and the modules that define them. They are imported on first use (PEP 562): torch alone takes more than
# a second to import, and `coralbay --help` must not wait.
_HOME = {
    "CoralBayError": "errors",
    "FeatureMaps": "features",
    "FeatureStore": "extraction.cache",
    "Grid": "spatial",
    "InputError": "errors",
    "LabelVolume": "spatial",
    "Library": "library",
    "SwinEncoder": "models.swin_encoder",
    "Volume": "spatial",
    "as_object": "io",
    "features_for": "extraction.pipeline",
    "list_series": "io",
    "load_encoder": "models.loading",
    "load_labels": "io",
    "load_volume": "io",
    "make_phantom": "phantom",
    "save_map": "io",
}
__all__ = [
    "CoralBayError",
    "FeatureMaps",
    "FeatureStore",
    "Grid",
    "InputError",
    "LabelVolume",
    "Library",
    "SwinEncoder",
    "Volume",
    "as_object",
    "features_for",
    "list_series",
    "load_encoder",
    "load_labels",
    "load_volume",
    "make_phantom",
    "probe",
    "projection",
    "save_map",
    "similarity",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
