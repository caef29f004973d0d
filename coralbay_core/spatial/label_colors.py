"""Colors of labels, the same in the app, in pictures and in exported segmentations."""

from collections.abc import Iterable, Mapping

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


def class_color(value: int) -> str:
    """Return the color of a label value, in hexadecimal form."""
    return CLASS_COLORS[(value - 1) % len(CLASS_COLORS)]


def colors_of(values: Iterable[int], known: Mapping[int, Color]) -> dict[int, Color]:
    """Colors of label values: the known ones, else those of the app."""
    return {value: known.get(value) or _rgb(class_color(value)) for value in values}


def _rgb(text: str) -> Color:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
