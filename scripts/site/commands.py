"""Options of all commands in Markdown, from the parser that also prints `--help`."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from coralbay_core.cli import app
from coralbay_core.cli.command_line import GENERAL, sections_of


def with_options(page: str) -> str:
    """Return the page of the commands, followed by a section per command."""
    root = typer.main.get_command(app)
    context = root.make_context("coralbay", [], resilient_parsing=True)
    return "\n".join([page.rstrip(), "", "## All options", "", *_general(root, context), *_lines(root, context)]) + "\n"


def _general(command: Any, context: Any) -> Iterator[str]:
    yield "Options that every command has:\n"
    yield from _table(sections_of(command, context)[GENERAL])


def _lines(command: Any, context: Any) -> Iterator[str]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if not inner.hidden:
                yield from _lines(inner, type(context)(inner, info_name=name, parent=context))
        return
    yield f"\n### `{context.command_path}`\n"
    yield "\n" + (command.help or "").strip() + "\n"
    yield f"    {context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    for title, rows in sections_of(command, context).items():
        if title != GENERAL and rows:
            yield f"\n**{title}**\n"
            yield from _table(rows)


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for name, text in rows:
        yield f"| `{name}` | {_cell(text)} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(re.sub(r"[|*\[\]]", r"\\\g<0>", text.replace("<", "&lt;")).split())
