"""Conversion of values to JSON types."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MILLIONTHS = 6
"""Digits of floats in output and in files."""


def plain(value: Any, digits: int | None = None) -> Any:
    """Convert arrays, numpy's numbers and paths to JSON types, NaN and infinity to None.

    Parameters
    ----------
    value : object
    digits : int, optional
        Digits after the point, to which floats are rounded.
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), digits)
    if isinstance(value, Mapping):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        return value if digits is None else round(value, digits)
    return str(value) if isinstance(value, Path) else value
