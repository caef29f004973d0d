"""The commands ``leaderboard`` and ``eva``: comparison with the published results of the eva framework."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .common import require_outputs
from .options import Json
from .output import emit

_SUFFIXES = {".md": "markdown", ".csv": "csv", ".html": "html", ".json": "json"}


def leaderboard(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RESULTS", help="Files results.json of eva or folders with them, or eva's radiology.csv."
        ),
    ] = None,
    ours: Annotated[
        list[Path] | None,
        typer.Option(metavar="REPORT", help="Report folder or summary.json of `coralbay evaluate`; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="File to write: .md, .csv, .html or .json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Merge results of eva and CoralBay into one table.

    Sources are result files of eva, eva's published table and reports of `coralbay evaluate`. The table names the
    source file of each number.
    """
    if not results and not ours:
        raise InputError("nothing to merge", expected="result files of eva, or --ours REPORT")
    if out is not None and out.suffix not in _SUFFIXES:
        raise InputError("unknown format", where=out, expected=f"a name that ends in {', '.join(_SUFFIXES)}")
    from ..integrations.leaderboard import as_dicts, read_rows, written
    from ..util.atomic_file import write_atomically

    require_outputs([out], *(results or []), *(ours or []))
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
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Task whose configuration path to print.  [default: list all tasks]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """List eva's radiology tasks, or locate a configuration.

    Use it with eva's own command line: eva fit --config $(coralbay eva btcv)
    """
    from ..integrations.eva.tasks import RELEASE, TASKS, config_path, has_config

    if task is not None:
        path = config_path(task)
        emit("eva", as_json=as_json, inputs={"task": task}, results={"config": path}, lines=[str(path)])
        return
    ready = [known for known in TASKS.values() if has_config(known.name)]
    lines = [f"{known.name:<20} {known.title:<20} eva {known.command:<12} {known.metric}" for known in ready]
    lacking = [
        f"not available in eva {RELEASE}: {known.title} ({known.lacks})" for known in TASKS.values() if known.lacks
    ]
    found = [vars(known) | {"ready": known in ready} for known in TASKS.values()]
    emit("eva", as_json=as_json, inputs={}, results={"release": RELEASE, "tasks": found}, lines=[*lines, "", *lacking])
