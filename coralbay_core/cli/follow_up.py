"""The command ``follow-up``: change of labeled lesions between two scans of a patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from . import options
from .common import features_of, open_ct, open_labels, open_model, require_outputs, weights_files
from .options import Device, Json, Model, Stages
from .output import emit, note

if TYPE_CHECKING:
    from ..matching import LesionChange


def follow_up(
    baseline: Annotated[Path, typer.Argument(metavar="LESIONS_A", help="Label map of the lesions in A.")],
    later: Annotated[Path, typer.Argument(metavar="LESIONS_B", help="Label map of the lesions in B.")],
    source: Annotated[Path | None, typer.Option("--from", metavar="A", help="Baseline CT.")] = None,
    target: Annotated[Path | None, typer.Option("--to", metavar="B", help="Follow-up CT.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT.csv", help="File for the table, .csv or .json.")
    ] = None,
    within_mm: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Pair lesions up to this far from where the scans align.  [default: 25]"),
    ] = None,
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compare the lesions of two scans of a patient: longest diameter and volume, new and resolved ones.

    Each connected part of a label is a lesion. Lesions are paired where the deformable alignment of both scans puts
    them.
    """
    from ..matching import deform, follow_lesions
    from ..matching.landmarks import require_table_name
    from ..matching.lesions import PAIR_MM

    if source is None or target is None:
        raise InputError("two scans are needed", expected="--from A.nii.gz and --to B.nii.gz")
    strides = options.strides(stages)
    options.require_positive(within_mm, "--within-mm")
    require_table_name(out)
    require_outputs([out], source, target, *weights_files(model), labels=[baseline, later])
    first, second = open_ct(source), open_ct(target)
    before, now = open_labels(baseline, like=first), open_labels(later, like=second)
    encoder = open_model(model, device)
    features = [features_of(volume, encoder, strides) for volume in (first, second)]
    alignment = deform(*features, weights=options.equal_stage_weights(strides))
    note(alignment.in_words)
    changes = follow_lesions(before, now, alignment, within_mm=within_mm or PAIR_MM)
    rows = [change.as_row() for change in changes]
    emit(
        "follow-up",
        as_json=as_json,
        inputs={"lesions": [baseline, later], "from": source, "to": target},
        outputs={"table": _written(out, rows, first, second, encoder, within_mm=within_mm or PAIR_MM)},
        results={"model": encoder.name, "alignment": alignment.in_words, "lesions": rows},
        lines=_lines(changes),
    )


def _written(out: Path | None, rows: list[dict[str, Any]], first: Any, second: Any, encoder: Any, **more: Any) -> Any:
    from ..matching import write_landmarks
    from ..provenance import provenance, write_provenance

    if out is None:
        return None
    written = write_landmarks(out, rows)
    write_provenance(written, provenance(second, first, model=encoder.name, fingerprint=encoder.fingerprint, **more))
    return written


def _lines(changes: "tuple[LesionChange, ...]") -> list[str]:
    width = max(6, *(len(change.name) for change in changes))
    lines = [f"{'lesion':<{width}}  change      diameter (mm)         volume (ml)         confidence"]
    for change in changes:
        row = change.as_row()
        sizes = [
            f"{_number(row[f'baseline_{part}'])} -> {_number(row[part])} {_signed(row[f'{name}_change_percent'])}"
            for part, name in (("diameter_mm", "diameter"), ("volume_ml", "volume"))
        ]
        lines.append(f"{change.name:<{width}}  {change.change:<8}  {sizes[0]}   {sizes[1]}   {change.confidence:.2f}")
    return lines


def _number(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:>6.1f}"


def _signed(percent: float | None) -> str:
    return f"{'':>7}" if percent is None else f"({percent:+4.0f}%)"
