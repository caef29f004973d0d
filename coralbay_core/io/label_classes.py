"""Names and colors of the classes of a label map.

They are kept in JSON, ``{"1": "liver", "2": {"name": "spleen", "color": "#56b4e9"}}``: a name, or a name with a color.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..util.atomic_file import atomic_path
from .nifti_file import short

MOST_VALUE = 65535
_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class LabelClasses:
    """Names and colors of label values.

    Parameters
    ----------
    names : dict of int to str
    colors : dict of int to str
        ``#rrggbb``; values without an entry have no color of their own.
    """

    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, str] = field(default_factory=dict)


@cache
def structure_names() -> tuple[str, ...]:
    """Return names of structures of the body that a class may be given, those of TotalSegmentator."""
    text = files(__package__).joinpath("structure_names.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def checked_color(color: Any) -> str:
    """Return a color as ``#rrggbb`` in lower case, or raise `InputError`."""
    text = str(color).lower()
    if not _COLOR.fullmatch(text):
        raise InputError("not a color", found=repr(color)[:40], expected="six hexadecimal digits, such as #56b4e9")
    return text


def classes_from(content: Any) -> LabelClasses:
    """Return names and colors from parsed JSON.

    Raises
    ------
    ValueError, AttributeError
        For content of another form; `InputError` is a ValueError.
    """
    names, colors = {}, {}
    for key, entry in content.items():
        value = int(key)
        if isinstance(entry, Mapping):
            names[value] = str(entry.get("name", ""))
            if entry.get("color") is not None:
                colors[value] = checked_color(entry["color"])
        else:
            names[value] = str(entry)
    return LabelClasses(names, colors)


def read_label_classes(path: str | Path) -> LabelClasses:
    """Read names and colors from a JSON file.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    path = Path(path)
    try:
        classes = classes_from(json.loads(path.read_bytes()))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        expected = 'JSON such as {"1": "liver", "2": {"name": "spleen", "color": "#56b4e9"}}'
        raise InputError("no names of classes", where=path, found=short(error, path), expected=expected) from None
    unusable = [value for value in classes.names if not 1 <= value <= MOST_VALUE]
    if unusable:
        raise InputError("label out of range", where=path, found=unusable[0], expected=f"1 to {MOST_VALUE}")
    return classes


def write_label_classes(path: str | Path, classes: LabelClasses) -> Path:
    """Write names and colors as JSON; a class without a color is written as its name alone."""
    path = Path(path)
    content: dict[str, Any] = {}
    for value in sorted(classes.names.keys() | classes.colors.keys()):
        name, color = classes.names.get(value, ""), classes.colors.get(value)
        content[str(value)] = name if color is None else {"name": name, "color": color}
    with atomic_path(path, ".json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
