"""The command ``query``."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume, Volume
from . import options
from .common import features_of, open_ct, open_labels, open_model, require_outputs, weights_files
from .labels import value_of
from .options import CtPath, Device, Json, Model, Series, Stages, StageWeights
from .output import emit, note, position

if TYPE_CHECKING:
    from ..features import FeatureMaps
    from ..matching import Answer, SimilarityRequest
    from ..similarity import HeatMap, Query, Region


_FIND, _WHERE, _OUT = "Options: what to find", "Options: where to search", "Options: results"


@dataclass(frozen=True, eq=False)
class Asked:
    """Input of the command, before features are computed.

    Parameters
    ----------
    positive, negative : (N, 3) arrays
        Clicks, world mm.
    strokes, region : str, optional
        File of strokes; file or box of a region.
    label : str, optional
        Of the file of a region, its value or name.
    use : Path, optional
        Saved query.
    """

    positive: NDArray
    negative: NDArray
    strokes: Path | None
    region: str | None
    label: str | None
    use: Path | None

    def require_something(self) -> None:
        """Raise unless there is something to search for, and a label has a label map."""
        if not (self.has_places or self.use):
            raise InputError("nothing to search for", expected="at least one of --at, --strokes, --region, --use")
        if self.label is not None and not self.region:
            raise InputError(
                "no label map for this label", where="--label", hint="give the label map with --region FILE.nii.gz"
            )

    @property
    def region_file(self) -> Path | None:
        """Label map of the region; None for a box."""
        return Path(self.region) if self.region and not _is_box(self.region) else None

    @property
    def has_places(self) -> bool:
        """Whether there is more to look for than a saved query."""
        return bool(len(self.positive) or self.strokes or self.region)

    def require_places(self, mixer: Any, prior_mm: float | None) -> None:
        """Raise if an option needs places and a saved query is all there is."""
        if mixer == "auto" and not self.has_places:
            raise InputError(
                "auto weights need positions",
                where="--stage-weights",
                hint="leave the option out: a saved query has its own",
            )
        if prior_mm is not None and not self.has_places:
            raise InputError(
                "a distance prior needs positions", where="--prior-mm", hint="a saved query has none: add --at"
            )

    def points(self, volume: Volume, features: "FeatureMaps") -> tuple[NDArray, NDArray]:
        """All places, like and unlike, world mm."""
        from ..similarity import box_points, label_points, stroke_points

        like, unlike = [self.positive], [self.negative]
        if self.strokes:
            painted = stroke_points(open_labels(self.strokes, like=volume))
            like.append(painted[0])
            unlike.append(painted[1])
        if self.region and _is_box(self.region):
            like.append(box_points(features, options.numbers(self.region, 6, "--region").reshape(2, 3)))
        elif self.region:
            labels = open_labels(Path(self.region), like=volume)
            like.append(label_points(labels, None if self.label is None else value_of(labels, self.label)))
        return np.concatenate(like), np.concatenate(unlike)


def _is_box(text: str) -> bool:
    return text.count(",") == 5 and not text.lower().endswith((".nii", ".nii.gz"))


def query(
    ct: CtPath,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,Z",
            rich_help_panel=_FIND,
            help="Position of what to find, in mm, or a list of landmarks; may be repeated.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar="X,Y,Z",
            rich_help_panel=_FIND,
            help="Position of what not to find, in mm, or a list of landmarks; may be repeated.",
        ),
    ] = None,
    strokes: Annotated[
        Path | None,
        typer.Option(
            metavar="STROKES.nii.gz",
            rich_help_panel=_FIND,
            help="Label map on the CT's grid: 1 marks what to find, 2 what not to find.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="MASK.nii.gz|X,Y,Z,X,Y,Z",
            rich_help_panel=_FIND,
            help="Region to find more of: a mask or label map on the CT's grid, or two corners of a box in mm.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE|NAME",
            rich_help_panel=_FIND,
            help="Label of --region to use: its value, or its name in the JSON file beside it.  [default: all labels]",
        ),
    ] = None,
    by: Annotated[
        Literal["auto", "max", "mean", "medoid", "kmeans"],
        typer.Option(
            metavar="auto|max|mean|medoid|kmeans",
            rich_help_panel=_FIND,
            help="How several positions are combined; auto: max for clicks, kmeans for strokes and regions.",
        ),
    ] = "auto",
    use: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.query",
            rich_help_panel=_FIND,
            help="Saved query to search with, alone or together with the other options.",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option("--in", metavar="OTHER_CT", rich_help_panel=_WHERE, help="CT to search instead of the first one."),
    ] = None,
    stage_weights: StageWeights = None,
    prior_mm: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            rich_help_panel=_WHERE,
            help="Prefer regions within about this distance of the positions (in OTHER_CT: of the aligned positions).",
        ),
    ] = None,
    scope: Annotated[
        Literal["everywhere", "here", "place"] | None,
        typer.Option(
            metavar="everywhere|here|place",
            rich_help_panel=_WHERE,
            help="everywhere: what looks like the positions in the whole scan; here: the structure that they lie in; "
            "place: what looks like them near them, or near where they align in OTHER_CT.  [default: everywhere; with "
            "--in, place]",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE|5%|auto",
            rich_help_panel=_OUT,
            help="Write a mask instead: all voxels with at least this score, the best percentage of the body, or, with "
            "--scope here, `auto`: up to the border of the structure.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="HEAT.nii.gz",
            rich_help_panel=_OUT,
            help="File for the heat map (with --threshold: the mask).",
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=0, rich_help_panel=_OUT, help="Number of best regions to list.")
    ] = 10,
    table: Annotated[
        Path | None,
        typer.Option(metavar="TOP.csv", rich_help_panel=_OUT, help="File for the list of regions, .csv or .json."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="NAME.query", rich_help_panel=_OUT, help="File to save the query to.")
    ] = None,
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Find everything in a CT that looks like the given positions.

    Writes a heat map (higher = more similar) and lists its best regions.
    """
    from ..io import require_output
    from ..matching import answer
    from ..matching.landmarks import require_table_name

    strides = options.strides(stages)
    mixer, cut = options.stage_weights(stage_weights), _threshold(threshold)
    asked = Asked(options.points(at, "--at"), options.points(against, "--not"), strokes, region, label, use)
    asked.require_something()
    asked.require_places(mixer, prior_mm)
    scope = scope or ("place" if other is not None and asked.has_places else "everywhere")
    if scope == "here" and other is not None:
        raise InputError("the structure lies in the first scan", where="--in", hint="use --scope place or everywhere")
    if cut == ("auto", 0.0) and scope != "here":
        raise InputError("no border to find", where="--threshold", hint="auto needs --scope here")
    require_output(out, ct, other, labels=cut is not None)
    require_table_name(table)
    listed = options.point_files([*(at or ()), *(against or ())])
    require_outputs(
        (out, table, save), ct, other, use, *listed, *weights_files(model), labels=(strokes, asked.region_file)
    )
    if threshold is not None and out is None:
        raise InputError("no output file for the mask", where="--threshold", hint="add -o MASK.nii.gz")
    saved, strides = _opened(use, save, strides)
    volume = open_ct(ct, series)
    volume.grid.require_inside(asked.positive, where="--at")
    volume.grid.require_inside(asked.negative, where="--not")
    searched = open_ct(other) if other else volume
    encoder = open_model(model or (saved.model if saved else None), device)
    features = features_of(volume, encoder, strides)
    target = features_of(searched, encoder, strides) if other else features
    request = _request(
        asked,
        volume,
        features,
        target,
        saved,
        by=by,
        weights=mixer,
        prior_mm=prior_mm,
        top=top,
        scope=scope,
        guide=searched,
    )
    found = answer(request)
    if found.note:
        note(found.note)
    heat, regions = found.heat, list(found.regions)
    score = _score(heat, cut)
    about = _provenance(volume, searched, encoder, asked, heat, by=by, prior_mm=prior_mm, scope=scope, threshold=score)
    outputs = {
        "mask" if cut else "heat": _save_map(out, heat, searched, score, about),
        "table": _save_table(table, regions, about),
        "query": None
        if save is None
        else replace(found.query, about=about, weights=dict(heat.weights) or None).save(save),
    }
    results = _results(found, None if other else asked.positive)
    results |= {"threshold": score, "notes": searched.notes, "scope": scope, "alignment": found.note or None}
    inputs = {"ct": ct, "at_mm": asked.positive, "not_mm": asked.negative, "in": other, "stages": target.strides}
    lines = [*_region_lines(regions), *_weight_lines(heat, mixer)]
    emit("query", as_json=as_json, inputs=inputs, outputs=outputs, results=results, lines=lines)


def _score(heat: "HeatMap", cut: tuple[str, float] | None) -> float | None:
    """Score of a threshold."""
    if cut is None or cut[0] == "score":
        return None if cut is None else cut[1]
    return heat.threshold if cut[0] == "auto" else heat.score_of_share(cut[1])


def _threshold(text: str | None) -> tuple[Literal["score", "share", "auto"], float] | None:
    """A score, a share of the body such as ``5%``, or ``auto``."""
    if text is None:
        return None
    if text == "auto":
        return "auto", 0.0
    try:
        share = text.endswith("%")
        value = float(text.removesuffix("%")) / (100 if share else 1)
        if not np.isfinite(value) or (share and not 0 < value <= 1):
            raise ValueError
    except ValueError:
        raise InputError(
            "not a threshold", where="--threshold", found=text, expected="a score or a percentage, e.g. 0.6 or 5%"
        ) from None
    return ("share" if share else "score"), value


def _opened(
    use: Path | None, save: Path | None, strides: tuple[int, ...] | None
) -> "tuple[Query | None, tuple[int, ...] | None]":
    """The saved query, and the strides that can be asked: its own unless others were chosen."""
    from ..similarity.query import load_query, require_name

    if save is not None:
        require_name(save)
    if use is None:
        return None, strides
    saved = load_query(use)
    common = saved.strides if strides is None else tuple(s for s in strides if s in saved.strides)
    if not common:
        raise InputError("query has none of the requested stages", where=use, found=saved.strides, expected=strides)
    return saved, common


def _request(
    asked: Asked,
    volume: Volume,
    features: "FeatureMaps",
    target: "FeatureMaps",
    saved: "Query | None",
    *,
    by: str,
    weights: Any,
    **settings: Any,
) -> "SimilarityRequest":
    """The request to answer; notes where "auto" has nothing to choose weights from."""
    from ..matching import SimilarityRequest

    positive, negative = asked.points(volume, features)
    if weights == "auto" and len(positive) < 2 and not len(negative):
        note("--stage-weights auto needs two clicks or more: all stages get the same weight")
    return SimilarityRequest(
        target=target,
        source=features,
        positive_mm=positive,
        negative_mm=negative,
        queries=() if saved is None else (saved,),
        reduction=by if by != "auto" else "kmeans" if asked.strokes or asked.region else "max",  # type: ignore[arg-type]
        weights=weights,
        **settings,
    )


def _results(found: "Answer", clicks: NDArray | None) -> dict[str, Any]:
    """The answer as values of JSON; `clicks` lie in the scan that was searched."""
    heat = found.heat
    return {
        "model": heat.features.model,
        "weights": found.weights,
        "prototypes": found.query.size,
        "top": [{"position_mm": r.position_mm, "score": r.score, "size_ml": r.size_ml} for r in found.regions],
        "score_range": [heat.minimum, float(heat.data[heat.inside].max())],
        "score_at": None if clicks is None or not len(clicks) else heat.at(clicks),
    }


def _provenance(
    volume: Volume, searched: Volume, encoder: Any, asked: Asked, heat: "HeatMap", **parameters: Any
) -> dict[str, Any]:
    from ..provenance import provenance

    scans = (searched,) if searched is volume else (searched, volume)
    return provenance(
        *scans,
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        at_mm=asked.positive if len(asked.positive) else None,
        not_mm=asked.negative if len(asked.negative) else None,
        strokes=True if asked.strokes else None,
        region=asked.region if asked.region and _is_box(asked.region) else (True if asked.region else None),
        label=asked.label,
        weights=heat.weights,
        **parameters,
    )


def _save_map(
    out: Path | None, heat: "HeatMap", volume: Volume, threshold: float | None, about: dict[str, Any]
) -> Path | None:
    from ..io import save_labels, save_map
    from ..provenance import write_provenance

    if out is None:
        return None
    if threshold is None:
        written = save_map(out, heat.resample_to(volume.grid), volume)
    else:
        mask = heat.mask(volume.grid, threshold).astype(np.uint8)
        written = save_labels(
            out, LabelVolume(mask, volume.grid, "similar", source=volume.source_grid, names={1: "similar"})
        )
    write_provenance(written, about)
    return written


def _save_table(path: Path | None, regions: "list[Region]", about: dict[str, Any]) -> Path | None:
    from ..matching import write_landmarks
    from ..provenance import write_provenance

    if path is None:
        return None
    written = write_landmarks(path, region_rows(regions))
    write_provenance(written, about)
    return written


def region_rows(regions: "list[Region]") -> Iterator[dict[str, Any]]:
    """One row per region, as `read_landmarks` takes it."""
    for rank, region in enumerate(regions, 1):
        place = (round(float(v), 2) for v in region.position_mm)
        yield {
            "name": str(rank),
            **dict(zip(("x_mm", "y_mm", "z_mm"), place, strict=True)),
            "score": round(float(region.score), 4),
            "size_ml": round(region.size_ml, 3),
        }


def _region_lines(regions: "list[Region]") -> list[str]:
    head = [" #   score   size (ml)   position (mm, RAS)"] if regions else []
    return head + [
        f"{rank:>2}  {r.score:>6.3f}  {r.size_ml:>10.1f}   {position(r.position_mm)}"
        for rank, r in enumerate(regions, 1)
    ]


def _weight_lines(heat: "HeatMap", mixer: Any) -> list[str]:
    if mixer is None or not heat.weights:
        return []
    return ["weights:       " + ", ".join(f"stride {s}: {w:.2f}" for s, w in sorted(heat.weights.items()))]
