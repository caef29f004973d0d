"""The command ``export``: label maps as DICOM objects."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import InputError
from .common import open_labels, require_outputs
from .options import Json, Series
from .output import emit


def export(
    labels: Annotated[Path, typer.Argument(metavar="SEG.nii.gz", help="Label map on the grid of the DICOM series.")],
    dicom: Annotated[Path, typer.Option(metavar="DIR", help="DICOM series that the label map was made on.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.dcm", help="DICOM file to write.")],
    kind: Annotated[
        Literal["seg", "rtstruct"],
        typer.Option("--as", metavar="seg|rtstruct", help="Type of object: DICOM-SEG or RTSTRUCT."),
    ] = "seg",
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="NAMES.json",
            help='Names of the labels, {"1": "liver"}, or a label description of ITK-SNAP in .txt.'
            "  [default: those in the label map, or in SEG.json or SEG.txt next to it]",
        ),
    ] = None,
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Write a label map as a DICOM-SEG or RTSTRUCT object.

    The object references the images of the DICOM series.
    """
    from dataclasses import replace

    from ..io import load_volume, save_dicom
    from ..io.dicom_seg import require_highdicom
    from ..io.label_tables import read_table
    from ..provenance import in_few_words, provenance, write_provenance

    if out.suffix.lower() not in (".dcm", ""):
        raise InputError("not a DICOM name", where=out, expected="a name that ends in .dcm")
    require_outputs([out], dicom, names, labels=[labels])
    if kind == "seg":
        require_highdicom()
    volume = load_volume(dicom, series=series)
    label_map = open_labels(labels, like=volume)
    if names is not None:
        label_map = replace(label_map, names=read_table(names).names)
    earlier = _earlier_provenance(labels)
    about = provenance(
        volume, model=earlier.get("model"), fingerprint=earlier.get("fingerprint"), made_from=earlier or None
    )
    written = save_dicom(out, label_map, dicom, kind=kind, series=series, about=in_few_words(about))
    write_provenance(written, about)
    present = {int(v): label_map.names.get(int(v)) or f"label {v}" for v in _values(label_map)}
    emit(
        "export",
        as_json=as_json,
        inputs={"labels": labels, "dicom": dicom, "as": kind},
        outputs={kind: written},
        results={"labels": present, "slices": volume.source_grid.shape[2]},
        lines=[f"label {value}: {name}" for value, name in present.items()],
    )


def _earlier_provenance(labels: Path) -> dict[str, Any]:
    """Provenance file next to the label map, or an empty dict."""
    from ..provenance import beside

    try:
        content = json.loads(beside(labels).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _values(labels: Any) -> list[int]:
    import numpy as np

    return [int(value) for value in np.unique(labels.data) if value]
