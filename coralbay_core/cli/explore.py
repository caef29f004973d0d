"""``embed`` and ``query``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from numpy.typing import NDArray

from ..errors import InputError
from ..volume import Volume
from . import options
from .options import DEFAULT_STAGES, CtPath, Device, Json, Model, Series, Stages
from .output import Progress, emit, position
from .work import features_of, open_ct, open_model, scans_in

if TYPE_CHECKING:
    from ..features import FeatureMaps
    from ..similarity import HeatMap, Region

# --- embed --------------------------------------------------------------------------------------------------------


def embed(
    ct: Annotated[Path, typer.Argument(metavar="CT|FOLDER", help="A CT, or a folder of NIfTI files.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Folder for the features, one sub-folder a scan.")
    ] = None,
    stages: Stages = DEFAULT_STAGES,
    roi: Annotated[
        str | None, typer.Option(metavar="X,Y,Z,X,Y,Z", help="Only the box between two corners, in mm (needs -o).")
    ] = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Compute features of a CT, or of all in a folder, and keep them for the other commands."""
    strides = options.strides(stages)
    corners = None if roi is None else options.numbers(roi, 6, "--roi").reshape(2, 3)
    if corners is not None and out is None:
        raise InputError("a region is not kept in the cache", where="--roi", hint="say where to write it with -o")
    scans = dict(scans_in(ct))
    encoder = open_model(model, device)
    done = [_embed_one(name, open_ct(path, series), encoder, strides, corners, out) for name, path in scans.items()]
    emit(
        "embed",
        as_json=as_json,
        inputs={"ct": ct, "stages": strides, "roi_mm": corners, "model": encoder.name},
        outputs={"folder": out},
        results={"scans": done},
        lines=[_embed_line(entry) for entry in done],
    )


def _embed_one(
    name: str, volume: Volume, encoder: Any, strides: tuple[int, ...], corners: NDArray | None, out: Path | None
) -> dict[str, Any]:
    from ..pipeline import features_for
    from ..store import FeatureStore

    box = None if corners is None else (corners[0], corners[1])
    features = features_for(volume, encoder, strides=strides, roi_mm=box, progress=Progress(f"features of {name}"))
    # A folder of the user's own is never pruned.
    folder = FeatureStore(out, limit_bytes=sys.maxsize).put(name, features) if out else None
    return {
        "name": name,
        "folder": folder,
        "bytes": features.size_bytes,
        "stages": {stride: {"shape": stage.data.shape} for stride, stage in features.stages.items()},
    }


def _embed_line(entry: dict[str, Any]) -> str:
    stages = ", ".join(f"stride {s}: {' x '.join(map(str, v['shape']))}" for s, v in entry["stages"].items())
    return f"{entry['name']}: {stages} ({entry['bytes'] / 1e6:.1f} MB)"


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
