"""Commands of other packages, from the entry-point group ``coralbay.commands``.

An entry point is a function that takes a `typer.Typer` and adds the command of its own name. It is loaded when the
command is run or listed; if it cannot be loaded, only this command is unavailable.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from ..errors import MissingExtraError
from .command_line import CommandLine, Group

GROUP = "coralbay.commands"


class PluginGroup(Group):
    """Command group extended by plug-ins; built-in commands come first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the names of all commands."""
        own = super().list_commands(ctx)
        return own + sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in own)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command with this name, or None."""
        own = super().get_command(ctx, cmd_name)
        entry = None if own else next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        return _load(entry) if entry else own


@cache
def _load(entry: EntryPoint) -> Any:
    host = _host()
    try:
        entry.load()(host)
        return typer.main.get_command(host).commands[entry.name]  # type: ignore[attr-defined]
    except Exception as error:  # a broken plug-in must not break the other commands
        return _unavailable(entry.name, error)


def _unavailable(name: str, error: Exception) -> Any:
    host = _host()
    reason = " ".join(f"{type(error).__name__}: {error}".split())

    @host.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def unavailable() -> None:
        raise MissingExtraError(
            "command is not available", where=name, found=reason, hint='try: pip install "coralbay[napari]"'
        )

    unavailable_command = typer.main.get_command(host).commands[name]  # type: ignore[attr-defined]
    unavailable_command.help = f"(Not available: {reason[:60]})"
    return unavailable_command


def _host() -> CommandLine:
    host = CommandLine()
    # With a callback typer makes a group even of a single command.
    host.callback()(lambda: None)
    return host
