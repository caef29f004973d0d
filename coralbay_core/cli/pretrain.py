"""The commands ``pretrain`` and ``prepare-data``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..util.atomic_file import write_atomically
from .common import require_outputs
from .options import Device, Json, model_names
from .output import Progress, emit, fail, note, say, warn

if TYPE_CHECKING:
    from ..pretrain.prepare import Outcome


def pretrain(
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="TOML file, or the name of a built-in configuration: mini, base, tiny."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings that override those of the file, e.g. optimizer.clip=1."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint of the run, if there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train an encoder on unlabeled CTs. With torchrun, one process per GPU.

    All settings are checked before training starts. They are described in docs/reference/pretraining-settings.md.
    """
    from ..pretrain import ConfigError, distributed, memory, read_config
    from ..pretrain import pretrain as run

    is_first = distributed.is_first_to_start()
    memory.keep_memory()
    try:
        chosen = read_config(config, settings or [], warn=warn if is_first else lambda text: None)
        result = run(chosen, resume=resume, say=lambda text: say(f"auto: {text}"))
    except ConfigError as error:
        for problem in error.problems if is_first else ():
            fail(problem)
        raise typer.Exit(2) from error
    if not is_first:
        return
    lines = [f"{result.step} of {result.steps} steps", *([f"stopped: {result.stopped}"] if result.stopped else [])]
    lines += [f"{key}: {value:.4f}" for key, value in result.metrics.items()]
    emit(
        "pretrain",
        as_json=as_json,
        inputs={"config": config, "settings": settings or []},
        outputs={"weights": result.weights, "run": result.folder},
        results={key: value for key, value in asdict(result).items() if key not in ("weights", "folder")},
        lines=lines,
    )


def prepare_data(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE", help="CT files and folders (NIfTI, NRRD, MetaImage, DICOM).")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="STORE", help="Training store to create or extend.")],
    spacing: Annotated[float, typer.Option(metavar="MM", min=0.1, help="Voxel size of the store.")] = 1.5,
    min_slices: Annotated[int, typer.Option(metavar="N", min=2, help="Skip scans with fewer slices.")] = 16,
    min_mm: Annotated[
        float, typer.Option(metavar="MM", min=1, help="Skip scans smaller than this along any axis, in mm.")
    ] = 48.0,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of processes.  [default: one per CPU core]")
    ] = None,
    refused: Annotated[
        Path | None, typer.Option(metavar="FILE.tsv", help="File for the list of refused scans and the reasons.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert CT files to a store for pretraining.

    Run it again to continue after an interruption or to add scans.

    Volumes are resampled, cropped to the body and named by a hash of their voxels: the store contains no names, dates
    or paths. The voxels still show faces, so protect a store like the original scans.
    """
    import os

    from ..pretrain.prepare import Limits, prepare_data

    if refused is not None:
        require_outputs([refused], *sources)
    limits = Limits(spacing, min_slices, min_mm)
    count = workers or os.cpu_count() or 1
    done = prepare_data(sources, out, limits=limits, workers=count, report=Progress("preparing"))
    for outcome in done.refused:
        note(f"refused, {outcome.kind}: {outcome.path} - {outcome.detail}")
    if refused is not None:
        _write_refused(refused, done.refused)
    counts = done.counts()
    lines = [f"added:    {len(done.added)}", f"refused:  {sum(counts.values())}"]
    lines += [f"  {kind}: {number}" for kind, number in counts.items()]
    lines += [f"known:    {done.known}"] * bool(done.known) + [f"volumes:  {done.volumes}"]
    emit(
        "prepare-data",
        as_json=as_json,
        inputs={"sources": sources, **asdict(limits)},
        outputs={"store": out, "refused": refused},
        results={
            "added": done.added,
            "refused": [{"path": o.path, "kind": o.kind, "detail": o.detail} for o in done.refused],
            "counts": counts,
            "known": done.known,
            "volumes": done.volumes,
        },
        lines=lines,
    )


def prepare_distillation(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Training store, made by prepare-data.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", autocompletion=model_names, help="Model whose features are distilled: a name or a path."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the features in the store.  [default: the model's]")
    ] = None,
    cells: Annotated[int, typer.Option(metavar="N", min=2, help="Number of cells per volume.")] = 16_000,
    components: Annotated[int, typer.Option(metavar="N", min=2, help="Numbers per cell after the reduction.")] = 160,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Store another model's features of all training volumes, to distill them.

    The setting `objective.relations.distill=NAME` of `coralbay pretrain` uses them. Run the command again to continue
    after an interruption or after volumes were added.
    """
    from ..models.loading import load_encoder
    from ..pretrain.prepare_distillation import prepare_distillation

    encoder = load_encoder(model, device=device)
    chosen = name or encoder.name
    if not chosen.replace("-", "_").isidentifier():
        raise InputError("unusable name", where="--name", found=chosen, expected="letters, digits, - and _")
    progress = Progress("distilling")
    done = prepare_distillation(store, encoder, chosen, cells=cells, components=components, report=progress)
    lines = [f"added:    {done.added}", f"known:    {done.known}"]
    lines += [f"kept:     {done.kept:.0%} of the squared lengths"] if done.kept is not None else []
    emit(
        "prepare-distillation",
        as_json=as_json,
        inputs={"store": store, "model": model, "name": chosen, "cells": cells, "components": components},
        outputs={"store": store},
        results={"added": done.added, "known": done.known, "kept": done.kept},
        lines=lines,
    )


def _write_refused(path: Path, outcomes: "list[Outcome]") -> None:
    rows = [("kind", "path", "detail"), *((o.kind, o.path, o.detail) for o in outcomes)]
    write_atomically(path, "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows))
