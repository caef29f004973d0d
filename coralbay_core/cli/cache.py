"""The command group ``cache``: list, measure, clear and verify cached features."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .command_line import CommandLine
from .options import Json, model_names
from .output import emit, table

if TYPE_CHECKING:
    from ..extraction.cache import EntryInfo

app = CommandLine(help="Manage the features cached on disk.")


@app.command("list")
def list_entries(as_json: Json = False) -> None:
    """List cached features, the most recently used first. Entries contain no patient names or file names."""
    from ..extraction.cache import FeatureStore

    store = FeatureStore()
    infos = store.infos()
    emit(
        "cache list",
        as_json=as_json,
        inputs={},
        results={"folder": store.root, "entries": [asdict(info) for info in infos]},
        lines=[_line(info) for info in infos] or ["the cache is empty"],
    )


@app.command("info")
def info(as_json: Json = False) -> None:
    """Print the cache folder, its size and its size limit."""
    from ..extraction.cache import FeatureStore

    store = FeatureStore()
    infos = store.infos()
    results: dict[str, Any] = {
        "folder": store.root,
        "entries": len(infos),
        "bytes": sum(entry.bytes for entry in infos),
        "limit_bytes": store.limit_bytes,
    }
    lines = table(
        {
            "folder": f"{store.root} (set by CORALBAY_CACHE)",
            "entries": results["entries"],
            "size": f"{results['bytes'] / 1e9:.2f} of {store.limit_bytes / 1e9:g} GB (set by CORALBAY_CACHE_GB)",
        }
    )
    emit("cache info", as_json=as_json, inputs={}, results=results, lines=lines)


@app.command("clear")
def clear(
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", autocompletion=model_names, help="Remove only features of this model."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Remove cached features of all models or of one model.

    Features that are being computed right now are not removed.
    """
    from ..extraction.cache import FeatureStore

    store = FeatureStore()
    wanted = [entry for entry in store.infos() if model is None or entry.model == model]
    if model is not None and not wanted:
        raise InputError("no cached features of this model", found=model, hint="see `coralbay cache list`")
    if wanted and not yes:
        size = sum(entry.bytes for entry in wanted)
        typer.confirm(f"remove {len(wanted)} entries, {size / 1e9:.2f} GB?", abort=True, err=True)
    removed = store.clear(model)
    size = sum(entry.bytes for entry in removed)
    emit(
        "cache clear",
        as_json=as_json,
        inputs={"model": model},
        results={"removed": len(removed), "bytes": size},
        lines=[f"removed {len(removed)} entries, {size / 1e9:.2f} GB"],
    )


@app.command("verify")
def verify(as_json: Json = False) -> None:
    """Check cached features against their checksums.

    Damaged parts are removed. They are computed again when needed, as are parts that are not there.
    """
    from ..extraction.cache import FeatureStore

    checks = FeatureStore().verify()
    lines = [
        f"{check.key}  {check.chunks} chunks, "
        + (check.trouble or f"{check.damaged} of them damaged and removed")
        + (f"; {check.absent} more are not there" if check.absent else "")
        for check in checks
    ]
    emit(
        "cache verify",
        as_json=as_json,
        inputs={},
        results={"entries": [asdict(check) for check in checks], "damaged": sum(check.damaged for check in checks)},
        lines=lines or ["the cache is empty"],
    )


def _line(entry: "EntryInfo") -> str:
    used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
    size = " x ".join(map(str, entry.size_mm))
    strides = ",".join(map(str, entry.strides))
    what = (
        f"{entry.model:<16} {size} mm, strides {strides}" if entry.model else "unreadable: run `coralbay cache verify`"
    )
    return f"{entry.key}  {used}  {entry.bytes / 1e6:>8.1f} MB  {what}"
