"""Typer application whose help is complete and whose commands have ``-v`` and ``-q``.

`typer` alone cuts the summaries of commands, prints Python types and cannot hide a former name of an option.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .output import set_verbosity

GENERAL = "General options"
"""Section of options that all commands have."""

_GENERAL = {"--help", "--install-completion", "--show-completion"}  # options that typer makes

FORMER_NAMES = {"--weights": "--stage-weights"}
"""Options under their former names, which still work and are in no help."""

_WIDTH = 110
_WHOLE = 1000

_Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", rich_help_panel=GENERAL, help="Print details, and a traceback with each error."),
]
_Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", rich_help_panel=GENERAL, help="Print results, warnings and errors only.")
]


class _CompleteHelp:
    """Help of a command: sections of options, and arguments without Python types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line."""
        pieces = ["[OPTIONS]"]
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            if param.param_type_name == "argument":
                name = _name(param) + ("..." if param.nargs != 1 else "")
                pieces.append(name if param.required else f"[{name}]")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each in its section, the general ones last."""
        for title, rows in sections_of(self, ctx).items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def sections_of(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Return names and texts of arguments and options by section, the general ones last."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None:
            continue
        is_argument = param.param_type_name == "argument"
        title = getattr(param, "rich_help_panel", None) or ("Arguments" if is_argument else "Options")
        if not _GENERAL.isdisjoint(param.opts):
            title = GENERAL
        text = record[1].replace("\\[", "[")  # older versions of typer escape it for rich
        sections.setdefault(title, []).append((_name(param) if is_argument else record[0], text))
    return sections | {GENERAL: sections.pop(GENERAL, [])}


def _name(argument: Any) -> str:
    return argument.metavar or argument.name.upper()


class Command(_CompleteHelp, TyperCommand):
    """Command that also takes options by their former names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments after former names of options were replaced."""
        known = {name for param in self.params for name in param.opts}
        return super().parse_args(ctx, [_renamed(argument, known) for argument in args])


def _renamed(argument: str, known: set[str]) -> str:
    name, equals, value = argument.partition("=")
    new = FORMER_NAMES.get(name)
    return f"{new}{equals}{value}" if new in known and name not in known else argument


class Group(_CompleteHelp, TyperGroup):
    """Group of commands, listed in sections with whole summaries."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line."""
        return ["[OPTIONS]", "COMMAND", "[ARGUMENTS]..."]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each in its section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                title = getattr(command, "rich_help_panel", None) or "Commands"
                sections.setdefault(title, []).append((name, command.get_short_help_str(_WHOLE)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class CommandLine(typer.Typer):
    """Application, or group of commands, with these commands and groups.

    Parameters
    ----------
    **settings
        As of `typer.Typer`.
    """

    def __init__(self, **settings: Any):
        chosen: dict[str, Any] = {
            "cls": Group,
            "add_completion": False,
            "rich_markup_mode": None,
            "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
        }
        super().__init__(**(chosen | settings))

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Callable], Callable]:  # type: ignore[override]
        """Register a function as a command with ``-v`` and ``-q``; settings as of `typer.Typer.command`."""
        register = super().command(name, **({"cls": Command} | settings))

        def add(function: Callable) -> Callable:
            register(with_verbosity(function))
            return function

        return add


def with_verbosity(function: Callable) -> Callable:
    """Add the parameters `verbose` and `quiet` to the function of a command."""

    @wraps(function)
    def call(*args: Any, verbose: bool = False, quiet: bool = False, **keywords: Any) -> Any:
        if verbose or quiet:
            set_verbosity(verbose=verbose, quiet=quiet)
        return function(*args, **keywords)

    kind = inspect.Parameter.KEYWORD_ONLY
    own = inspect.signature(function)
    more = [
        inspect.Parameter(name, kind, default=False, annotation=annotation)
        for name, annotation in (("verbose", _Verbose), ("quiet", _Quiet))
    ]
    call.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return call
