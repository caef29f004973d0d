"""Commands of other packages, from the entry-point group ``coralbay.commands``.

An entry point is a function that takes a `typer.Typer` and adds the command of its own name to it. It is loaded when
its command is asked for or listed; one that cannot be loaded costs only its own command.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import CoralBayError

GROUP = "coralbay.commands"


class PluginGroup(TyperGroup):
    """A group that also knows the commands of plug-ins; its own come first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        own = super().list_commands(ctx)
        return own + sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in own)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, or None."""
        own = super().get_command(ctx, cmd_name)
        entry = None if own else next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        return _load(entry) if entry else own


@cache
def _load(entry: EntryPoint) -> Any:
    host = _host()
    try:
        entry.load()(host)
        return typer.main.get_command(host).commands[entry.name]  # type: ignore[attr-defined]
    except Exception as error:  # whatever a plug-in does wrong, the other commands go on
        return _unavailable(entry.name, error)


def _unavailable(name: str, error: Exception) -> Any:
    host = _host()
    reason = " ".join(f"{type(error).__name__}: {error}".split())

    @host.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def unavailable() -> None:
        raise CoralBayError(
            "command is not available", where=name, found=reason, hint='try pip install "coralbay[napari]"'
        )

    unavailable_command = typer.main.get_command(host).commands[name]  # type: ignore[attr-defined]
    unavailable_command.help = f"(Not available here: {reason[:60]})"
    return unavailable_command


def _host() -> typer.Typer:
    host = typer.Typer(add_completion=False, rich_markup_mode=None)
    # With a callback typer makes a group even of a single command.
    host.callback()(lambda: None)
    return host
