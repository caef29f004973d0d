"""Lists of named positions, as CSV, JSON or Markups of 3D Slicer; world mm, RAS+."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingFileError
from ..io import markups
from ..util.arguments import checked
from ..util.atomic_file import atomic_path, write_atomically

MOST = 100_000
_NAMES = ("name", "label", "id")
_AXES = (("x_mm", "y_mm", "z_mm"), ("x", "y", "z"), ("r", "a", "s"))
_UNREADABLE = (
    OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, csv.Error,
)  # fmt: skip
SUFFIXES = (".csv", ".json")
"""Ends of the names of lists; ``.mrk.json`` is the form of 3D Slicer."""

_EXPECTED = (
    "columns name,x_mm,y_mm,z_mm in a .csv, or {name: [x, y, z]} in a .json, both RAS+ mm, or a .mrk.json of 3D Slicer"
)


@dataclass(frozen=True)
class Landmark:
    """A named position.

    Parameters
    ----------
    name : str
    position_mm : tuple of float
        RAS+.
    more : dict
        Other columns of its row, kept as they are.
    """

    name: str
    position_mm: tuple[float, float, float]
    more: Mapping[str, str] = field(default_factory=dict)


@checked
def as_landmarks(landmarks: Iterable[Landmark]) -> tuple[Landmark, ...]:
    """Return landmarks, or raise `InputError` for anything else."""
    return tuple(landmarks)


@checked
def read_landmarks(path: str | Path) -> list[Landmark]:
    """Read named positions from a CSV with a header, a JSON object or list, or points of 3D Slicer.

    Parameters
    ----------
    path : str or Path
        CSV columns ``name`` (or label, id; rows are numbered where there is none) and ``x_mm``, ``y_mm``, ``z_mm`` (or
        x, y, z; or r, a, s); JSON ``{name: [x, y, z]}`` or ``[{"name": ..., "position_mm": [x, y, z]}]``; both RAS+.
        ``.mrk.json`` as Slicer writes it, in LPS or RAS as the file states.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError("no such landmark file", where=path)
    try:
        rows = _reader(path)(path)
    except _UNREADABLE as error:
        raise InputError("unreadable landmarks", where=path, found=_line(error), expected=_EXPECTED) from error
    if not rows or len(rows) > MOST:
        raise InputError("no landmarks" if not rows else "too many landmarks", where=path, found=len(rows))
    for row in rows:
        if not np.isfinite(row.position_mm).all():
            raise InputError("landmark without a position", where=path, found=row.name, expected=_EXPECTED)
    return rows


def _reader(path: Path) -> Callable[[Path], list[Landmark]]:
    if markups.looks_like(path):
        return _from_markups
    return _from_json if path.suffix.lower() == ".json" else _from_csv


def _from_markups(path: Path) -> list[Landmark]:
    return [Landmark(name, place, more) for name, place, more in markups.read(path)]


def _from_json(path: Path) -> list[Landmark]:
    content = json.loads(path.read_text("utf-8"))
    entries = content.items() if isinstance(content, dict) else [(e["name"], e["position_mm"]) for e in content]
    return [Landmark(str(name), _triple(position)) for name, position in entries]


def _from_csv(path: Path) -> list[Landmark]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, strict=True))
    if not rows:
        return []
    columns = {(column or "").strip().lower(): column for column in rows[0] if column is not None}
    axes = next((axes for axes in _AXES if set(axes) <= set(columns)), None)
    if axes is None:
        raise ValueError(f"columns {', '.join(columns)[:80]}")
    name = next((columns[word] for word in _NAMES if word in columns), None)
    used = {name, *(columns[axis] for axis in axes)}
    return [
        Landmark(
            (row[name] if name else "") or str(number),
            _triple([row[columns[axis]] for axis in axes]),
            {key: value for key, value in row.items() if key is not None and key not in used},
        )
        for number, row in enumerate(rows, 1)
    ]


def _triple(values: Sequence[Any]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


@checked
def write_landmarks(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as CSV, as JSON or, in ``.mrk.json``, as points of 3D Slicer; atomically.

    The columns are the keys of all rows in the order of their first appearance. Points have a position, ``x_mm``,
    ``y_mm`` and ``z_mm``; all other columns go to their descriptions.
    """
    path, rows = Path(path), [dict(row) for row in rows]
    if markups.looks_like(path):
        placed = [row for row in rows if all(row.get(axis) is not None for axis in _AXES[0])]
        if rows and not placed:
            raise InputError("rows have no positions", where=path, hint="write them as .csv or .json")
        return markups.write(path, placed)
    if path.suffix.lower() == ".json":
        return write_atomically(path, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return path


def require_table_name(path: Path | None) -> None:
    """Raise unless a table can go to `path` (None passes)."""
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise InputError("not a table name", where=path, expected="a name that ends in .csv, .json or .mrk.json")


def _cell(value: Any) -> Any:
    """Escape a text for spreadsheets: a cell must not start a formula (CSV injection, OWASP)."""
    if isinstance(value, str) and value[:1] in "=+@\t\r" and value:
        return "'" + value
    return f"{value:.6g}" if isinstance(value, float) else value


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
