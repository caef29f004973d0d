"""Segments in the header of a ``.seg.nrrd`` file of 3D Slicer: names, colors, label values and layers."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..spatial.label_colors import Color
from .nrrd import unescaped

SUFFIX = ".seg.nrrd"
_HEAD_BYTES = 1 << 20
_KEY = re.compile(r"Segment(\d{1,6})_(\w+)")
_MOST = 10_000


@dataclass(frozen=True)
class Segment:
    """One segment.

    Parameters
    ----------
    value : int
        Value of its voxels in its layer.
    name : str
    color : (int, int, int) or None
        0 to 255.
    layer : int
        Which of the volumes of the file holds it; segments of different layers may overlap.
    """

    value: int
    name: str
    color: Color | None = None
    layer: int = 0


def looks_like(path: Path) -> bool:
    """Whether the name is that of a segmentation of 3D Slicer."""
    return path.name.lower().endswith(SUFFIX)


def values_of(path: Path) -> dict[str, str]:
    """Entries ``key:=value`` of the header; empty for an unreadable file."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return {}
    values: dict[str, str] = {}
    for line in re.split(rb"\r?\n", head):
        if not line:
            break
        key, sign, value = line.decode("utf-8", errors="replace").partition(":=")
        if sign:
            values[key.strip()] = unescaped(value)
    return values


def segments_of(path: Path) -> list[Segment]:
    """Segments in the order of the file; what a segment does not state is left at its default."""
    fields: dict[int, dict[str, str]] = {}
    for key, value in values_of(path).items():
        match = _KEY.fullmatch(key)
        if match:
            fields.setdefault(int(match[1]), {})[match[2]] = value.strip()
    found = []
    for number, own in sorted(fields.items())[:_MOST]:
        if own.get("LabelValue", "1").lstrip("+").isdecimal():
            label = int(own.get("LabelValue", number + 1))
            layer = int(own["Layer"]) if own.get("Layer", "").isdecimal() else 0
            name = own.get("Name") or own.get("ID") or f"label {label}"
            found.append(Segment(label, name, _color(own.get("Color", "")), layer))
    return found


def _color(text: str) -> Color | None:
    try:
        red, green, blue = (round(255 * min(max(float(part), 0.0), 1.0)) for part in text.split())
    except (ValueError, OverflowError):
        return None
    return red, green, blue
