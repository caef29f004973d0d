"""The command ``convert``: scans, label maps and points between file formats."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..errors import InputError, MissingFileError
from .common import open_ct, require_outputs
from .options import Json, Series
from .output import emit, note

if TYPE_CHECKING:
    from ..spatial import LabelVolume

_POINTS = (".csv", ".mrk.json")


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Scan, label map, folder of masks, or list of landmarks.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write; the end of its name is its format.")],
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--scan", help="Whether IN holds labels or a scan.  [default: seen from IN and from OUT]"
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="NAMES",
            help='Names of labels: {"1": "liver"} in .json, or a label description of ITK-SNAP in .txt.',
        ),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="CT", help="CT of the labels, on whose grid they are written.")
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option(metavar="LPS", help="Directions in which x, y and z of OME-Zarr grow, if it does not state them."),
    ] = None,
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Convert a scan, a label map or landmarks to another file format.

    Scans and label maps are written as .nii.gz, .nii, .nrrd or .ome.zarr, label maps also as .seg.nrrd for 3D Slicer,
    their names alone as .json or, for ITK-SNAP, .txt, and landmarks as .csv or, for 3D Slicer, .mrk.json.
    """
    from ..io.label_tables import is_table

    if not source.exists():
        raise MissingFileError("no such file or folder", where=source)
    require_outputs([out], like, names, labels=[source])
    if source.name.lower().endswith(_POINTS):
        results, outputs = _points(source, out)
    elif _holds_labels(source, out, labels):
        label_map = _labels(source, names, like, orientation, series)
        results, outputs = _table(label_map, out) if is_table(out) else _map(label_map, out)
    else:
        results, outputs = _scan(source, out, orientation, series)
    emit(
        "convert",
        as_json=as_json,
        inputs={"source": source, "names": names, "like": like, "orientation": orientation},
        outputs=outputs,
        results=results,
        lines=[],
    )


Made = tuple[dict[str, Any], dict[str, Any]]


def _holds_labels(source: Path, out: Path, said: bool | None) -> bool:
    from ..io import mask_folder, ome_zarr, seg_nrrd_header
    from ..io.label_tables import is_table

    if said is not None:
        return said
    is_folder = not ome_zarr.looks_like(source) and bool(mask_folder.masks_in(source))
    return is_folder or is_table(out) or seg_nrrd_header.looks_like(source) or seg_nrrd_header.looks_like(out)


def _points(source: Path, out: Path) -> Made:
    from ..matching import read_landmarks, write_landmarks
    from ..matching.landmarks import require_table_name

    require_table_name(out)
    found = read_landmarks(source)
    rows = [
        {"name": p.name, **dict(zip(("x_mm", "y_mm", "z_mm"), p.position_mm, strict=True)), **p.more} for p in found
    ]
    return {"points": len(rows)}, {"landmarks": write_landmarks(out, rows)}


def _scan(source: Path, out: Path, orientation: str | None, series: str | None) -> Made:
    from ..io import load_volume, map_files, save_map
    from ..io.ome_zarr import SUFFIXES, require_straight

    map_files.require_name(out, labels=False)
    volume = open_ct(source, series) if orientation is None else load_volume(source, orientation=orientation)
    if out.name.lower().endswith(SUFFIXES):
        require_straight(volume.grid, out)
    return {"shape": volume.shape, "spacing_mm": volume.grid.spacing_mm}, {"scan": save_map(out, volume.data, volume)}


def _labels(
    source: Path, names: Path | None, like: Path | None, orientation: str | None, series: str | None
) -> "LabelVolume":
    from ..io import load_labels
    from ..io.label_tables import read_table

    ct = None if like is None else open_ct(like, series)
    found = load_labels(source, like=ct, orientation=orientation)
    for text in found.notes:
        note(f"{source}: {text}")
    if ct is not None:
        found = replace(found, source=ct.source_grid)
    if names is None:
        return found
    table = read_table(names)
    return replace(found, names=table.names, colors=found.colors | table.colors)


def _map(labels: "LabelVolume", out: Path) -> Made:
    from ..io import map_files, save_labels, seg_nrrd_header
    from ..io.label_tables import write_table
    from ..io.nifti import stem
    from ..io.ome_zarr import SUFFIXES

    map_files.require_name(out)
    beside = None
    if labels.names and not out.name.lower().endswith((seg_nrrd_header.SUFFIX, *SUFFIXES)):
        beside = out.parent / f"{stem(out)}.json"
        require_outputs([beside], labels.path)
    outputs: dict[str, Any] = {"labels": save_labels(out, labels)}
    if beside is not None:
        outputs["names"] = write_table(beside, _values(labels), labels.names, labels.colors)
    return {"shape": labels.shape, "labels": _named(labels)}, outputs


def _table(labels: "LabelVolume", out: Path) -> Made:
    from ..io.label_tables import write_table

    values = sorted({*_values(labels), *labels.names})
    return {"labels": _named(labels)}, {"names": write_table(out, values, labels.names, labels.colors)}


def _values(labels: "LabelVolume") -> list[int]:
    return [int(value) for value in np.unique(labels.data) if value > 0]


def _named(labels: "LabelVolume") -> dict[int, str]:
    values = _values(labels)
    if not values:
        raise InputError(
            "no labels", where=labels.path or labels.name, found="only 0", expected="values of 1 and above"
        )
    return {value: labels.names.get(value, "") for value in values}
