"""Points of 3D Slicer, ``.mrk.json`` (Markups); positions are RAS+ mm here, and LPS or RAS in the file."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..util.atomic_file import write_atomically
from ..util.json_values import plain

SUFFIX = ".mrk.json"
_SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_TO_RAS = {"LPS": (-1.0, -1.0, 1.0), "RAS": (1.0, 1.0, 1.0)}
_PER_MM = {"mm": 1.0, "um": 0.001, "cm": 10.0, "m": 1000.0}
# Axes of a point in LPS that are those of RAS: what Slicer writes for points without an orientation.
_ORIENTATION = [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]


def looks_like(path: Path) -> bool:
    """Whether the name is that of a file of Markups."""
    return path.name.lower().endswith(SUFFIX)


def read(path: Path) -> list[tuple[str, tuple[float, float, float], dict[str, str]]]:
    """Read the defined control points of all lists of a file: name, position and further columns.

    Raises
    ------
    ValueError, KeyError, TypeError, OSError
        For a file of another content.
    """
    content = json.loads(path.read_text("utf-8-sig"))
    found = []
    for markup in content["markups"]:
        system = str(markup.get("coordinateSystem", "LPS")).upper()
        if system not in _TO_RAS:
            raise ValueError(f"coordinate system {system[:20]}, not LPS or RAS")
        unit = str(markup.get("coordinateUnits", "mm"))
        if unit not in _PER_MM:
            raise ValueError(f"positions in {unit[:20]}, not in mm")
        for number, point in enumerate(markup.get("controlPoints", ()), 1):
            if point.get("positionStatus", "defined") not in ("defined", "preview"):
                continue
            x, y, z = np.multiply(np.multiply(point["position"], _TO_RAS[system]), _PER_MM[unit]).tolist()
            name = str(point.get("label") or point.get("id") or number)
            more = {key: str(point[key]) for key in ("description",) if point.get(key)}
            found.append((name, (x, y, z), more))
    return found


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write points as a list of Markups, in LPS as Slicer does.

    Parameters
    ----------
    path : Path
    rows : iterable of mapping
        ``name``, ``x_mm``, ``y_mm`` and ``z_mm`` in RAS+; all other entries go to the description of their point. A
        point with ``confirmed`` false is not selected, so it has another color in Slicer.
    """
    points = [_point(number, row) for number, row in enumerate(rows, 1)]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "labelFormat": "%N-%d",
        "controlPoints": points,
    }
    content = {"@schema": _SCHEMA, "markups": [markup]}
    return write_atomically(path, json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n")


def _point(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    place = [float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")]
    more = {key: value for key, value in row.items() if key not in ("name", "x_mm", "y_mm", "z_mm", "description")}
    texts = [str(row["description"])] if row.get("description") else []
    texts += [f"{key} {_text(value)}" for key, value in more.items() if value not in (None, "")]
    return {
        "id": str(number),
        "label": str(row.get("name", number)),
        "description": "; ".join(texts),
        "associatedNodeID": "",
        "position": [sign * value + 0.0 for sign, value in zip(_TO_RAS["LPS"], place, strict=True)],
        "orientation": _ORIENTATION,
        "selected": bool(row.get("confirmed", True)),
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
