"""Output of commands: results on stdout, everything else on stderr through `logging`.

Notes are records of the level INFO, so that ``-q`` leaves them out; ``-v`` adds the records of the level DEBUG that the
two packages make.
"""

import json
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from ..util.json_values import plain

if TYPE_CHECKING:
    from tqdm import tqdm

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
_PACKAGES = ("coralbay_core", "coralbay_viz")
_log = logging.getLogger(__name__)
_open_bars: "list[tqdm]" = []


# --- logging ------------------------------------------------------------------------------------------------------


class TerminalHandler(logging.Handler):
    """Handler that prints to the stderr of the moment, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        text = self.format(record)
        if _open_bars:
            _open_bars[-1].write(text, file=sys.stderr)
        else:
            typer.echo(text, err=True)


_PREFIX = {logging.DEBUG: "debug: ", logging.INFO: "note: ", logging.WARNING: "warning: "}


class _Prefixed(logging.Formatter):
    """Prefix each record with its level in plain words, unless it was logged by `say`."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if getattr(record, "plain", False) else _PREFIX.get(record.levelno, "error: ") + text


def start_logging() -> None:
    """Print records of both packages from the level INFO on; other handlers of theirs stay."""
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, TerminalHandler) for handler in logger.handlers):
            handler = TerminalHandler()
            handler.setFormatter(_Prefixed())
            logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def set_verbosity(*, verbose: bool = False, quiet: bool = False) -> None:
    """Choose which records are printed: all, or without notes and progress; `quiet` takes precedence."""
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    for name in _PACKAGES:
        logging.getLogger(name).setLevel(level)


def note(text: str) -> None:
    """Print a note for the user on stderr."""
    _log.info("%s", text)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    _log.warning("%s", text)


def say(text: str) -> None:
    """Print a line on stderr as it is."""
    _log.info("%s", text, extra={"plain": True})


def fail(text: str) -> None:
    """Print an error on its own line of stderr; with ``-v``, the traceback of the one that is handled before it."""
    close_bars()
    if sys.exc_info()[0] is not None:
        _log.debug("traceback", exc_info=True)
    typer.echo(f"error: {text}", err=True)


# --- results ------------------------------------------------------------------------------------------------------


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
    close_bars()
    outputs = {name: path for name, path in (outputs or {}).items() if path is not None}
    if as_json:
        content = {"command": command, "inputs": inputs, "outputs": outputs, "results": results}
        typer.echo(json.dumps(plain(content), indent=2))
        return
    for line in lines:
        typer.echo(line)
    for name, path in outputs.items():
        typer.echo(f"{name + ':':<14} {path}")


def table(rows: dict[str, Any]) -> list[str]:
    """Format one line per name and value."""
    return [f"{name + ':':<14} {value}" for name, value in rows.items() if value is not None]


def position(values: Iterable[float]) -> str:
    """Format a position in mm."""
    return ", ".join(f"{value:.1f}" for value in values)


# --- progress -----------------------------------------------------------------------------------------------------


class Progress:
    """Progress on stderr: a bar with the remaining time in a terminal, one line per quarter elsewhere.

    Parameters
    ----------
    title : str
        Name of the work, printed before the counts.
    """

    def __init__(self, title: str):
        self.title = title
        self._quarters = -1
        self._bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        """Print the progress: `done` steps of `total`."""
        if not _log.isEnabledFor(logging.INFO):
            return
        if sys.stderr.isatty():
            self._draw(done, total)
            return
        quarters = 4 * done // total if total else 4
        if quarters > self._quarters:
            self._quarters = quarters
            say(f"{self.title}: {done}/{total}")

    def _draw(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=total, desc=self.title, file=sys.stderr, dynamic_ncols=True, bar_format=_BAR)
            _open_bars.append(self._bar)
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done >= total:
            _close(self._bar)
            self._bar = None


def close_bars() -> None:
    """End the bars of work that was not finished, so that what follows has a line of its own."""
    for bar in _open_bars[::-1]:
        _close(bar)


def _close(bar: "tqdm") -> None:
    if bar in _open_bars:
        _open_bars.remove(bar)
    bar.close()
