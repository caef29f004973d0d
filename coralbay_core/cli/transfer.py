"""The command ``transfer``: labels and positions of labeled scans in another scan."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..errors import InputError
from . import options
from .common import features_of, open_ct, open_model, require_outputs, weights_files
from .options import Device, FixedStageWeights, Json, Model, Stages
from .output import emit, note, position

if TYPE_CHECKING:
    from ..matching import Deformation, Landmark, TransferredLabels
    from ..spatial import LabelVolume, Volume

FIELD_MM = 3.0
"""Spacing of the field that is written."""


def transfer(
    labels: Annotated[
        list[Path] | None, typer.Argument(metavar="LABELS", help="Label map of each --from, in their order.")
    ] = None,
    source: Annotated[
        list[Path] | None, typer.Option("--from", metavar="A", help="Labeled CT; may be repeated.")
    ] = None,
    target: Annotated[Path | None, typer.Option("--to", metavar="B", help="CT that the labels travel to.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT.nii.gz", help="File for the labels on the grid of B.")
    ] = None,
    confidence: Annotated[
        Path | None, typer.Option(metavar="MAP.nii.gz", help="File for the confidence of each voxel, 0 to 1.")
    ] = None,
    landmarks: Annotated[
        Path | None,
        typer.Option(metavar="L.csv", help="Positions in A: columns name,x_mm,y_mm,z_mm, or JSON {name: [x, y, z]}."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,Z", help="Position in A, in mm, or a list of landmarks; may be repeated."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="OUT.csv", help="File for the positions in B, .csv or .json.")
    ] = None,
    field: Annotated[
        Path | None,
        typer.Option(
            metavar="FIELD.nii.gz",
            help="File for the transform that brings A to the grid of B, as ITK and Slicer read it: displacements in "
            "mm in .nii.gz or .h5, or the nearest affine in .tfm.",
        ),
    ] = None,
    warped: Annotated[
        Path | None, typer.Option(metavar="A_ON_B.nii.gz", help="File for A itself on the grid of B, to overlay both.")
    ] = None,
    transform: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="T",
            help="Transform that brings A to the grid of B, as ITK, ANTs, elastix or Slicer write it (.tfm, .h5, .mat, "
            "or a field in .nii.gz), to start from; one per --from.",
        ),
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Draw the borders by a probe on the features of B.")
    ] = True,
    stage_weights: FixedStageWeights = None,
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Carry labels or positions of one or several scans to another scan.

    Both scans are aligned deformably by their features; only what both show is aligned. Several labeled scans vote.
    """
    from ..matching import LabelSource, deform, transfer_labels

    strides = options.strides(stages)
    mixer = options.fixed_stage_weights(stage_weights) or options.equal_stage_weights(strides)
    maps, scans, starts = list(labels or ()), list(source or ()), list(transform or ())
    places = _places(landmarks, at)
    _require_inputs(maps, scans, target, starts, places, field or warped)
    assert target is not None
    _require_asked(maps, places, out=out, confidence=confidence, table=table, field=field, warped=warped)
    inputs = (*scans, target, landmarks, *options.point_files(at), *starts, *weights_files(model))
    require_outputs([out, _names_file(out), confidence, table, field, warped], *inputs, labels=maps)
    priors = [_prior(path) for path in starts] or [None] * len(scans)
    volumes = [open_ct(path) for path in scans]
    drawn = _read_labels(maps, volumes)
    for place in places:
        volumes[0].grid.require_inside(place.position_mm, where=place.name)
    there = open_ct(target)
    encoder = open_model(model, device)
    features = features_of(there, encoder, strides)
    deformations = []
    for volume, prior in zip(volumes, priors, strict=True):
        own = features_of(volume, encoder, strides)
        deformations.append(deform(own, features, weights=mixer, prior=prior))  # type: ignore[arg-type]
        note(f"{volume.name}: {deformations[-1].in_words}")
    made = None
    if drawn:
        pairs = [LabelSource(own, way) for own, way in zip(drawn, deformations, strict=True)]
        made = transfer_labels(pairs, features, there, refine=refine)
    rows = _rows(places, deformations[0])
    about = _provenance(there, volumes, encoder, weights=mixer, refine=made.refined if made else None)
    outputs = {
        "labels": _save_labels(out, made, there, about),
        "confidence": _save(confidence, None if made is None else made.confidence, there, about),
        "table": _save_table(table, rows, about),
        "field": _save_field(field, deformations[0], there, about),
        "warped": _save_warped(warped, volumes[0], deformations[0], there, about),
    }
    emit(
        "transfer",
        as_json=as_json,
        inputs={"labels": maps, "from": scans, "to": target, "landmarks": landmarks, "transform": starts},
        outputs=outputs,
        results={
            "model": encoder.name,
            "alignments": [_about(way) for way in deformations],
            "refined": made.refined if made else None,
            "labels": _sizes(made),
            "positions": rows,
        },
        lines=_lines(made, rows),
    )


def _require_inputs(
    maps: list[Path],
    scans: list[Path],
    target: Path | None,
    starts: list[Path],
    places: "list[Landmark]",
    map_out: Path | None,
) -> None:
    if target is None or not scans:
        raise InputError("two scans are needed", expected="--from A.nii.gz and --to B.nii.gz")
    if not maps and not places and map_out is None:
        raise InputError("nothing to transfer", expected="a label map, --landmarks, --at, --field or --warped")
    if maps and len(maps) != len(scans):
        raise InputError(
            "numbers of label maps and scans differ",
            found=f"{len(maps)} label maps for {len(scans)} scans",
            expected="one label map per --from",
        )
    if (places or map_out is not None) and len(scans) > 1:
        raise InputError("positions or maps of several scans", where="--from", found=len(scans), expected="one scan")
    if starts and len(starts) != len(scans):
        raise InputError(
            "numbers of transforms and scans differ",
            where="--transform",
            found=f"{len(starts)} for {len(scans)} scans",
            expected="one per --from",
        )


def _require_asked(
    maps: list[Path],
    places: "list[Landmark]",
    *,
    out: Path | None,
    confidence: Path | None,
    table: Path | None,
    field: Path | None,
    warped: Path | None,
) -> None:
    from ..io.map_files import require_name
    from ..io.transforms import require_transform_name
    from ..matching.landmarks import require_table_name

    for path in (out, confidence, warped):
        if path is not None:
            require_name(path)
    if field is not None:
        require_transform_name(field)
    require_table_name(table)
    if maps and out is None:
        raise InputError("no file for the labels", expected="-o OUT.nii.gz")
    for path, option in ((out, "--out"), (confidence, "--confidence")):
        if path is not None and not maps:
            raise InputError("no label map for this output", where=option, hint="give LABELS, or use --table")
    if table is not None and not places:
        raise InputError("no positions for this table", where="--table", expected="--landmarks or --at")


def _places(landmarks: Path | None, at: list[str] | None) -> "list[Landmark]":
    from ..matching import Landmark, read_landmarks

    clicked = [
        Landmark(f"at {number}", (float(p[0]), float(p[1]), float(p[2])))
        for number, p in enumerate(options.points(at, "--at"), 1)
    ]
    return [*(read_landmarks(landmarks) if landmarks else []), *clicked]


def _prior(path: Path) -> Any:
    from ..io.transforms import read_transform

    return read_transform(path)


def _read_labels(maps: list[Path], volumes: "list[Volume]") -> "list[LabelVolume]":
    from ..io import load_labels

    drawn = [load_labels(path, like=volume) for path, volume in zip(maps, volumes, strict=False)]
    for path, labels in zip(maps, drawn, strict=True):
        if not labels.data.any() or labels.data.min() < 0:
            raise InputError(
                "no labels to transfer" if not labels.data.any() else "negative label",
                where=path,
                expected="values of 1 and above, 0 = unlabeled",
            )
    return drawn


def _rows(places: "list[Landmark]", way: "Deformation") -> list[dict[str, Any]]:
    from ..matching.certainty import place_in_words

    rows = []
    for place in places:
        found = way(place.position_mm)
        sure = float(way.confidence_at(np.array(place.position_mm)))
        axes = {axis: round(float(v), 2) for axis, v in zip(("x_mm", "y_mm", "z_mm"), found, strict=True)}
        rows.append(
            {"name": place.name, **axes, "confidence": round(sure, 3), "certainty": place_in_words(sure), **place.more}
        )
    return rows


def _provenance(there: "Volume", volumes: "list[Volume]", encoder: Any, **parameters: Any) -> dict[str, Any]:
    from ..provenance import provenance

    return provenance(there, *volumes, model=encoder.name, fingerprint=encoder.fingerprint, **parameters)


def _names_file(path: Path | None) -> Path | None:
    """File of the names of a label map; None where they are in the map itself."""
    from ..io import seg_nrrd_header
    from ..io.nifti import stem

    return None if path is None or seg_nrrd_header.looks_like(path) else path.parent / f"{stem(path)}.json"


def _save_labels(
    path: Path | None, made: "TransferredLabels | None", there: "Volume", about: dict[str, Any]
) -> Path | None:
    from ..io import save_labels
    from ..io.label_tables import write_table
    from ..provenance import write_provenance

    if made is None or path is None:
        return None
    labels = replace(made.labels, source=there.source_grid)
    written = save_labels(path, labels)
    write_provenance(written, about)
    beside = _names_file(path)
    if labels.names and beside is not None:
        write_table(beside, labels.names, labels.names, {})
    return written


def _save(path: Path | None, data: Any, there: "Volume", about: dict[str, Any]) -> Path | None:
    from ..io import save_map
    from ..provenance import write_provenance

    if path is None or data is None:
        return None
    written = save_map(path, data, there)
    write_provenance(written, about)
    return written


def _save_table(path: Path | None, rows: list[dict[str, Any]], about: dict[str, Any]) -> Path | None:
    from ..matching import write_landmarks
    from ..provenance import write_provenance

    if path is None:
        return None
    written = write_landmarks(path, rows)
    write_provenance(written, about)
    return written


def _save_field(path: Path | None, way: "Deformation", there: "Volume", about: dict[str, Any]) -> Path | None:
    from ..io.transforms import save_transform
    from ..provenance import write_provenance
    from ..spatial import Grid, geometry

    if path is None:
        return None
    # The fields are smoother than this, and a field at every voxel takes gigabytes.
    steps = np.maximum(1, np.floor(FIELD_MM / there.grid.spacing_mm)).astype(int)
    shape = tuple(int(np.ceil((n - 1) / s)) + 1 for n, s in zip(there.shape, steps, strict=True))
    grid = Grid(shape, there.affine @ geometry.scale(steps))  # type: ignore[arg-type]
    written = save_transform(path, way.backward.on(grid), grid)
    write_provenance(written, about)
    return written


def _save_warped(
    path: Path | None, volume: "Volume", way: "Deformation", there: "Volume", about: dict[str, Any]
) -> Path | None:
    from ..matching import warp_volume

    if path is None:
        return None
    hu = np.rint(warp_volume(volume, way, there.grid)).astype(np.int16)
    return _save(path, hu, there, about)


def _about(way: "Deformation") -> dict[str, Any]:
    low, high = way.common_mm
    return {
        "in_words": way.in_words,
        "affine": way.forward.after,
        "confidence": way.mean_confidence,
        "common_share": way.body_share,
        "common_mm": [low, high],
        "folding": way.folding,
    }


def _sizes(made: "TransferredLabels | None") -> list[dict[str, Any]]:
    if made is None:
        return []
    rows = []
    for value in (int(v) for v in np.unique(made.labels.data) if v):
        inside = made.labels.data == value
        rows.append(
            {
                "value": value,
                "name": made.labels.names.get(value),
                "volume_ml": float(inside.sum() * made.labels.grid.voxel_ml),
                "confidence": float(made.confidence[inside].mean()),
            }
        )
    return rows


def _lines(made: "TransferredLabels | None", rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    if made is not None:
        lines.append("value  volume (ml)  confidence  name")
        for row in _sizes(made):
            name = row["name"] or ""
            lines.append(f"{row['value']:>5}  {row['volume_ml']:>11.1f}  {row['confidence']:>10.2f}  {name}")
    if rows:
        lines.append("confidence   position in B (mm, RAS)   name")
        for row in rows:
            place = position(row[axis] for axis in ("x_mm", "y_mm", "z_mm"))
            lines.append(f"{row['confidence']:>10.2f}   {place:<24}   {row['name']}: {row['certainty']}")
    return lines
