"""The scorecard: several encoders measured on the same clicks and strokes, one row per encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import LabelVolume

from .scan import Scan

if TYPE_CHECKING:
    from coralbay_core.integrations.rows import Row

Reference = LabelVolume | str | Path | None


@dataclass(frozen=True)
class ScoreColumn:
    """One measure of a scorecard.

    Parameters
    ----------
    key : str
        Attribute of `ScoreRow`.
    title, hint : str
        For people; the hint says how it is measured.
    unit : str
        ``mm`` where lower is better, empty where higher is.
    """

    key: str
    title: str
    hint: str
    unit: str = ""

    @property
    def tolerance(self) -> float:
        """Difference below which two numbers count as equal."""
        return 1.0 if self.unit else 0.01


COLUMNS = (
    ScoreColumn(
        "retrieval",
        "retrieval, AP",
        "Average precision of the heat map of the prompts, over the body every 3 mm, against the labels under them.",
    ),
    ScoreColumn("match_mm", "match", "Distance of the best match in the other scan from the same label there.", "mm"),
    ScoreColumn(
        "return_mm", "round-trip error", "Distance from each prompt to the match of its match in this scan.", "mm"
    ),
    ScoreColumn(
        "dice", "Dice", "Of a probe trained on the strokes, mean over painted labels; painted voxels do not count."
    ),
    ScoreColumn("dice_far", "Dice beyond 24 mm", "The same, of voxels that are 24 mm or more from any stroke."),
)
"""Measures in the order of a table; ``eva`` stands behind them."""

EVA_TITLE = "eva"


@dataclass(frozen=True)
class ScoreRow:
    """Measures of one encoder; None where there was nothing to measure.

    Parameters
    ----------
    model : str
    retrieval : float, optional
        Average precision.
    match_mm, return_mm : float, optional
        Means over the positive clicks.
    dice, dice_far : float, optional
        Means over the painted labels.
    eva : tuple of Row
        Of eva's results, where a file was given.
    problem : str
        Reason why there are no numbers; empty if there are.
    """

    model: str
    retrieval: float | None = None
    match_mm: float | None = None
    return_mm: float | None = None
    dice: float | None = None
    dice_far: float | None = None
    eva: "tuple[Row, ...]" = ()
    problem: str = ""

    @property
    def eva_text(self) -> str:
        """Tasks and scores of eva for a table cell, with remarks on published scores and other settings."""
        return ", ".join(
            f"{row.column} {row.mean:.3f}" + (f" ({row.remarks})" if row.remarks else "") for row in self.eva
        )

    @property
    def eva_sources(self) -> tuple[str, ...]:
        """Description and file of each score of eva, one line per score."""
        return tuple(
            ", ".join(part for part in (f"{row.task} {row.mean:.3f}", row.metric, row.split, row.remarks) if part)
            + f": {row.file}"
            for row in self.eva
        )

    def cell(self, column: ScoreColumn) -> str:
        """Return a number as text; a dash where there is none."""
        value = getattr(self, column.key)
        if value is None:
            return "–"
        return f"{value:.1f} {column.unit}" if column.unit else f"{value:.3f}"


def shown_columns(rows: Sequence[ScoreRow]) -> tuple[ScoreColumn, ...]:
    """Return the columns that have a number in some row."""
    return tuple(column for column in COLUMNS if any(getattr(row, column.key) is not None for row in rows))


def best_models(rows: Sequence[ScoreRow], column: ScoreColumn) -> frozenset[str]:
    """Return the models with the best number of a column, within tolerance; none if all are equal."""
    found = {row.model: getattr(row, column.key) for row in rows if getattr(row, column.key) is not None}
    if len(found) < 2:
        return frozenset()
    best = (min if column.unit else max)(found.values())
    near = frozenset(model for model, value in found.items() if abs(value - best) < column.tolerance)
    return near if len(near) < len(found) else frozenset()


def as_dicts(rows: Sequence[ScoreRow]) -> list[dict[str, Any]]:
    """Rows as plain values, for a table of data or a file."""
    return [
        {f.name: getattr(row, f.name) for f in fields(row)}
        | {"eva": row.eva_text, "eva_sources": "; ".join(row.eva_sources)}
        for row in rows
    ]


@dataclass(eq=False)
class Scorecard:
    """Settings of a comparison of encoders, and its rows so far.

    Parameters
    ----------
    scan : Scan
        Scan with the clicks and strokes.
    models : tuple of str
    reference, other_reference : LabelVolume, path, optional
        Labels of `scan` and of `other`.
    other : Scan, optional
        Scan in which the clicks are searched.
    rows : tuple of ScoreRow
        One per finished model, in the order of `models`.
    before : tuple of ScoreRow
        Of the previous clicks and strokes, while the scorecard is live.
    """

    scan: Scan
    models: tuple[str, ...]
    reference: Reference = None
    other: Scan | None = None
    other_reference: Reference = None
    rows: tuple[ScoreRow, ...] = ()
    before: tuple[ScoreRow, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether all rows are there."""
        return len(self.rows) == len(self.models)

    @property
    def awaited(self) -> str | None:
        """Model whose row comes next."""
        return None if self.is_done else self.models[len(self.rows)]

    @property
    def shown(self) -> tuple[ScoreRow, ...]:
        """One row per model for a table that does not flicker: `rows`, then those of before, or empty ones."""
        old = {row.model: row for row in self.before}
        waiting = self.models[len(self.rows) :]
        return (*self.rows, *(old.get(model, ScoreRow(model)) for model in waiting))
