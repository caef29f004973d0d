"""The command group ``queries``: list, merge and rename saved queries."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, MissingFileError
from .command_line import CommandLine
from .common import require_outputs
from .options import Json
from .output import emit

if TYPE_CHECKING:
    from ..similarity import Query

app = CommandLine(help="List, merge and rename saved queries.")


@app.command("list")
def list_queries(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER|QUERY", help="Folders or query files.  [default: the current folder]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """List saved queries and their models.

    Queries are saved with `coralbay query ... --save NAME.query`. Unreadable files are reported.
    """
    found, broken = [], {}
    for path in _files(paths or [Path()]):
        try:
            found.append(_row(path))
        except (InputError, MissingFileError) as error:
            broken[str(path)] = str(error)
    lines = [_line(row) for row in found] + [f"unreadable: {text}" for text in broken.values()]
    emit(
        "queries list",
        as_json=as_json,
        inputs={"paths": paths},
        results={"queries": found, "unreadable": broken},
        lines=lines or ["no saved queries found"],
    )


@app.command("merge")
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="QUERY", help="Two or more queries made with the same model.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="NAME.query", help="File to write.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the merged query.  [default: the file name]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Merge several queries into one.

    The merged query finds everything similar to any of them.
    """
    from ..similarity import load_query, merge_queries
    from ..similarity.query import require_name

    if len(files) < 2:
        raise InputError("nothing to merge", found=f"{len(files)} query", expected="two or more query files")
    require_name(out)
    require_outputs([out], *files)
    merged = merge_queries([load_query(file) for file in files], name or out.stem)
    emit(
        "queries merge",
        as_json=as_json,
        inputs={"queries": files},
        outputs={"query": merged.save(out)},
        results=_about(merged),
        lines=[f"{merged.name}: {merged.size} prototypes"],
    )


@app.command("rename")
def rename(
    file: Annotated[Path, typer.Argument(metavar="QUERY", help="Saved query.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="New name of the query; the file is not renamed.")],
    as_json: Json = False,
) -> None:
    """Change the name stored in a query file."""
    from ..similarity.query import load_query, renamed

    changed = renamed(load_query(file), name)
    emit(
        "queries rename",
        as_json=as_json,
        inputs={"query": file, "name": name},
        outputs={"query": changed.save(file)},
        results=_about(changed),
        lines=[f"{file}: {changed.name}"],
    )


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise MissingFileError("no such file or folder", where=path)
        found = sorted(path.glob("*.query")) if path.is_dir() else [path]
        yield from (file for file in found if file == path or not file.name.startswith("."))


def _row(path: Path) -> dict[str, Any]:
    from ..similarity import load_query

    return {"file": path, **_about(load_query(path))}


def _about(query: "Query") -> dict[str, Any]:
    return {
        "name": query.name,
        "model": query.model,
        "fingerprint": query.fingerprint,
        "strides": query.strides,
        "prototypes": query.size,
        "negatives": len(next(iter(query.negative.values()))),
        "weights": query.weights,
    }


def _line(row: dict[str, Any]) -> str:
    against = f", {row['negatives']} negative" if row["negatives"] else ""
    return f"{row['file']}: {row['name']} ({row['model']}, {row['prototypes']} prototypes{against})"
