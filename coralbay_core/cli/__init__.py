"""The command line, ``coralbay``.

Commands only parse options, call the core and print. Every mistake a user can make ends in one line ``error: ...`` on
stderr and exit code 2. Other packages add commands through the entry-point group ``coralbay.commands``.
"""

import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from .. import __version__
from ..errors import CoralBayError
from . import (
    cache,
    embed,
    evaluate,
    export,
    follow_up,
    inspect,
    leaderboard,
    library,
    match,
    models,
    pretrain,
    probe,
    project,
    queries,
    query,
    symmetry,
    transfer,
)
from .plugins import PluginGroup

# The common base of what typer raises for wrong usage; newer versions of typer bring their own copy of click.
_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    cls=PluginGroup,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("info")(inspect.info)
app.command("phantom")(inspect.phantom)
app.add_typer(models.app, name="models")
app.command("embed")(embed.embed)
app.command("query")(query.query)
app.add_typer(queries.app, name="queries")
app.command("match")(match.match)
app.command("transfer")(transfer.transfer)
app.command("follow-up")(follow_up.follow_up)
app.command("symmetry")(symmetry.symmetry)
app.add_typer(library.app, name="library")
app.command("project")(project.project)
app.add_typer(probe.app, name="probe")
app.command("export")(export.export)
app.add_typer(cache.app, name="cache")
app.command("evaluate")(evaluate.evaluate)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("eva")(leaderboard.eva)
app.command("pretrain")(pretrain.pretrain)
app.command("prepare-data")(pretrain.prepare_data)
app.command("prepare-distillation")(pretrain.prepare_distillation)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coralbay {__version__}")
        raise typer.Exit


@app.callback()
def coralbay(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Search, segment and compare CT scans with features of a self-supervised 3-D model.

    Positions are given in mm, in RAS+ coordinates: x increases towards the patient's right side, y towards the front,
    z towards the head. Run `coralbay COMMAND --help` for the options of a command.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 for success, 2 for bad input, 130 for Ctrl-C."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    _print_everything()
    try:
        command = typer.main.get_command(app)
        with command.make_context("coralbay", list(arguments) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        return _fail(_usage_line(error))
    except CoralBayError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _closed_pipe()
    except (OSError, MemoryError) as error:
        return _fail(_system_line(error))
    return 0


def _print_everything() -> None:
    """Escape what the terminal cannot show, such as a path in another script, instead of failing after the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def _fail(line: str, code: int = 2) -> int:
    typer.echo(f"error: {' '.join(line.split())}", err=True)
    return code


def _usage_line(error: Exception) -> str:
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message} - see `{context.command_path if context else 'coralbay'} --help`"


def _system_line(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory - {str(error) or 'the scan is too large for this machine'}"
    where = f" - {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _closed_pipe() -> int:
    """Exit quietly when the reader closed stdout (``coralbay ... | head``), without a second error at shutdown."""
    sys.stdout = open("/dev/null" if sys.platform != "win32" else "NUL", "w")  # noqa: SIM115
    return 0
