"""``query`` and ``project``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import InputError
from ..volume import Volume
from . import options
from .options import DEFAULT_STAGES, CtPath, Device, Json, Model, Series, Stages
from .output import emit, position
from .work import features_of, open_ct, open_model

if TYPE_CHECKING:
    from ..features import FeatureMaps
    from ..similarity import HeatMap, Region

OVERVIEW_WINDOW_HU = (-160.0, 240.0)


# --- query --------------------------------------------------------------------------------------------------------


def query(
    ct: CtPath,
    at: Annotated[
        list[str], typer.Option(metavar="X,Y,Z", help="Position that looks like it, in mm; may be repeated.")
    ],
    against: Annotated[
        list[str] | None, typer.Option("--not", metavar="X,Y,Z", help="Position that does not; may be repeated.")
    ] = None,
    other: Annotated[Path | None, typer.Option("--in", metavar="OTHER_CT", help="Search in this CT instead.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="HEAT.nii.gz", help="Heat map to write.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many of the best regions to list.")] = 10,
    stages: Stages = DEFAULT_STAGES,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Find what looks like the given positions: a heat map, higher = more similar, and its best regions."""
    from ..volume_io import require_output

    strides = options.strides(stages)
    positive, negative = options.points(at, "--at"), options.points(against, "--not")
    require_output(out, ct, other)
    volume = open_ct(ct, series)
    volume.grid.require_inside(positive, where="--at")
    volume.grid.require_inside(negative, where="--not")
    searched = open_ct(other) if other else volume
    encoder = open_model(model, device)
    features = features_of(volume, encoder, strides)
    target = features_of(searched, encoder, strides) if other else features
    heat, regions = _search(target, features, positive, negative, top)
    results = {
        "model": encoder.name,
        "top": [{"position_mm": r.position_mm, "score": r.score, "size_ml": r.size_ml} for r in regions],
        "score_range": [heat.minimum, float(heat.data[heat.inside].max())],
        "score_at": None if other else heat.at(positive),
        "notes": searched.notes,
    }
    written = _save(out, heat, searched)
    emit(
        "query",
        as_json=as_json,
        inputs={"ct": ct, "at_mm": positive, "not_mm": negative, "in": other, "stages": strides},
        outputs={"heat": written},
        results=results,
        lines=_region_lines(regions),
    )


def _search(
    target: "FeatureMaps", features: "FeatureMaps", positive: NDArray, negative: NDArray, top: int
) -> "tuple[HeatMap, list[Region]]":
    from ..similarity import heat_map, top_regions

    heat = heat_map(target, positive, negative, query_features=None if target is features else features)
    return heat, top_regions(heat, top) if top else []


def _region_lines(regions: "list[Region]") -> list[str]:
    head = [" #   score   size (ml)   position (mm, RAS)"] if regions else []
    return head + [
        f"{rank:>2}  {r.score:>6.3f}  {r.size_ml:>10.1f}   {position(r.position_mm)}"
        for rank, r in enumerate(regions, 1)
    ]


def _save(out: Path | None, result: Any, volume: Volume) -> Path | None:
    from ..volume_io import save_map

    return None if out is None else save_map(out, result.on(volume.grid), volume)


# --- project ------------------------------------------------------------------------------------------------------


def project(
    ct: CtPath,
    method: Annotated[Literal["pca", "umap"], typer.Option(help="How features become colors.")] = "pca",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RGB.nii.gz", help="Color volume to write.")
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="OVERVIEW.png", help="Picture of three planes to write.")] = None,
    stages: Stages = DEFAULT_STAGES,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Show features as colors: what looks alike to the model has like colors."""
    from ..volume_io import require_output

    if method == "umap":
        raise InputError("not available yet", where="--method", found="umap", expected="pca")
    if out is None and png is None:
        raise InputError("nothing to write", expected="-o RGB.nii.gz or --png OVERVIEW.png")
    strides = options.strides(stages)
    require_output(out, ct)
    if png is not None and png.suffix.lower() != ".png":
        raise InputError("not a picture name", where=png, expected="a name that ends in .png")
    volume = open_ct(ct, series)
    encoder = open_model(model, device)
    features = features_of(volume, encoder, strides)
    rgb = _pca(features)
    outputs = {"rgb": _save(out, rgb, volume), "png": None if png is None else _draw(png, rgb, volume, features)}
    emit(
        "project",
        as_json=as_json,
        inputs={"ct": ct, "method": method, "stages": strides},
        outputs=outputs,
        results={"model": encoder.name, "explained": rgb.explained, "notes": volume.notes},
        lines=["explained:     " + ", ".join(f"{share:.1%}" for share in rgb.explained)],
    )


def _pca(features: "FeatureMaps") -> Any:
    from ..projection import pca_rgb

    return pca_rgb(features)


def _draw(path: Path, rgb: Any, volume: Volume, features: "FeatureMaps") -> Path:
    from ..preprocess import resample
    from .png import overview, write_png

    hu = resample(volume.data, volume.grid, features.grid)
    return write_png(path, overview(np.asarray(hu), rgb.on(features.grid), features.body, OVERVIEW_WINDOW_HU))
