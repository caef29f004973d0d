"""Connections between cells: edges of the graph, pull of the strokes' walker, a region grower as peer, times.

    make bench-connectivity
    python benchmarks/connectivity.py [edges pull grower speed] --data ../shared/ct/labelled [--cases 2] [--phantom]

Each part prints a table in Markdown. ``edges`` changes one constant of the graph at a time; ``pull`` the weight of the
probe, with islands dropped or kept; ``grower`` compares one click with a region of connected voxels of similar HU.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralbay_core.evaluate.cases import Case, load_case, phantom_case
from coralbay_core.evaluate.layouts import find_cases
from coralbay_core.evaluate.methods import Method
from coralbay_core.evaluate.metrics import average_precision
from coralbay_core.evaluate.run import open_methods
from coralbay_core.evaluate.tasks import Setting
from coralbay_core.evaluate.tasks.fewshot import BACKGROUND, draw_clicks, draw_strokes, probed_structures, truth_of
from coralbay_core.features import cell_graph
from coralbay_core.probe import fit_probe
from coralbay_core.probe.connect import DEFAULT_PULL, connected_scores
from coralbay_core.similarity.here import here_map
from coralbay_core.spatial import LabelVolume
from coralbay_core.spatial.segmentation_metrics import dice

DATA = Path("../shared/ct/labelled")
EDGES = {"COSINE": (10.0, 20.0, 30.0), "STEP_HU": (30.0, 60.0, 100.0, 1e9), "FINEST_WEIGHT": (1.0, 2.0, 4.0)}
PULLS = (0.003, 0.01, 0.03, 0.1, 0.3)
# Voxels of a region grower may differ from the HU around the click by so many of their standard deviations.
SPREADS, LEAST_HU = 2.5, 20.0


@contextmanager
def constants(**values: float) -> Iterator[None]:
    """Set constants of the graph, and forget graphs made with others, within a block."""
    before = {name: getattr(cell_graph, name) for name in values}
    try:
        for name, value in values.items():
            setattr(cell_graph, name, value)
        cell_graph._graphs.clear()
        yield
    finally:
        for name, value in before.items():
            setattr(cell_graph, name, value)
        cell_graph._graphs.clear()


def edges(setting: Setting, structures: int) -> None:
    """Print mean average precision of one click for each value of each constant."""
    print("\n| constant | value | one-click mAP |\n|---|---|---|")
    for name, candidates in EDGES.items():
        for value in candidates:
            with constants(**{name: value}):
                found = [
                    _precision(setting, case, part) for case in setting.cases for part in largest(case, structures)
                ]
            mark = " (default)" if value == getattr(cell_graph, name) else ""
            print(f"| {name} | {'none' if value == 1e9 else f'{value:g}'}{mark} | {np.mean(found):.3f} |", flush=True)


def _precision(setting: Setting, case: Case, name: str) -> float:
    heat = here_map(setting.features(case), case.clicks(name, 1), guide=case.volume)
    return average_precision(heat.resample_to(case.lattice)[case.body], case.mask(name)[case.body])


def largest(case: Case, count: int) -> list[str]:
    """Select the largest structures of a case."""
    return sorted(case.structures, key=lambda name: -int(case.mask(name).sum()))[:count]


def pull(setting: Setting) -> None:
    """Print Dice of clicks and strokes in the same scan for each weight of the probe."""
    table: dict[tuple[str, str], list[float]] = {}
    for case in setting.cases:
        names = probed_structures(case, setting.cases)
        for shots, drawn in (("5 clicks", draw_clicks(case, names, 5, 0)), ("strokes", draw_strokes(case, names))):
            labels = LabelVolume(drawn, case.lattice, case.name)
            features = setting.features(case)
            probe = fit_probe(features, labels, seed=0)
            made = {"plain": probe.scores(features)}
            for value in PULLS:
                for kept in (False, True):
                    title = (
                        f"{value:g}{' (default)' if value == DEFAULT_PULL else ''}{', islands kept' if kept else ''}"
                    )
                    made[title] = connected_scores(probe, features, labels, case.volume, pull=value, keep_islands=kept)
            for title, scores in made.items():
                found = scores.segment(case.lattice).labels
                table.setdefault((title, shots), []).extend(_each_dice(found, truth_of(case, names), len(names)))
    print("\n| pull | 5 clicks | strokes |\n|---|---|---|")
    for title in dict.fromkeys(title for title, _ in table):
        print(f"| {title} | {np.mean(table[title, '5 clicks']):.3f} | {np.mean(table[title, 'strokes']):.3f} |")


def _each_dice(found: NDArray, truth: NDArray, count: int) -> list[float]:
    return [dice(found == value, truth == value) for value in range(BACKGROUND + 1, BACKGROUND + 1 + count)]


def grower(setting: Setting, structures: int) -> None:
    """Print Dice after one click, of the clicked structure and of a plain region grower."""
    own, peer = [], []
    for case in setting.cases:
        for name in largest(case, structures):
            click, mask = case.clicks(name, 1), case.mask(name)
            heat = here_map(setting.features(case), click, guide=case.volume)
            own.append(dice(heat.mask(case.lattice, heat.threshold or 0) & case.body, mask))
            peer.append(dice(grow(case, click[0]), mask))
    print("\n| one click | Dice |\n|---|---|")
    print(f"| clicked structure | {np.mean(own):.3f} |\n| region grower | {np.mean(peer):.3f} |", flush=True)


def grow(case: Case, click: NDArray) -> NDArray[np.bool_]:
    """Grow a region of connected voxels of the lattice around the mean HU near a click."""
    from scipy import ndimage

    z, y, x = (int(i) for i in case.lattice.nearest_index(click))
    near = case.hu[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].astype(float)
    tolerance = max(SPREADS * float(near.std()), LEAST_HU)
    alike = (np.abs(case.hu - near.mean()) <= tolerance) & case.body
    alike[z, y, x] = True
    parts, _ = ndimage.label(alike)
    return np.asarray(parts == parts[z, y, x])


def speed(setting: Setting) -> None:
    """Print medians of five repeats on the first scan."""
    case = setting.cases[0]
    features, names = setting.features(case), probed_structures(case, setting.cases)
    labels = LabelVolume(draw_strokes(case, names), case.lattice, case.name)
    probe, click = fit_probe(features, labels, seed=0), case.clicks(names[0], 1)

    def graph() -> None:
        cell_graph._graphs.clear()
        cell_graph.cell_graph(features, case.volume)

    steps: dict[str, Callable[[], object]] = {
        "graph": graph,
        "here_map": lambda: here_map(features, click, guide=case.volume),
        "connected_scores": lambda: connected_scores(probe, features, labels, case.volume),
    }
    print(f"\n| {case.name}, {int(features.body_at(features.strides[0]).sum()):,} cells | ms |\n|---|---|")
    for title, step in steps.items():
        step()
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            step()
            taken.append(1e3 * (time.perf_counter() - started))
        print(f"| {title} | {statistics.median(taken):.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["grower", "speed", "pull", "edges"])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cases", type=int, help="only the first scans")
    parser.add_argument("--structures", type=int, default=8, help="largest structures per scan")
    parser.add_argument("--phantom", action="store_true")
    arguments = parser.parse_args()
    cases = [load_case(files) for files in find_cases(arguments.data, "auto")[: arguments.cases]]
    cases = [case for case in cases if case.structures]
    if arguments.phantom:
        cases.append(phantom_case(0))
    method: Method = open_methods(["coralbay-mini"], device="cpu", store=True, baselines=False)[0]
    setting = Setting(method, cases)
    for part in arguments.parts:
        if part in ("edges", "grower"):
            (edges if part == "edges" else grower)(setting, arguments.structures)
        else:
            {"pull": pull, "speed": speed}[part](setting)


if __name__ == "__main__":
    main()
