"""The command ``match``: from a baseline scan to a follow-up, or to another patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..errors import CoralBayError, InputError
from . import options
from .common import features_of, open_ct, open_model, require_outputs, weights_files
from .options import Device, FixedStageWeights, Json, Model, Report, Series, Stages
from .output import Progress, emit, note, position
from .scans import Batch, Source, one_scan, scans_in

if TYPE_CHECKING:
    from ..matching import Deformation, FollowUp, Landmark
    from ..spatial import Volume

DEFAULT_PRIOR_MM = 30.0


def match(
    baseline: Annotated[Path, typer.Argument(metavar="A", help="CT in which the positions are known.")],
    follow_up: Annotated[
        Path, typer.Argument(metavar="B|FOLDER", help="CT in which to find them, or folder of scans of any format.")
    ],
    landmarks: Annotated[
        Path | None,
        typer.Option(
            metavar="L.csv",
            help="Positions in A: a table with the columns name,x_mm,y_mm,z_mm, or JSON {name: [x, y, z]}.",
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,Z", help="Position in A, in mm, or a list of landmarks; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT.csv|DIR",
            help="File for the matches, .csv or .json; a folder if B is a folder of scans.",
        ),
    ] = None,
    prior_mm: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="Prefer matches within about this distance of where A and B align; 0: no preference.  [default: 30]",
        ),
    ] = None,
    transform: Annotated[
        Path | None,
        typer.Option(
            metavar="T",
            help="Transform that brings A to the grid of B, as ITK, ANTs, elastix or Slicer write it (.tfm, .h5, .txt, "
            ".mat, or a field in .nii.gz), to align them from.",
        ),
    ] = None,
    report: Report = None,
    stage_weights: FixedStageWeights = None,
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Find landmarks or lesions of one CT in another CT.

    Each match is searched back in A; the distance in mm between the start and the position found is its confidence.
    """
    strides = options.strides(stages)
    places = _places(landmarks, at)
    mixer = options.fixed_stage_weights(stage_weights)
    options.require_positive(prior_mm, "--prior-mm", or_zero=True)
    start, targets = one_scan(baseline, series), scans_in(follow_up)
    several = targets.is_folder and not (len(targets.sources) == 1 and out is not None and _is_table(out))
    tables = _tables(out, targets.sources, several)
    inputs = (baseline, start.path, *start.files, follow_up, *targets.files, landmarks, *weights_files(model))
    inputs += options.point_files(at)
    if transform is not None:
        inputs += (transform,)
    options.require_csv(report)
    require_outputs([*tables.values(), report], *inputs)
    if transform is not None and several:
        raise InputError("one transform for several scans", where="--transform", expected="one scan B")
    known = None if transform is None else _read_transform(transform)
    first = open_ct(start.path, start.series)
    for place in places:
        first.grid.require_inside(place.position_mm, where=place.name)
    encoder = open_model(model, device)
    matcher = _Matcher(first, encoder, places, strides, mixer, prior_mm, known)
    batch = Batch("matches", len(targets.sources), several, targets.passed_over, report)
    done: list[dict[str, Any]] = []
    lines: list[str] = []
    for target in targets.sources:
        with batch.scan(target):
            entry, own = matcher.run(target, tables.get(target.name))
            done.append(entry)
            lines += [f"{target.name}:", *own] if several else own
    if not done:
        batch.finish()
    one = done[0]
    emit(
        "match",
        as_json=as_json,
        inputs={"baseline": baseline, "follow_up": follow_up, "landmarks": landmarks},
        outputs={"folder": out} if several else {"matches": one["table"]},
        results={"model": encoder.name}
        | ({"scans": done, "failed": batch.failed} if several else {key: one[key] for key in _ONE}),
        lines=lines,
    )
    batch.finish()


_ONE = ("prior_mm", "alignment", "confirmed", "matches")


class _Matcher:
    """Matches of the positions in one scan in others; features of the first are computed once."""

    def __init__(
        self,
        first: "Volume",
        encoder: Any,
        places: "list[Landmark]",
        strides: tuple[int, ...] | None,
        weights: Any,
        prior_mm: float | None,
        transform: Any = None,
    ):
        self.first, self.encoder, self.places, self.strides = first, encoder, places, strides
        self.weights, self.prior_mm, self.transform = weights, prior_mm, transform
        self.features = features_of(first, encoder, strides)

    def run(self, target: Source, out: Path | None) -> tuple[dict[str, Any], list[str]]:
        """Search one scan; returns the results, and lines for people."""
        from ..matching import propagate

        second = open_ct(target.path, target.series)
        features = features_of(second, self.encoder, self.strides)
        prior, alignment = _usable_prior(self.prior_mm, self.features, features, self.transform)
        found = propagate(
            self.places,
            self.features,
            features,
            weights=self.weights,
            prior_mm=prior,
            alignment=alignment,
            progress=Progress("matches"),
        )
        rows = list(found.rows())
        entry = {
            "name": target.name,
            "table": _written(out, rows, self.first, second, self.encoder, weights=self.weights, prior_mm=prior),
            "prior_mm": prior,
            "alignment": _about(alignment),
            "confirmed": found.confirmed,
            "matches": [_entry(row) for row in rows],
        }
        return entry, _lines(found)


def _is_table(path: Path) -> bool:
    from ..matching.landmarks import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def _tables(out: Path | None, targets: tuple[Source, ...], several: bool) -> dict[str, Path]:
    """Table of each scan, by name."""
    from ..matching.landmarks import require_table_name

    if out is None:
        return {}
    if not several:
        require_table_name(out)
        return {targets[0].name: out}
    if _is_table(out):
        raise InputError("matches of several scans need a folder", where=out, hint="give a folder with -o")
    return {target.name: out / f"{target.name}.csv" for target in targets}


def _places(landmarks: Path | None, at: list[str] | None) -> "list[Landmark]":
    from ..matching import Landmark, read_landmarks

    clicked = options.points(at, "--at")
    if landmarks is None and not len(clicked):
        raise InputError("no positions to find", expected="--landmarks L.csv or --at X,Y,Z")
    x = [Landmark(f"at {n}", (float(p[0]), float(p[1]), float(p[2]))) for n, p in enumerate(clicked, 1)]
    return [*(read_landmarks(landmarks) if landmarks else []), *x]


def _read_transform(path: Path) -> Any:
    from ..io.transforms import read_transform

    return read_transform(path)


def _usable_prior(
    wanted: float | None, source: Any, target: Any, transform: Any
) -> "tuple[float | None, Deformation | None]":
    """Width of the prior; if the scans cannot be aligned, the default width is dropped with a note."""
    from ..matching import alignment_of, deform

    if wanted == 0:
        return None, None
    try:
        found = alignment_of(source, target) if transform is None else deform(source, target, prior=transform)
    except CoralBayError as error:
        if wanted is not None or transform is not None:
            raise
        note(f"{error}; matches are searched without a distance prior")
        return None, None
    note(found.in_words)
    return DEFAULT_PRIOR_MM if wanted is None else wanted, found


def _written(out: Path | None, rows: list[dict[str, Any]], first: Any, second: Any, encoder: Any, **more: Any) -> Any:
    from ..matching import write_landmarks
    from ..provenance import provenance, write_provenance

    if out is None:
        return None
    written = write_landmarks(out, rows)
    about = provenance(second, first, model=encoder.name, fingerprint=encoder.fingerprint, **more)
    write_provenance(written, about)
    return written


def _about(alignment: "Deformation | None") -> dict[str, Any] | None:
    if alignment is None:
        return None
    rough = alignment.rough
    counts = {} if rough is None else {key: getattr(rough, key) for key in ("inliers", "candidates", "spread_mm")}
    return {
        "affine": alignment.forward.after,
        **counts,
        "confidence": alignment.mean_confidence,
        "common_share": alignment.body_share,
        "in_words": alignment.in_words,
    }


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    place = [row[axis] for axis in ("x_mm", "y_mm", "z_mm")]
    return {"name": row["name"], "position_mm": place, **{k: row[k] for k in ("score", "return_mm", "confirmed")}}


def _lines(found: "FollowUp") -> list[str]:
    width = max(4, *(len(landmark.name) for landmark in found.landmarks))
    lines = [f"{'name':<{width}}   score    return   position in B (mm, RAS)"]
    for landmark, hit in zip(found.landmarks, found.matches, strict=True):
        mark = "" if hit.confirmed else "  not confirmed"
        place = position(np.asarray(hit.position_mm))
        lines.append(f"{landmark.name:<{width}}  {hit.score:>6.3f}  {hit.return_mm:>5.1f} mm   {place}{mark}")
    return [*lines, f"{found.confirmed} of {len(found.matches)} confirmed by searching back from B to A"]
