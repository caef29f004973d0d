"""``probe fit`` and ``probe apply``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from ..errors import InputError
from ..volume import Volume
from . import options
from .options import DEFAULT_STAGES, CtPath, Device, Json, Model, Series, Stages
from .output import emit, table
from .work import features_of, open_ct, open_model

app = typer.Typer(help="Segmentation from a few strokes.", rich_markup_mode=None)


@app.command("fit")
def fit(
    ct: CtPath,
    labels: Annotated[
        Path, typer.Option(metavar="STROKES.nii.gz", help="Integers on the CT's grid; 0 is unlabelled, others classes.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="PROBE.safetensors", help="Probe to write.")],
    kind: Annotated[
        Literal["ridge", "prototype"], typer.Option(help="Ridge regression, or nearest class mean.")
    ] = "ridge",
    stages: Stages = DEFAULT_STAGES,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Fit a probe to strokes on a CT."""
    from ..probe import fit_probe
    from ..volume_io import load_labels

    strides = options.strides(stages)
    if out.suffix != ".safetensors":
        raise InputError("not a probe name", where=out, expected="a name that ends in .safetensors")
    volume = open_ct(ct, series)
    strokes = load_labels(labels, like=volume)
    encoder = open_model(model, device)
    fitted = fit_probe(features_of(volume, encoder, strides), strokes, kind=kind)
    out.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "model": fitted.model,
        "kind": fitted.kind,
        "values": fitted.values,
        "names": fitted.names,
        "stages": list(fitted.strides),
        "labelled_voxels": int(np.count_nonzero(strokes.data)),
    }
    emit(
        "probe fit",
        as_json=as_json,
        inputs={"ct": ct, "labels": labels, "kind": kind},
        outputs={"probe": fitted.save(out)},
        results=results,
        lines=table(
            {"classes": ", ".join(map(str, fitted.values)), "labelled": f"{results['labelled_voxels']} voxels"}
        ),
    )


@app.command("apply")
def apply(
    probe: Annotated[Path, typer.Argument(metavar="PROBE", help="A file written by `coralbay probe fit`.")],
    ct: CtPath,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="SEG.nii.gz", help="Label map to write.")],
    probability: Annotated[
        Path | None, typer.Option(metavar="P.nii.gz", help="Probability of the label of each voxel to write.")
    ] = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Segment a CT with a probe; labels keep the values that were painted."""
    from ..probe import load_probe
    from ..volume_io import require_output, save_map

    require_output(out, ct)
    require_output(probability, ct, out)
    fitted = load_probe(probe)
    volume = open_ct(ct, series)
    features = features_of(volume, open_model(model or fitted.model, device), fitted.strides)
    segmentation, confidence = fitted.segment_with_probability(
        features, volume.grid, probability=probability is not None
    )
    outputs = {
        "seg": save_map(out, segmentation, volume),
        "probability": None if probability is None or confidence is None else save_map(probability, confidence, volume),
    }
    classes = _sizes(segmentation, volume, fitted.names)
    emit(
        "probe apply",
        as_json=as_json,
        inputs={"probe": probe, "ct": ct},
        outputs=outputs,
        results={"model": fitted.model, "classes": classes, "notes": volume.notes},
        lines=[f"label {c['value']:<4} {c['size_ml']:>10.1f} ml  {c['name']}".rstrip() for c in classes],
    )


def _sizes(segmentation: np.ndarray, volume: Volume, names: dict[int, str]) -> list[dict[str, Any]]:
    values, counts = np.unique(segmentation, return_counts=True)
    return [
        {"value": int(value), "name": names.get(int(value), ""), "size_ml": float(count * volume.grid.voxel_ml)}
        for value, count in zip(values, counts, strict=True)
        if value
    ]
