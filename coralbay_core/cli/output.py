"""Output of commands: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import typer

from ..util.json_values import plain


def emit(
    command: str,
    *,
    as_json: bool,
    lines: Iterable[str],
    inputs: dict[str, Any],
    results: dict[str, Any],
    outputs: dict[str, Any] | None = None,
) -> None:
    """Print the results of a command: `lines` for people, or one JSON object."""
    outputs = {name: path for name, path in (outputs or {}).items() if path is not None}
    if as_json:
        content = {"command": command, "inputs": inputs, "outputs": outputs, "results": results}
        typer.echo(json.dumps(plain(content), indent=2))
        return
    for line in lines:
        typer.echo(line)
    for name, path in outputs.items():
        typer.echo(f"{name + ':':<14} {path}")


def note(text: str) -> None:
    """Print a note for the user on stderr."""
    typer.echo(f"note: {text}", err=True)


def table(rows: dict[str, Any]) -> list[str]:
    """Format one line per name and value."""
    return [f"{name + ':':<14} {value}" for name, value in rows.items() if value is not None]


def position(values: Iterable[float]) -> str:
    """Format a position in mm."""
    return ", ".join(f"{value:.1f}" for value in values)


class Progress:
    """Progress counter on stderr: one changing line in a terminal, one line per quarter elsewhere.

    Parameters
    ----------
    title : str
        Name of the work, printed before the counts.
    """

    def __init__(self, title: str):
        self.title = title
        self._quarters = -1

    def __call__(self, done: int, total: int) -> None:
        """Print the progress: `done` steps of `total`."""
        if sys.stderr.isatty():
            typer.echo(f"\r{self.title}: {done}/{total}" + ("\n" if done == total else ""), err=True, nl=False)
            return
        quarters = 4 * done // total if total else 4
        if quarters > self._quarters:
            self._quarters = quarters
            typer.echo(f"{self.title}: {done}/{total}", err=True)
