"""The command line, ``coralbay``.

Commands only parse options, call the core and print. Every mistake a user can make ends in one line ``error: ...`` on
stderr and exit code 2, every failure at run time in such a line and exit code 1. Other packages add commands through
the entry-point group ``coralbay.commands``.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from .. import __version__
from ..errors import Cancelled, CoralBayError, StorageError
from . import (
    cache,
    convert,
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
from .command_line import CommandLine, with_verbosity
from .output import close_bars, fail, start_logging
from .plugins import PluginGroup

# The common base of what typer raises for wrong usage; newer versions of typer bring their own copy of click.
_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

# What the system says of a path that a user gave, and not of the machine.
_WRONG_PATHS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)

_COMPLETION = "_CORALBAY_COMPLETE"
"""Variable in which a shell asks for completions; the script of ``--install-completion`` sets it."""

app = CommandLine(cls=PluginGroup, add_completion=True)

_SCANS, _FEATURES, _SEARCH = "Scans", "Features", "Search and comparison"
_SEGMENTATION, _MODELS, _TRAINING = "Segmentation", "Models", "Training"

app.command("info", rich_help_panel=_SCANS)(inspect.info)
app.command("convert", rich_help_panel=_SCANS)(convert.convert)
app.command("phantom", rich_help_panel=_SCANS)(inspect.phantom)
app.command("embed", rich_help_panel=_FEATURES)(embed.embed)
app.command("project", rich_help_panel=_FEATURES)(project.project)
app.add_typer(cache.app, name="cache", rich_help_panel=_FEATURES)
app.command("query", rich_help_panel=_SEARCH)(query.query)
app.add_typer(queries.app, name="queries", rich_help_panel=_SEARCH)
app.add_typer(library.app, name="library", rich_help_panel=_SEARCH)
app.command("match", rich_help_panel=_SEARCH)(match.match)
app.command("follow-up", rich_help_panel=_SEARCH)(follow_up.follow_up)
app.command("symmetry", rich_help_panel=_SEARCH)(symmetry.symmetry)
app.add_typer(probe.app, name="probe", rich_help_panel=_SEGMENTATION)
app.command("transfer", rich_help_panel=_SEGMENTATION)(transfer.transfer)
app.command("export", rich_help_panel=_SEGMENTATION)(export.export)
app.add_typer(models.app, name="models", rich_help_panel=_MODELS)
app.command("evaluate", rich_help_panel=_MODELS)(evaluate.evaluate)
app.command("leaderboard", rich_help_panel=_MODELS)(leaderboard.leaderboard)
app.command("eva", rich_help_panel=_MODELS)(leaderboard.eva)
app.command("prepare-data", rich_help_panel=_TRAINING)(pretrain.prepare_data)
app.command("prepare-distillation", rich_help_panel=_TRAINING)(pretrain.prepare_distillation)
app.command("pretrain", rich_help_panel=_TRAINING)(pretrain.pretrain)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coralbay {__version__}")
        raise typer.Exit


@app.callback()
@with_verbosity
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
    """Run the command line and exit: 0 for success, 1 for a failure, 2 for bad input, 130 for Ctrl-C."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    _print_everything()
    start_logging()
    try:
        command = typer.main.get_command(app)
        if _COMPLETION in os.environ:
            command.main([], prog_name="coralbay")  # prints the completions and exits
        with command.make_context("coralbay", list(arguments) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        return _fail(_usage_line(error), 2)
    except Cancelled as error:
        return _fail(str(error), 130)
    except CoralBayError as error:
        return _fail(str(error), _exit_code(error))
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _closed_pipe()
    except (OSError, MemoryError) as error:
        return _fail(_system_line(error), 2 if isinstance(error, _WRONG_PATHS) else 1)
    finally:
        close_bars()
    return 0


def _print_everything() -> None:
    """Escape what the terminal cannot show, such as a path in another script, instead of failing after the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def _fail(line: str, code: int) -> int:
    fail(" ".join(line.split()))
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


def _exit_code(error: CoralBayError) -> int:
    """Exit code of an error; 2 also for a file that cannot be written because of its path."""
    is_wrong_path = isinstance(error, StorageError) and isinstance(error.__cause__, _WRONG_PATHS)
    return 2 if is_wrong_path else error.exit_code


def _closed_pipe() -> int:
    """Exit quietly when the reader closed stdout (``coralbay ... | head``), without a second error at shutdown."""
    sys.stdout = open("/dev/null" if sys.platform != "win32" else "NUL", "w")  # noqa: SIM115
    return 0
