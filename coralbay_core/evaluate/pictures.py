"""Pictures of the best and the worst cases, to explain the metrics.

Axial planes as radiologists see them (the patient's left on the right, front up), the others with the head up.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..matching import SearchSpace
from .cases import Case
from .plots import new_figure
from .records import Record
from .tasks import Setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_HU = (-200.0, 300.0)
EACH = 3
PLANES = ("axial", "coronal", "sagittal")


def pictures(setting: Setting, records: list[Record]) -> dict[str, "Figure"]:
    """Draw figures by name: best and worst clicks and matches of a model on each kind of data."""
    cases = {case.name: case for case in setting.cases}
    figures: dict[str, Figure] = {}
    for domain in dict.fromkeys(case.domain for case in setting.cases):
        own = [r for r in records if r.method == setting.method.name and r.domain == domain]
        for task, value, draw in (("retrieval", "ap", _draw_retrieval), ("across", "distance_mm", _draw_match)):
            ranked = _ranked([r for r in own if r.task == task], value)
            best_last = value == "ap"
            for word, chosen in _ends(ranked, best_last):
                figures[f"{task}-{word}-{domain}"] = draw(setting, cases, chosen, f"{word} cases, {domain} data")
    return figures


def _ranked(records: list[Record], value: str) -> list[tuple[Record, int]]:
    """Sort records by value, lowest first, each with the number of one click; one click per structure."""
    chosen = []
    for record in records:
        values = np.asarray(record.values[value], float)
        middle = int(np.argsort(values, kind="stable")[len(values) // 2])
        chosen.append((float(values.mean()), record.keys["case"], record.keys["structure"], record, middle))
    chosen.sort(key=lambda entry: entry[:3])
    return [(record, click) for *_, record, click in chosen]


def _ends(ranked: list[tuple[Record, int]], best_last: bool) -> list[tuple[str, list[tuple[Record, int]]]]:
    if not ranked:
        return []
    # With few records no case is shown twice.
    count = min(EACH, (len(ranked) + 1) // 2)
    low, high = ranked[:count], ranked[len(ranked) - min(count, len(ranked) - count) :][::-1]
    ends = [("worst", low), ("best", high)] if best_last else [("best", low), ("worst", high)]
    return sorted([end for end in ends if end[1]], key=lambda end: end[0])


def plane(data: NDArray, index: tuple[int, ...], name: str) -> NDArray:
    """Cut the plane through a voxel from a (z, y, x) array with axes S, P, L, in radiological orientation."""
    z, y, x = index
    return {"axial": data[z], "coronal": data[::-1, y], "sagittal": data[::-1, :, x]}[name]


def place(index: tuple[int, ...], shape: tuple[int, ...], name: str) -> tuple[int, int]:
    """Column and row of a voxel in its plane."""
    z, y, x = index
    up = shape[0] - 1 - z
    return {"axial": (x, y), "coronal": (x, up), "sagittal": (y, up)}[name]


def _aspect(case: Case, name: str) -> float:
    z, y, x = (float(mm) for mm in case.lattice.spacing_mm)
    return {"axial": y / x, "coronal": z / x, "sagittal": z / y}[name]


def _index(case: Case, position_mm: NDArray) -> tuple[int, ...]:
    return tuple(int(i) for i in case.lattice.nearest_index(position_mm))


def _show(
    axis: "Axes", case: Case, index: tuple[int, ...], name: str, mask: NDArray | None, scores: NDArray | None
) -> None:
    """One plane: CT, heat map above its 90th percentile, outline of the structure."""
    axis.imshow(
        plane(case.hu, index, name), cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=_aspect(case, name)
    )
    if scores is not None:
        low, high = np.percentile(scores[case.body], (90, 100))
        shown = np.where(case.body & (scores >= low), scores, np.nan)
        axis.imshow(
            plane(shown, index, name), cmap="inferno", vmin=low, vmax=high, alpha=0.55, aspect=_aspect(case, name)
        )
    if mask is not None and plane(mask, index, name).any():
        axis.contour(plane(mask, index, name), levels=[0.5], colors="#39e1ff", linewidths=1.0)
    axis.set_xticks([])
    axis.set_yticks([])


def _cross(axis: "Axes", case: Case, index: tuple[int, ...], name: str, color: str) -> None:
    axis.plot(*place(index, case.lattice.shape, name), "+", color=color, markersize=12, markeredgewidth=1.8)


def _letters(axis: "Axes", name: str) -> None:
    """Draw the letters of the directions that the edges face."""
    top, right = {"axial": ("A", "L"), "coronal": ("S", "L"), "sagittal": ("S", "P")}[name]
    for letter, x, y in ((top, 0.5, 0.96), (right, 0.96, 0.5)):
        axis.text(x, y, letter, transform=axis.transAxes, color="#ffd400", fontsize=8, ha="center", va="center")


def _draw_retrieval(setting: Setting, cases: dict[str, Case], chosen: list[tuple[Record, int]], title: str) -> "Figure":
    """Draw one row per structure: three planes through the click with heat map and outline."""
    figure = new_figure(9.5, 3.3 * len(chosen))
    axes = figure.subplots(len(chosen), 3, squeeze=False)
    for row, (record, click) in zip(axes, chosen, strict=True):
        case = cases[record.keys["case"]]
        position = np.asarray(record.values["clicks_mm"])[click]
        scores, mask = setting.scores(position, case, case), case.mask(record.keys["structure"])
        for axis, name in zip(row, PLANES, strict=True):
            _show(axis, case, _index(case, position), name, mask, scores)
            _cross(axis, case, _index(case, position), name, "#4cff4c")
            _letters(axis, name)
        average = record.values["ap"][click]
        row[0].set_title(f"{record.keys['structure']}, {case.name}: AP {average:.2f}", fontsize=9, loc="left")
    figure.suptitle(f"{setting.method.name}, click retrieval, {title}", fontsize=10)
    return figure


def _draw_match(setting: Setting, cases: dict[str, Case], chosen: list[tuple[Record, int]], title: str) -> "Figure":
    """Draw one row per match: the click in its scan, then the best match in the other one, axial and coronal."""
    figure = new_figure(12.5, 3.3 * len(chosen))
    axes = figure.subplots(len(chosen), 4, squeeze=False)
    for row, (record, click) in zip(axes, chosen, strict=True):
        query, target = cases[record.keys["case"]], cases[record.keys["target"]]
        name = record.keys["structure"]
        position = np.asarray(record.values["clicks_mm"])[click]
        scores = setting.scores(position, query, target)
        found, _ = SearchSpace(target.lattice, target.body).best(scores)
        for axis, view in zip(row[:2], ("axial", "coronal"), strict=True):
            _show(axis, query, _index(query, position), view, query.mask(name), None)
            _cross(axis, query, _index(query, position), view, "#4cff4c")
            _letters(axis, view)
        for axis, view in zip(row[2:], ("axial", "coronal"), strict=True):
            _show(axis, target, found, view, target.mask(name), scores)
            _cross(axis, target, found, view, "#4cff4c")
            _letters(axis, view)
        row[0].set_title(f"{name}: click in {query.name}", fontsize=9, loc="left")
        away = record.values["distance_mm"][click]
        place_text = "inside" if record.values["hit"][click] else f"{away:.0f} mm away"
        row[2].set_title(f"best match in {target.name}: {place_text}", fontsize=9, loc="left")
    figure.suptitle(f"{setting.method.name}, point matching, {title}", fontsize=10)
    return figure
