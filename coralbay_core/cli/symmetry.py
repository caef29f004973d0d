"""The command ``symmetry``: a position and its counterpart on the other side of the patient."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from . import options
from .common import features_of, open_ct, open_model, require_outputs
from .options import CtPath, Device, FixedStageWeights, Json, Model, Series, Stages
from .output import emit, position, table


def symmetry(
    ct: CtPath,
    at: Annotated[
        list[str], typer.Option(metavar="X,Y,Z", help="Position in mm, or a list of landmarks; may be repeated.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="HEAT.nii.gz",
            help="File for the heat map on the other side; needs exactly one --at.",
        ),
    ] = None,
    search_mm: Annotated[float, typer.Option(metavar="MM", help="Search radius around the mirrored position.")] = 20.0,
    stage_weights: FixedStageWeights = None,
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Compare positions with the other side of the body.

    Positions are mirrored across the mid-sagittal plane; the most similar point near the mirrored position is reported.
    """
    from ..io import require_output, save_map
    from ..provenance import provenance, write_provenance
    from ..similarity.symmetry import compare_sides, find_midplane

    strides, places = options.strides(stages), options.points(at, "--at")
    mixer = options.fixed_stage_weights(stage_weights)
    require_output(out, ct, labels=False)
    require_outputs([out], ct, *options.point_files(at))
    if out is not None and len(places) > 1:
        raise InputError("a heat map needs exactly one position", where="-o", found=f"{len(places)} positions")
    volume = open_ct(ct, series)
    volume.grid.require_inside(places, where="--at")
    encoder = open_model(model, device)
    features = features_of(volume, encoder, strides)
    plane = find_midplane(features)
    pairs = [compare_sides(features, p, plane=plane, weights=mixer, search_mm=search_mm) for p in places]
    written = None
    if out is not None:
        written = save_map(out, pairs[0].heat.resample_to(volume.grid), volume)
        more: dict[str, Any] = {"at_mm": places, "search_mm": search_mm, "weights": pairs[0].heat.weights}
        write_provenance(
            written, provenance(volume, model=encoder.name, fingerprint=encoder.fingerprint, symmetry=True, **more)
        )
    found = [{key: getattr(pair, key) for key in _KEYS} for pair in pairs]
    about = {
        "point_mm": plane.point_mm,
        "normal": plane.normal,
        "turned_degrees": plane.turned_degrees,
        "overlap": plane.overlap,
    }
    emit(
        "symmetry",
        as_json=as_json,
        inputs={"ct": ct, "at_mm": places},
        outputs={"heat": written},
        results={"model": encoder.name, "plane": about, "pairs": found, "notes": volume.notes},
        lines=[*_plane_lines(about), *(line for pair in found for line in _pair_lines(pair))],
    )


_KEYS = ("position_mm", "mirror_mm", "counterpart_mm", "difference", "by_stage", "rank")


def _plane_lines(plane: dict[str, Any]) -> list[str]:
    turned = f"turned by {plane['turned_degrees']:.1f} degrees" if plane["turned_degrees"] >= 0.5 else "not turned"
    overlap = f"{plane['overlap']:.0%} of the body overlap with its mirror image"
    return [f"plane:         through {position(plane['point_mm'])}, {turned}; {overlap}"]


def _pair_lines(pair: dict[str, Any]) -> list[str]:
    stages = ", ".join(f"stride {s}: {d:.2f}" for s, d in pair["by_stage"].items())
    usual = f"{pair['rank']:.0%} of the body is more symmetric"
    return table(
        {
            "position": f"{position(pair['position_mm'])} mm",
            "mirrored": f"{position(pair['mirror_mm'])} mm",
            "most similar": f"{position(pair['counterpart_mm'])} mm",
            "difference": f"{pair['difference']:.2f} ({stages}); {usual}",
        }
    )
