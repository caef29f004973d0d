"""``leaderboard`` and ``eva``: where our models stand beside eva's, and how to get there."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .options import Json
from .output import emit

_SUFFIXES = {".md": "markdown", ".csv": "csv", ".html": "html", ".json": "json"}


def leaderboard(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS...", help="eva's results.json or folders with some; eva's radiology.csv."),
    ] = None,
    ours: Annotated[
        list[Path] | None,
        typer.Option(metavar="REPORT", help="Folder or summary.json of `coralbay evaluate`; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="File to write: .md, .csv, .html or .json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Merge results of eva, eva's published table and our evaluation into one table; each number names its file."""
    if not results and not ours:
        raise InputError("nothing to merge", expected="results of eva, or --ours REPORT")
    if out is not None and out.suffix not in _SUFFIXES:
        raise InputError("unknown format", where=out, expected=f"a name that ends in {', '.join(_SUFFIXES)}")
    from ..integrations.leaderboard import as_dicts, read_rows, written
    from ..util.atomic_file import write_atomically

    rows = read_rows(results or [], ours or [])
    if out is not None:
        write_atomically(out, written(rows, _SUFFIXES[out.suffix]))
    emit(
        "leaderboard",
        as_json=as_json,
        inputs={"results": results, "ours": ours},
        outputs={"table": out},
        results={"rows": as_dicts(rows)},
        lines=[] if out is not None else written(rows, "markdown").splitlines(),
    )


def eva(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Print the path of its configuration.")] = None,
    as_json: Json = False,
) -> None:
    """List the tasks of eva's radiology leaderboard, or print where the configuration of one is.

    It is for eva's own command: eva fit --config $(coralbay eva btcv)
    """
    from ..integrations.eva.tasks import RELEASE, TASKS, config_path, has_config

    if task is not None:
        path = config_path(task)
        emit("eva", as_json=as_json, inputs={"task": task}, results={"config": path}, lines=[str(path)])
        return
    ready = [known for known in TASKS.values() if has_config(known.name)]
    lines = [f"{known.name:<20} {known.title:<20} eva {known.command:<12} {known.metric}" for known in ready]
    lacking = [f"eva {RELEASE} lacks for {known.title}: {known.lacks}" for known in TASKS.values() if known.lacks]
    found = [vars(known) | {"ready": known in ready} for known in TASKS.values()]
    emit("eva", as_json=as_json, inputs={}, results={"release": RELEASE, "tasks": found}, lines=[*lines, "", *lacking])
