"""The command ``embed``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from ..errors import InputError
from . import options
from .common import feature_summary, features_of, open_ct, open_model, require_outputs
from .options import Device, Json, Memory, Model, Report, Series, Stages
from .output import emit
from .scans import Batch, Source, scans_in


def embed(
    ct: Annotated[
        Path, typer.Argument(metavar="CT|FOLDER", help="CT scan, or folder of scans of any format, at any depth.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="OUT", help="Folder for the features, one subfolder per scan.  [default: the cache]"
        ),
    ] = None,
    stages: Stages = None,
    roi: Annotated[
        str | None, typer.Option(metavar="X,Y,Z,X,Y,Z", help="Compute only the box between these two corners, in mm.")
    ] = None,
    first: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Compute the surroundings of this position first, in mm.")
    ] = None,
    memory: Memory = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of scans to process in parallel (needs the extra `cluster`)."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Dask scheduler to use instead; its workers must have access to the same folders."
        ),
    ] = None,
    report: Report = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Compute the features of a CT or of a folder of CTs.

    The features are saved for the other commands. Features that exist already are not computed again; an interrupted
    command continues where it stopped. Scans of a folder that cannot be read are reported at the end (exit code 1).
    """
    from ..io import require_folder

    strides = options.strides(stages)
    corners = None if roi is None else options.numbers(roi, 6, "--roi").reshape(2, 3)
    focus = None if first is None else options.numbers(first, 3, "--first")
    if out is not None:
        require_folder(out)
    options.require_csv(report)
    found = scans_in(ct, series)
    require_outputs([report], ct, *found.files)
    batch = Batch("features", len(found.sources), found.is_folder, found.passed_over, report)
    if jobs or cluster:
        from .embed_dask import embed_with_dask

        settings = {"model": model, "device": device, "strides": strides, "memory_gb": memory}
        unusable = [name for name, value in (("--roi", roi), ("--first", first), ("--series", series)) if value]
        if unusable:
            raise InputError(
                "option works on a single scan only",
                where=unusable[0],
                hint="leave it out, or leave out --jobs and --cluster",
            )
        batch.is_folder = True  # a worker that failed is reported in the same way
        done = embed_with_dask(found.sources, settings, batch, out=out, jobs=jobs, address=cluster)
    else:
        encoder = open_model(model, device)
        done = []
        for source in found.sources:
            with batch.scan(source):
                done.append(_embed_one(source, encoder, out, strides=strides, roi=corners, focus=focus, memory=memory))
    if not done:
        batch.finish()
    emit(
        "embed",
        as_json=as_json,
        inputs={"ct": ct, "stages": list(done[0]["stages"]), "roi_mm": corners, "model": done[0]["model"]},
        outputs={"folder": out},
        results={"scans": done, "failed": batch.failed},
        lines=[_line(entry) for entry in done],
    )
    batch.finish()


def _embed_one(
    source: Source,
    encoder: Any,
    out: Path | None,
    *,
    strides: tuple[int, ...] | None,
    roi: NDArray | None,
    focus: NDArray | None,
    memory: float | None,
) -> dict[str, Any]:
    features = features_of(
        open_ct(source.path, source.series),
        encoder,
        strides,
        out=out,
        name=source.name,
        roi=None if roi is None else (roi[0], roi[1]),
        focus=focus,
        memory_gb=memory,
    )
    return {"name": source.name, "folder": out / source.name if out else None, **feature_summary(features)}


def _line(entry: dict[str, Any]) -> str:
    stages = ", ".join(f"stride {s}: {' x '.join(map(str, v['shape']))}" for s, v in entry["stages"].items())
    return f"{entry['name']}: {stages} ({entry['bytes'] / 1e6:.1f} MB)"
