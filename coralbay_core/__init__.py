"""CoralBay: multi-scale features of a self-supervised 3-D CT encoder, and what can be done with them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import probe, projection, similarity
    from .pipeline import features_for
    from .volume_io import load_volume
    from .weights import load_encoder

__version__ = "0.1.0"
__all__ = ["features_for", "load_encoder", "load_volume", "probe", "projection", "similarity"]

# Found on first use (PEP 562): torch alone takes more than a second to import, and `coralbay --help` must not wait.
_HOME = {"load_volume": "volume_io", "load_encoder": "weights", "features_for": "pipeline"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
