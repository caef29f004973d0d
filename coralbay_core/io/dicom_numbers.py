"""Numbers in DICOM headers, as they are found: with decimal commas, with too many values, or with none.

pydicom converts an element when it is used and raises what its parser raises; here it is one line that names the
element.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_TEXT = (None, "DS", "IS", "UN")
# Nothing in a header of a CT, in mm or HU, comes near it.
_LARGEST = 1e6


def numbers(header: Any, keyword: str, count: int, where: Path) -> NDArray[np.float64] | None:
    """Read `count` numbers of an element; None if the element is absent or empty, an error if they are none."""
    texts = [text.strip("\0 \t") for text in _texts(header, keyword, where)]
    if not any(texts):
        return None
    try:
        # A comma is what software of some countries writes for a point.
        values = np.array([float(text.replace(",", ".")) for text in texts])
    except ValueError:
        values = np.array([np.nan])
    if len(values) != count or not (np.abs(values) <= _LARGEST).all():
        expected = "one number" if count == 1 else f"{count} numbers"
        raise _malformed(where, keyword, "\\".join(texts), expected)
    return values


def required(header: Any, keyword: str, count: int, where: Path) -> NDArray[np.float64]:
    """Read `count` numbers of an element that must be there."""
    values = numbers(header, keyword, count, where)
    if values is None:
        raise _malformed(where, keyword, "", "numbers")
    return values


def number(header: Any, keyword: str, where: Path, default: float) -> float:
    """Read a number; `default` if the element is absent or empty."""
    values = numbers(header, keyword, 1, where)
    return float(default if values is None else values[0])


def whole(header: Any, keyword: str, where: Path, default: int) -> int:
    """Read a whole number; `default` if the element is absent or empty."""
    value = number(header, keyword, where, default)
    if value != int(value):
        raise _malformed(where, keyword, f"{value:g}", "a whole number")
    return int(value)


def _texts(header: Any, keyword: str, where: Path) -> list[str]:
    try:
        element = header.get_item(keyword)
        value = None if element is None else element.value
        if isinstance(value, bytes) and element.VR in _TEXT and keyword not in ("Rows", "Columns", "SamplesPerPixel"):
            return value.decode("latin-1").split("\\")
        if isinstance(value, bytes):
            value = header[keyword].value
    except Exception as error:  # pydicom raises many kinds for damaged elements
        raise _malformed(where, keyword, type(error).__name__, "a number") from error
    if value is None:
        return []
    return str(value).split("\\") if isinstance(value, str | int | float) else [str(part) for part in value]


def _malformed(where: Path, keyword: str, found: str, expected: str) -> InputError:
    return InputError(
        "unreadable DICOM header",
        where=where,
        found=f"{keyword} '{found[:60]}'",
        expected=expected,
        hint="repair the header or export the series again",
    )
