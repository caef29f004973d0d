"""Names and colors of labels: JSON files, label descriptions of ITK-SNAP, and tables in the header of NIfTI files."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from ..errors import InputError, MissingFileError
from ..spatial.label_colors import Color, checked_color, colors_of, hexadecimal, rgb_of
from ..util.atomic_file import write_atomically
from . import seg_nrrd_header
from .nifti import looks_like, stem
from .nifti_file import header_texts, short

_ITK_SNAP_SUFFIXES = (".txt", ".label")
_ITK_SNAP = re.compile(
    r'^\s*(\d{1,9})\s+(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+([\d.eE+-]+)\s+([01])\s+([01])\s+"(.*)"\s*$'
)
_ITK_SNAP_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
"""
_CARET_LABEL = re.compile(r"<Label\b([^>]*)>\s*(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))\s*</Label>", re.DOTALL | re.ASCII)
_CARET_FIELD = re.compile(r'(\w+)="([^"]*)"', re.ASCII)
_MOST_TEXT = 4 << 20
_UNREADABLE = (OSError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True)
class LabelTable:
    """Names and colors of the values of a label map.

    Parameters
    ----------
    names : dict of int to str
    colors : dict of int to (int, int, int)
        0 to 255.
    notes : tuple of str
        Notes for the user about what could not be read.
    """

    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, Color] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_table(path: Path) -> LabelTable:
    """Find the table of a label map: in a file of its name next to it, else in its own header.

    Parameters
    ----------
    path : Path
        Of the label map. Next to it, ``<name>.json`` holds names (`read_table`), and ``<name>.txt`` or
        ``<name>.label`` a label description of ITK-SNAP. Headers are those of ``.seg.nrrd`` and, as TotalSegmentator
        writes them, of NIfTI files.
    """
    names = path.with_name(stem(path) + ".json")
    if names.is_file():
        return _noted(names, _read_json)
    for suffix in _ITK_SNAP_SUFFIXES:
        description = path.with_name(stem(path) + suffix)
        if description.is_file() and _starts_like_itk_snap(description):
            return _noted(description, _read_itk_snap)
    if seg_nrrd_header.looks_like(path):
        segments = seg_nrrd_header.segments_of(path)
        return LabelTable({s.value: s.name for s in segments}, {s.value: s.color for s in segments if s.color})
    return _in_nifti_header(path)


def read_table(path: Path) -> LabelTable:
    """Read a JSON file with names, or a label description of ITK-SNAP.

    JSON is ``{"1": "liver", "2": {"name": "spleen", "color": "#56b4e9"}}``: a name, or a name with a color.

    Raises
    ------
    MissingFileError, InputError
    """
    if not path.is_file():
        raise MissingFileError("no such file", where=path)
    read = _read_itk_snap if path.suffix.lower() in _ITK_SNAP_SUFFIXES else _read_json
    try:
        return read(path)
    except _UNREADABLE as error:
        raise InputError(
            "unreadable label names",
            where=path,
            found=str(error)[:80],
            expected='{"1": "liver"}, or a label description of ITK-SNAP in .txt',
        ) from error


def write_table(path: Path, values: Iterable[int], names: Mapping[int, str], colors: Mapping[int, Color]) -> Path:
    """Write names and colors as ``.json``, or as a label description of ITK-SNAP (``.txt``, ``.label``).

    Parameters
    ----------
    path : Path
    values : iterable of int
        Values to describe; those without a name get ``label VALUE``, those without a color one of the app in ITK-SNAP
        files and none in JSON.
    names, colors : mapping
    """
    chosen = sorted({int(value) for value in values if value > 0})
    texts = {value: names.get(value) or f"label {value}" for value in chosen}
    if path.suffix.lower() == ".json":
        content = {
            str(value): {"name": name, "color": hexadecimal(colors[value])} if value in colors else name
            for value, name in texts.items()
        }
        return write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    rows = [(0, (0, 0, 0), 0, "Clear Label")]
    rows += [(value, color, 1, texts[value]) for value, color in colors_of(chosen, colors).items()]
    lines = [
        f'{value:5d} {red:5d} {green:4d} {blue:4d} {shown:8d} {shown:2d} {shown:2d}    "{_one_line(name)}"'
        for value, (red, green, blue), shown, name in rows
    ]
    return write_atomically(path, _ITK_SNAP_HEAD + "\n".join(lines) + "\n")


def is_table(path: Path) -> bool:
    """Whether a name is that of a file that `write_table` writes."""
    return path.suffix.lower() in (".json", *_ITK_SNAP_SUFFIXES)


def _noted(path: Path, read: Callable[[Path], LabelTable]) -> LabelTable:
    """Read a table; a note in place of an error."""
    try:
        return read(path)
    except _UNREADABLE as error:
        return LabelTable(notes=(f"label names in {path.name} were not read: {short(error, path)}",))


def _read_json(path: Path) -> LabelTable:
    content = path.read_bytes()
    try:
        entries = json.loads(content)  # UTF-8, -16 or -32, with or without a byte-order mark
    except UnicodeDecodeError:
        entries = json.loads(content.decode("latin-1"))
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for value, entry in entries.items():
        described = entry if isinstance(entry, Mapping) else {"name": entry}
        names[int(value)] = str(described.get("name", ""))
        if described.get("color") is not None:
            colors[int(value)] = rgb_of(checked_color(described["color"]))
    return LabelTable(names, colors)


def _read_itk_snap(path: Path) -> LabelTable:
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ITK_SNAP.match(line)
        if match is None:
            raise ValueError(f"line {number} has not the eight columns of a label description")
        value, red, green, blue = (int(match[part]) for part in (1, 2, 3, 4))
        if value:
            names[value], colors[value] = match[8], (min(red, 255), min(green, 255), min(blue, 255))
    return LabelTable(names, colors)


def _starts_like_itk_snap(path: Path) -> bool:
    """Whether a text file holds a label description: any other text may lie next to a label map, too."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.read(4096)
    except OSError:
        return False
    lines = (line for line in head.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return "itk-snap label description" in head.lower() or _ITK_SNAP.match(next(lines, "")) is not None


def _in_nifti_header(path: Path) -> LabelTable:
    """Table in the extension of a NIfTI header in the form of Caret (Connectome Workbench)."""
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for text in header_texts(path, _MOST_TEXT) if looks_like(path) else ():
        if "<LabelTable" not in text:
            continue
        for match in _CARET_LABEL.finditer(text):
            fields = dict(_CARET_FIELD.findall(match[1]))
            name = match[2] if match[2] is not None else unescape(match[3])
            try:
                value = int(fields["Key"])
                parts = [round(255 * min(max(float(fields[key]), 0), 1)) for key in ("Red", "Green", "Blue")]
            except (KeyError, ValueError):
                continue
            if value > 0:
                names[value], colors[value] = name.strip(), (parts[0], parts[1], parts[2])
    return LabelTable(names, colors)


def _one_line(name: str) -> str:
    return " ".join(name.replace('"', "'").split())
