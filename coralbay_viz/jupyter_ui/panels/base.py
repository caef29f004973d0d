"""Widgets and texts that panels share."""

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets as w

_ROW = w.Layout(align_items="center", flex_flow="row wrap")


def button(text: str, tip: str, wide: str = "auto") -> w.Button:
    """Return a button."""
    return w.Button(description=text, tooltip=tip, layout=w.Layout(width=wide))


def check(value: bool, text: str) -> w.Checkbox:
    """Return a check box."""
    return w.Checkbox(value, description=text, indent=False, layout=w.Layout(width="auto"))


def row(*children: w.Widget) -> w.HBox:
    """Return widgets in a row."""
    return w.HBox(list(children), layout=_ROW)


def note(text: str = "") -> w.HTML:
    """Return a line of HTML text."""
    return w.HTML(text)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a small HTML table of escaped texts."""
    cells = ["".join(f"<td style='padding:0 10px 0 0'>{escape(str(cell))}</td>" for cell in line) for line in rows]
    titles = "".join(f"<th style='text-align:left;padding:0 10px 0 0'>{escape(title)}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def amount(value: float | None) -> str:
    """Format a number: four digits, thousands separated; empty for None."""
    if value is None:
        return ""
    return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}") if abs(value) >= 1000 else f"{value:.4g}"


class Panel:
    """Widgets in a column; changes made inside `showing` emit no signals."""

    _showing_state = False

    def __init__(self, *rows: w.Widget) -> None:
        self.box = w.VBox(list(rows))

    @contextmanager
    def showing(self) -> Any:
        """Suppress signals while the panel shows a state."""
        before, self._showing_state = self._showing_state, True
        try:
            yield
        finally:
            self._showing_state = before

    def _wire(self, widget: w.Widget, signal: Any, trait: str = "value") -> None:
        """Emit a signal with the value that the user chose."""

        def chosen(change: dict[str, Any]) -> None:
            if not self._showing_state:
                signal.emit(change["new"])

        widget.observe(chosen, trait)

    @staticmethod
    def _press(widget: w.Button, signal: Any, *content: Any) -> None:
        widget.on_click(lambda _: signal.emit(*content))
