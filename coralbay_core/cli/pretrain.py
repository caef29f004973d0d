"""``pretrain`` and ``prepare-data``."""

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Json
from .output import emit


def pretrain(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="TOML file, or the name of a packaged one: mini, base, tiny.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings that replace those of the file, e.g. optimizer.clip=1."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint of the run, if there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train an encoder on unlabelled CT; also under torchrun, one process a GPU.

    Everything is checked before the first batch. See docs/pretraining.md for all settings.
    """
    from ..pretrain import ConfigError, distributed, read_config
    from ..pretrain import pretrain as run

    speaks = distributed.is_first_to_start()
    try:
        chosen = read_config(config, settings or [])
        result = run(chosen, resume=resume, say=lambda text: typer.echo(f"auto: {text}", err=True))
    except ConfigError as error:
        for problem in error.problems if speaks else ():
            typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(2) from error
    if not speaks:
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
