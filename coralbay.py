"""The names of `coralbay_core` under the name that the package is installed by."""

from typing import Any

import coralbay_core
from coralbay_core import __all__ as __all__
from coralbay_core import __version__ as __version__


def __getattr__(name: str) -> Any:
    return getattr(coralbay_core, name)


def __dir__() -> list[str]:
    return dir(coralbay_core)
