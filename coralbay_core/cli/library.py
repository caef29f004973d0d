"""The command group ``library``: build and search a library of scans."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import CoralBayError, InputError
from . import options
from .command_line import CommandLine
from .common import open_ct, open_model, require_outputs
from .options import Device, Json, LibraryModel, Report, Series, StageWeights, require_csv
from .output import Progress, emit, note, position, table
from .scans import Batch, scans_in

if TYPE_CHECKING:
    from ..library import Library, LibraryEntry, Places, SearchReport
    from ..similarity import Query

app = CommandLine(help="Build a library of scans and search all of them at once.")
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the library.")]


@app.command("add")
def add(
    folder: Folder,
    paths: Annotated[
        list[Path], typer.Argument(metavar="CT|FOLDER", help="CT scans, or folders of scans of any format.")
    ],
    model: LibraryModel = None,
    device: Device = "auto",
    series: Series = None,
    vectors: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="For a new library: where to store its vectors, e.g. s3://bucket/path.  [default: in DIR]",
        ),
    ] = "",
    names: Annotated[
        bool,
        typer.Option(
            "--names",
            help="Store names and paths of scans in DIR, for other machines that use it."
            "  [default: they stay on this machine, since they often contain the name of a patient]",
        ),
    ] = False,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Add scans to a library, which is created if it does not exist.

    Scans that cannot be read are skipped and reported at the end (exit code 1).
    """
    from ..library import Library
    from ..library.vectors import require_library

    require_library()
    require_csv(report)
    opened = Library(folder)
    encoder = open_model(model or (opened.manifest.model if opened.exists else None), device)
    added: list[LibraryEntry] = []
    known: list[LibraryEntry] = []
    if opened.exists:
        opened.require_model(encoder)
    searched = [scans_in(path, series) for path in paths]
    found = [(scans.is_folder, source) for scans in searched for source in scans.sources]
    passed_over = {place: reason for scans in searched for place, reason in scans.passed_over.items()}
    batch = Batch("entries", len(found), passed_over=passed_over, report=report)
    for of_folder, source in found:
        with batch.scan(replace(source, name=str(source.path))):
            done = opened.add(
                source.path,
                encoder,
                series=source.series,
                name=source.name if of_folder else "",
                vectors=vectors,
                progress=Progress(f"features of {source.path}"),
                settle=False,
                store_names=names,
            )
            (added if done.is_new else known).append(done.entry)
    if not added and not known:
        batch.tell()
        raise InputError("no scan was added", where=folder, found=next(iter(batch.failed.values())))
    if added:
        opened.settle()
    emit(
        "library add",
        as_json=as_json,
        inputs={"library": folder, "paths": paths},
        outputs={"library": folder},
        results={
            "added": [vars(entry) for entry in added],
            "already_there": [vars(entry) for entry in known],
            "failed": batch.failed,
        },
        lines=[*(f"added {e.name}: {e.tokens} cells" for e in added), *(f"already there: {e.name}" for e in known)],
    )
    batch.finish()


@app.command("list")
def list_scans(folder: Folder, as_json: Json = False) -> None:
    """List the scans of a library."""
    from ..library import Library

    opened = Library(folder)
    scans = opened.manifest.scans
    lines = [f"{e.scan[:8]}  {e.tokens:>7} cells  {e.name}  {e.path}" for e in scans]
    emit(
        "library list",
        as_json=as_json,
        inputs={"library": folder},
        results={"scans": [vars(entry) for entry in scans]},
        lines=lines or ["the library is empty"],
    )


@app.command("remove")
def remove(
    folder: Folder,
    scan: Annotated[
        str, typer.Argument(metavar="SCAN", help="Name or path of the scan, or the first characters of its hash.")
    ],
    as_json: Json = False,
) -> None:
    """Remove a scan from a library; the CT file is not deleted."""
    from ..library import Library

    entry = Library(folder).remove(scan)
    emit(
        "library remove",
        as_json=as_json,
        inputs={"library": folder, "scan": scan},
        results={"removed": vars(entry)},
        lines=[f"removed {entry.name}"],
    )


@app.command("info")
def info(folder: Folder, as_json: Json = False) -> None:
    """Print the model, the number of scans and the size of a library."""
    from ..library import Library

    opened = Library(folder)
    known = opened.manifest
    results = {
        "model": known.model,
        "fingerprint": known.fingerprint,
        "strides": known.strides,
        "scans": len(known.scans),
        "cells": len(opened.vectors),
        "dimensions": opened.basis.axes.shape[1],
        "energy_kept": opened.basis.energy_share,
        "indexed": opened.vectors.indexed,
        "features_cached": sum(opened.is_cached(entry) for entry in known.scans),
        "vectors": known.vectors or str(folder / "vectors"),
    }
    lines = table(
        {
            "model": f"{known.model} ({known.fingerprint[:12]})",
            "scans": f"{results['scans']}, {results['features_cached']} of them with features in the cache",
            "cells": f"{results['cells']} with {results['dimensions']} numbers each"
            + (", indexed" if results["indexed"] else ", searched without an index"),
            "vectors": results["vectors"],
        }
    )
    emit("library info", as_json=as_json, inputs={"library": folder}, results=results, lines=lines)


@app.command("search")
def search(
    folder: Folder,
    ct: Annotated[
        Path | None, typer.Option("--ct", metavar="CT", help="CT that contains the positions of --at.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,Z", help="Position of what to find, in mm, or a list of landmarks; may be repeated."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar="X,Y,Z",
            help="Position of what not to find, in mm, or a list of landmarks; may be repeated.",
        ),
    ] = None,
    use: Annotated[
        Path | None, typer.Option(metavar="FILE.query", help="Saved query to search with, instead of --ct and --at.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Number of regions to list.")] = 10,
    regions: Annotated[int, typer.Option(metavar="N", min=1, help="Maximum number of regions per scan.")] = 3,
    deep: Annotated[
        int, typer.Option(metavar="N", min=1, help="Least number of scans to search at full resolution.")
    ] = 20,
    own: Annotated[
        bool, typer.Option("--own/--no-own", help="Whether to include the scan of --ct in the results.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="HITS.csv", help="File for the hits, .csv or .json.")
    ] = None,
    scope: Annotated[
        Literal["everywhere", "place"],
        typer.Option(
            metavar="everywhere|place",
            help="everywhere: what looks like the positions; place: the same place, in the 3 best scans near where "
            "they align with CT, which takes seconds per scan.",
        ),
    ] = "everywhere",
    stage_weights: StageWeights = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Find similar regions in all scans of a library.

    The regions are similar to the given positions or to a saved query.
    """
    from functools import cache

    from ..library import Library, search_library
    from ..library.vectors import require_library
    from ..matching.landmarks import require_table_name

    require_library()
    opened = Library(folder)
    known = opened.manifest
    require_table_name(out)
    require_outputs([out], ct, use, *(folder / name for name in ("library.json", "basis.safetensors")))
    clicked = options.points(at, "--at")
    if (use is None) == (ct is None or not len(clicked)):
        raise InputError("nothing to search for", expected="either --ct CT --at X,Y,Z or --use FILE.query")
    if scope == "place" and ct is None:
        raise InputError("a saved query has no place", where="--scope", hint="give --ct CT --at X,Y,Z")
    mixer = options.stage_weights(stage_weights)
    encoder = cache(lambda: open_model(known.model, device))
    asked = _asked(opened, use, ct, series, clicked, options.points(against, "--not"), mixer, encoder)
    report = search_library(
        opened,
        asked.query,
        encoder,
        top=top,
        regions=regions,
        shortlist=deep,
        weights=asked.weights,
        exclude=None if own else asked.scan,
        places=asked.places if scope == "place" else None,
        progress=Progress("scans"),
    )
    for reason in report.skipped.values():
        note(reason)
    for text in dict.fromkeys(f"{hit.scan.name}: {hit.note}" for hit in report.hits if hit.note):
        note(text)
    emit(
        "library search",
        as_json=as_json,
        inputs={"library": folder, "ct": ct, "at_mm": clicked, "use": use},
        outputs={"hits": _written(out, report, known.names)},
        results={
            "hits": [_hit(hit) for hit in report.hits],
            "searched": [entry.name for entry in report.searched],
            "skipped": report.skipped,
            "coarse": {entry.name: report.coarse[entry.scan] for entry in known.scans if entry.scan in report.coarse},
        },
        lines=_hit_lines(report, len(known.scans)),
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """A query; of clicks, also the hash of their scan and their places."""

    query: "Query"
    weights: Any
    scan: str | None = None
    places: "Places | None" = None


def _asked(
    opened: "Library",
    use: Path | None,
    ct: Path | None,
    series: str | None,
    at: Any,
    against: Any,
    mixer: Any,
    encoder: Any,
) -> _Asked:
    from ..extraction.cache import content_digest
    from ..extraction.pipeline import features_for
    from ..library import Places
    from ..similarity import auto_weights, load_query, make_query

    if use is not None:
        if mixer == "auto":
            raise InputError(
                "auto weights need positions",
                where="--stage-weights",
                hint="leave the option out: a saved query has its own",
            )
        return _Asked(load_query(use), mixer)
    assert ct is not None, "either of them is given"
    volume = open_ct(ct, series)
    volume.grid.require_inside(at, where="--at")
    opened.require_model(encoder())
    strides = opened.manifest.strides
    features = features_for(
        volume, encoder(), strides=strides, store=opened.store, progress=Progress(f"features of {volume.name}")
    )
    shares = auto_weights(features, at, against) if mixer == "auto" else mixer
    places = Places(features, at, against)
    return _Asked(make_query(features, at, against), shares, content_digest(volume), places)


def _hit(hit: Any) -> dict[str, Any]:
    return {
        "scan": hit.scan.name,
        "path": hit.scan.path,
        "position_mm": hit.position_mm,
        "score": hit.score,
        "size_ml": hit.size_ml,
        "coarse": hit.coarse,
        "alignment": hit.note or None,
    }


def _written(out: Path | None, report: "SearchReport", names: bool) -> Path | None:
    """Write the hits; like the library, the table has neutral names unless the user chose otherwise."""
    from ..library.scan_names import neutral_name
    from ..matching import write_landmarks

    if out is None:
        return None
    rows = []
    for rank, hit in enumerate(report.hits, 1):
        x, y, z = (round(float(v), 2) for v in hit.position_mm)
        place = {"name": str(rank), "x_mm": x, "y_mm": y, "z_mm": z}
        rows.append(
            place
            | {
                "score": round(hit.score, 4),
                "size_ml": round(hit.size_ml, 3),
                "scan": hit.scan.name if names else neutral_name(hit.scan.scan),
                "hash": hit.scan.scan,
            }
        )
    return write_landmarks(out, rows)


def _hit_lines(report: "SearchReport", scans: int) -> list[str]:
    if not report.hits:
        raise CoralBayError(
            "nothing found", hint="add scans with `coralbay library add`, or include the scan of --ct with --own"
        )
    width = max(len(hit.scan.name) for hit in report.hits)
    lines = [f" #   score   size (ml)   {'scan':<{width}}   position (mm, RAS)"]
    for rank, hit in enumerate(report.hits, 1):
        place = position(hit.position_mm)
        lines.append(f"{rank:>2}  {hit.score:>6.3f}  {hit.size_ml:>10.1f}   {hit.scan.name:<{width}}   {place}")
    return [*lines, f"searched {len(report.searched)} of {scans} scans at full resolution"]
