"""Plots of a summary."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .summary import Estimate, Summary, measures
from .tables import _TITLES, HEADLINE
from .tasks.changes import CHANGES, TOGETHER
from .tasks.fewshot import SHOTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODEL_COLOR, BASELINE_COLOR = "#c4442e", "#5b7083"
_LINES = ("#c4442e", "#2f6690", "#3a7d44", "#8a5a9e", "#b8860b", "#5b7083", "#111111")


def new_figure(width: float, height: float) -> "Figure":
    """Make a figure outside of pyplot, without window or global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)


def plots(summary: Summary, models: list[str]) -> dict[str, "Figure"]:
    """Draw figures by name; those without data are left out."""
    made: dict[str, Callable[[Summary, str, list[str]], Figure | None]] = {
        "headline": _headline,
        "fewshot": _fewshot,
        "robustness": _robustness,
    }
    figures = {}
    for domain in summary:
        for name, draw in made.items():
            figure = draw(summary, domain, models)
            if figure is not None:
                figures[f"{name}-{domain}"] = figure
    return figures


def _headline(summary: Summary, domain: str, models: list[str]) -> "Figure | None":
    """Draw one small axis per metric: each method's value with its interval."""
    found = summary[domain]
    known = {measure.key: measure for measure in measures()}
    keys = [key for key in HEADLINE.keys if any(key in own for own in found.values())]
    if not keys:
        return None
    columns = min(5, len(keys))
    rows = -(-len(keys) // columns)
    figure = new_figure(3.1 * columns + 1.2, (0.3 * len(found) + 1.1) * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, key in zip(axes.flat, keys, strict=False):
        _dots(axis, {name: own.get(key) for name, own in found.items()}, models)
        axis.set_title(_TITLES[key] + (", mm" if known[key].unit else ""), fontsize=9)
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=5)
    for axis in list(axes.flat)[len(keys) :]:
        axis.set_visible(False)
    for row in axes:
        for axis in row[1:]:
            axis.set_yticklabels([])
    figure.suptitle(f"{domain} data, 95 % intervals", fontsize=10)
    return figure


def _dots(axis: "Axes", estimates: dict[str, Estimate | None], models: list[str]) -> None:
    for row, (name, estimate) in enumerate(estimates.items()):
        if estimate is None:
            continue
        color = MODEL_COLOR if name in models else BASELINE_COLOR
        if np.isfinite(estimate.low):
            axis.plot([estimate.low, estimate.high], [row, row], color=color, linewidth=1.5)
        axis.plot(estimate.value, row, "o", color=color, markersize=5)
    axis.set_yticks(range(len(estimates)), list(estimates), fontsize=8)
    axis.set_ylim(len(estimates) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def _fewshot(summary: Summary, domain: str, models: list[str]) -> "Figure | None":
    """Dice against the number of clicks."""
    found = summary[domain]
    parts = {"fewshot_dice": "same scan", "fewshot_across_dice": "another patient"}
    parts = {part: title for part, title in parts.items() if any(f"{part}_5" in own for own in found.values())}
    if not parts:
        return None
    figure = new_figure(4.2 * len(parts) + 1.8, 3.4)
    axes = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for axis, (part, title) in zip(axes, parts.items(), strict=True):
        for number, (name, own) in enumerate(found.items()):
            values = [own[f"{part}_{shot}"].value if f"{part}_{shot}" in own else np.nan for shot in SHOTS]
            width = 2.2 if name in models else 1.2
            axis.plot(
                SHOTS, values, "o-", color=_LINES[number % len(_LINES)], linewidth=width, markersize=4, label=name
            )
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("clicks per structure", fontsize=8)
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.tick_params(labelsize=8)
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("Dice, mean over structures", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    figure.suptitle(f"few-shot probe, {domain} data", fontsize=10)
    return figure


def _robustness(summary: Summary, domain: str, models: list[str]) -> "Figure | None":
    """Rank correlation of heat maps and error by change and method."""
    found = summary[domain]
    names = [change.name for change in (*CHANGES, TOGETHER)]
    names = [name for name in names if any(f"changes_error_mm_{name}" in own for own in found.values())]
    if not names:
        return None
    figure = new_figure(12, 0.36 * len(found) + 2.9)
    axes = figure.subplots(1, 2)
    panels = (
        ("changes_rank_correlation_", "rank correlation of heat maps", "{:.2f}", (0, 1), "viridis"),
        ("changes_near_", "same voxel found within 12 mm", "{:.2f}", (0, 1), "viridis"),
    )
    for axis, (prefix, title, form, limits, colors) in zip(axes, panels, strict=True):
        values = np.array(
            [[own[prefix + n].value if prefix + n in own else np.nan for n in names] for own in found.values()]
        )
        axis.imshow(values, cmap=colors, vmin=limits[0], vmax=limits[1], aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if value < 0.6 else "black"
                axis.text(column, row, form.format(value), ha="center", va="center", fontsize=7, color=color)
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7)
        axis.set_yticks(range(len(found)), list(found), fontsize=8)
        axis.set_title(title, fontsize=9)
    axes[1].set_yticklabels([])
    figure.suptitle(f"changed copies, {domain} data", fontsize=10)
    return figure
