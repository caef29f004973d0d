"""Colors of labels, the same in the app, in pictures and in exported segmentations."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ..errors import InputError

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

# Okabe and Ito's palette, which color-blind readers can distinguish, then lighter versions of it.
CLASS_COLORS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#d55e00",
    "#cc79a7",
    "#0072b2",
    "#f7c873",
    "#a6dbf5",
    "#7fd6bd",
    "#f5b895",
    "#e6bfd4",
)


_HEXADECIMAL = re.compile(r"#[0-9a-f]{6}")


def class_color(value: int, chosen: Mapping[int, str] = MappingProxyType({})) -> str:
    """Return the color of a label value as ``#rrggbb``, the same in every picture: the chosen one, or the palette's."""
    return chosen.get(value) or CLASS_COLORS[(value - 1) % len(CLASS_COLORS)]


def checked_color(color: Any) -> str:
    """Return a color as ``#rrggbb`` in lower case, or raise `InputError`."""
    text = str(color).lower()
    if not _HEXADECIMAL.fullmatch(text):
        raise InputError("not a color", found=repr(color)[:40], expected="six hexadecimal digits, such as #56b4e9")
    return text


def rgb_of(color: str) -> Color:
    """Return red, green and blue of ``#rrggbb``."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def hexadecimal(color: Color) -> str:
    """Return a color as ``#rrggbb``."""
    return "#" + bytes(color).hex()


def colors_of(values: Iterable[int], known: Mapping[int, Color]) -> dict[int, Color]:
    """Colors of label values: the known ones, else those of the app."""
    return {value: known.get(value) or rgb_of(class_color(value)) for value in values}
