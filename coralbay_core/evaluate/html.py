"""Report as one self-contained HTML file with embedded pictures, without scripts."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from .tables import Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2730; max-width: 76rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #dde3e8; text-align: right; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
td small { color: #7a8791; white-space: nowrap; } tr.model td:first-child { color: #c4442e; font-weight: 600; }
img { max-width: 100%; } p, li { max-width: 60rem; }
pre { font-size: 12px; background: #f5f7f8; padding: .8rem; overflow: auto; }
"""


def page(
    title: str,
    tables: Sequence[Table],
    figures: Mapping[str, Mapping[str, bytes]],
    *,
    models: Sequence[str],
    lines: Mapping[str, Sequence[str]],
    about: str = "",
) -> str:
    """Make the HTML page of a report.

    Parameters
    ----------
    title : str
    tables : sequence of Table
    figures : mapping of str to mapping of str to bytes
        Headings, captions, and PNG files.
    models : sequence of str
        Methods that are not baselines.
    lines : mapping of str to sequence of str
        Headings and lists of sentences, after the first table.
    about : str
        Environment and hashes, as text; left out where empty.
    """
    first, rest = tables[:1], tables[1:]
    parts = [
        *(_table(table, models) for table in first),
        *(_list(heading, texts) for heading, texts in lines.items()),
        *(_figures(heading, shown) for heading, shown in figures.items() if shown),
        *(_table(table, models) for table in rest),
        f"<h2>Environment and hashes</h2><pre>{html.escape(about)}</pre>" if about else "",
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _table(table: Table, models: Sequence[str]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in (table.corner, *table.columns))
    rows = "".join(_row(method, cells, method in models) for method, cells in table.rows)
    text = f"<p>{html.escape(table.section.text)}</p>" if table.section.text else ""
    heading = f"<h2>{html.escape(table.section.title)}</h2>"
    return f'{heading}{text}<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _row(method: str, cells: Sequence[Any], is_model: bool) -> str:
    shown = "".join(_cell(cell) for cell in cells)
    name = f"<td>{html.escape(method)}</td>"
    return f'<tr class="model">{name}{shown}</tr>' if is_model else f"<tr>{name}{shown}</tr>"


def _cell(cell: Any) -> str:
    text = html.escape(cell.text)
    value = f"<b>{text}</b>" if cell.best else text
    interval = cell.note.removeprefix("95 % interval ").split(",")[0]
    small = f"<br><small>{html.escape(interval)}</small>" if interval and "-..-" not in interval else ""
    return f'<td title="{html.escape(cell.note)}">{value}{small}</td>'


def _list(heading: str, texts: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(text.strip())}</li>" for text in texts)
    return f"<h2>{html.escape(heading)}</h2><ul>{items}</ul>"


def _figures(heading: str, shown: Mapping[str, bytes]) -> str:
    images = "".join(
        f'<p><img alt="{html.escape(name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'
        for name, png in shown.items()
    )
    return f"<h2>{html.escape(heading)}</h2>{images}"
