"""Leaderboard of eva's and CoralBay's scores: one row per model, one column per metric, with the file of each score."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingFileError
from ..evaluate.html import page
from ..evaluate.report import read_findings
from ..evaluate.tables import HEADLINE, Cell, Section, Table, headline_titles, markdown
from ..util.json_values import MILLIONTHS, plain
from .eva.results import find_results, read_published, read_run
from .eva.tasks import TASKS
from .rows import EVA_PUBLISHED, EVA_RUN, OURS, Row, shown_names

FORMATS = ("markdown", "csv", "html", "json")

_TEXT = (
    "Each number is followed by the file that holds it. Best of each column in bold, arrows show which way is better."
)
_EVA_TEXT = (
    f"{_TEXT} ± is the standard deviation over runs. What eva published has rows of its own, and so have runs whose "
    "settings are not those of the protocol."
)


def read_rows(paths: Iterable[Path], ours: Iterable[Path] = ()) -> list[Row]:
    """Read eva's results (files or folders), its published table (``.csv``), and reports of ``coralbay evaluate``.

    Raises
    ------
    InputError
        If a file is none of these, or two files hold the same number.
    MissingFileError
    """
    rows = [row for path in paths for row in _rows_of(path)]
    rows += [row for path in ours for row in read_ours(path)]
    known: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if (other := known.setdefault(row.key, row)) is not row:
            what = ", ".join(part for part in (row.model, row.column, row.metric, row.remarks) if part)
            raise InputError(
                "two files hold the same score",
                where=what,
                found=f"{other.file} and {row.file}",
                hint="leave one of them out",
            )
    return rows


def _rows_of(path: Path) -> list[Row]:
    if path.suffix.lower() == ".csv" and path.exists():
        return read_published(path)
    return [read_run(found) for found in find_results(path)]


def read_ours(path: Path) -> list[Row]:
    """Read the headline metrics of a report of ``coralbay evaluate`` or its ``summary.json``.

    Raises
    ------
    InputError, MissingFileError
    """
    file = path / "summary.json" if path.is_dir() else path
    if not file.is_file():
        raise MissingFileError("no evaluation report", where=file, hint="create one with `coralbay evaluate -o REPORT`")
    try:
        summary = read_findings(file).summary
        return [
            Row(model, key, title, found[key].value, file, OURS, domain, low=found[key].low, high=found[key].high)
            for domain, models in summary.items()
            for model, found in models.items()
            for key, title in headline_titles().items()
            if key in found
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError("not a report of coralbay evaluate", where=file, expected="its summary.json") from None


def leaderboard(rows: Sequence[Row]) -> list[Table]:
    """Make tables with one row per model and one column per metric: for eva, and for CoralBay on scans and phantom.

    Models are sorted by the first column.
    """
    files, names = _numbered(rows), _names(rows)
    groups = {
        "eva, radiology": [row for row in rows if row.source != OURS],
        "coralbay evaluate, real scans": [row for row in rows if row.source == OURS and row.split == "real"],
        "coralbay evaluate, phantom": [row for row in rows if row.source == OURS and row.split == "phantom"],
    }
    return [_table(title, found, files, names) for title, found in groups.items() if found]


def _table(title: str, rows: Sequence[Row], files: dict[Path, int], names: dict[str, str]) -> Table:
    columns = sorted(dict.fromkeys(_column(row) for row in rows), key=_order)
    found = {(_label(row, names), _column(row)): row for row in rows}
    best = {column: _best([row for (_, c), row in found.items() if c == column]) for column in columns}
    labels = sorted(dict.fromkeys(label for label, _ in found), key=lambda label: _rank(label, columns, found))
    lines = tuple((label, tuple(_cell(found.get((label, c)), best[c], files) for c in columns)) for label in labels)
    text = _TEXT if rows[0].source == OURS else _EVA_TEXT
    return Table(Section(title, text, ()), tuple(_title(*column) for column in columns), lines, "model").fitted()


def sources(rows: Sequence[Row]) -> list[str]:
    """List the number and the path of each file."""
    return [f"[{number}] {file}" for file, number in _numbered(rows).items()]


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Convert rows to plain values; ``name`` is the short name of the ``model`` in tables."""
    names = _names(rows)
    return [{"name": row.model if row.source == OURS else names[row.model]} | row.as_dict() for row in rows]


def written(rows: Sequence[Row], form: str) -> str:
    """Format the leaderboard in one of `FORMATS`; CSV and JSON have one entry per score."""
    if form == "json":
        return json.dumps(plain(as_dicts(rows), MILLIONTHS), indent=1) + "\n"
    if form == "csv":
        return _csv(rows)
    tables = leaderboard(rows)
    if form == "html":
        names = _names(rows)
        measured = [_label(row, names) for row in rows if row.source == EVA_RUN]
        return page("Leaderboard", tables, {}, models=measured, lines={"Files": sources(rows)})
    parts = [*(markdown(table, intervals=False) for table in tables), "## Files\n"]
    return "\n".join(parts) + "\n" + "\n".join(f"- {line}" for line in sources(rows)) + "\n"


def _csv(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    lines = [plain(row, MILLIONTHS) for row in as_dicts(rows)]
    writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _numbered(rows: Sequence[Row]) -> dict[Path, int]:
    return {file: number for number, file in enumerate(dict.fromkeys(row.file for row in rows), 1)}


def _names(rows: Sequence[Row]) -> dict[str, str]:
    """Short names of models in tables; reports of ``coralbay evaluate`` hold names only, which are unchanged."""
    return shown_names(row.model for row in rows if row.source != OURS)


def _label(row: Row, names: dict[str, str]) -> str:
    if row.source == OURS:
        return row.model
    remarks = EVA_PUBLISHED if row.source == EVA_PUBLISHED else row.deviates
    return f"{names[row.model]} ({remarks})" if remarks else names[row.model]


def _column(row: Row) -> tuple[str, str, str]:
    # A test set is marked in the column; everything else is a validation set, which eva publishes without a mark.
    return row.task, row.metric, row.split if row.split == "test" else ""


def _order(column: tuple[str, str, str]) -> tuple[int, int, str]:
    task, _, split = column
    ranked = [*TASKS, *HEADLINE.keys]
    return (0 if task not in HEADLINE.keys else 1), ranked.index(task) if task in ranked else len(ranked), split


def _title(task: str, metric: str, split: str) -> str:
    if task in HEADLINE.keys:
        return metric
    of_split = f" ({split})" if split else ""
    return f"{TASKS[task].title if task in TASKS else task}, {metric}{of_split} ↑"


def _is_lower_better(row: Row) -> bool:
    return row.source == OURS and row.metric.endswith("↓")


def _best(rows: Sequence[Row]) -> float:
    return (min if _is_lower_better(rows[0]) else max)(row.mean for row in rows)


def _rank(label: str, columns: Sequence[tuple], found: dict[tuple, Row]) -> tuple[list[float], str]:
    values = [found.get((label, column)) for column in columns]
    return [float("inf") if v is None else v.mean if _is_lower_better(v) else -v.mean for v in values], label


def _cell(row: Row | None, best: float, files: dict[Path, int]) -> Cell:
    if row is None:
        return Cell("-")
    digits = 1 if _is_lower_better(row) else 3
    text = f"{row.mean:.{digits}f}"
    if row.sd is not None:
        text += f" ± {row.sd:.{digits}f}"
    if row.runs is not None:
        text += f" ({row.runs} run{'s' if row.runs > 1 else ''})"
    return Cell(f"{text} [{files[row.file]}]", row.mean == best)
