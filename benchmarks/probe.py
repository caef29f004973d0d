"""Probes: how good each kind is, what refinement and suggestions gain, how long a refit takes.

    make bench-probe
    python benchmarks/probe.py kinds --data ../shared/ct/labelled [--method random ...] [--shots 5,strokes]
    python benchmarks/probe.py refine --data ../shared/ct/labelled
    python benchmarks/probe.py suggest --data ../shared/ct/labelled
    python benchmarks/probe.py speed [--data ../shared/ct/labelled] [--threads 2]

Each prints a table in Markdown. ``kinds`` asks what ``coralbay evaluate --tasks fewshot`` asks, of all kinds of probe.
``refine`` compares label maps with and without refinement voxel by voxel, for probes from strokes and for cells that
hold the truth: what is left to gain where every cell is right. ``suggest`` lets an annotator who never errs follow
suggestions, or click in the body by chance. ``speed`` times kinds in turn, medians of interleaved repeats.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from coralbay_core.evaluate.cases import Case, load_case
from coralbay_core.evaluate.layouts import CaseFiles, find_cases
from coralbay_core.evaluate.methods import Method
from coralbay_core.evaluate.run import open_cases, open_methods
from coralbay_core.evaluate.tasks import Setting
from coralbay_core.evaluate.tasks.common import body_points
from coralbay_core.evaluate.tasks.fewshot import (
    BACKGROUND,
    SHOTS,
    draw_clicks,
    draw_strokes,
    few_shot,
    probed_structures,
    truth_of,
)
from coralbay_core.features import FeatureMaps
from coralbay_core.io import load_labels
from coralbay_core.probe import KINDS, Probe, ScoreMap, fit_probe, suggest_next
from coralbay_core.spatial import Grid, LabelVolume, geometry
from coralbay_core.spatial.resampling import resample
from coralbay_core.spatial.segmentation_metrics import dice

DATA = Path("../shared/ct/labelled")
REPEATS = 5
ROUNDS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("kinds", "refine", "suggest", "speed"))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--method", action="append", help="model or baseline [coralbay-mini]")
    parser.add_argument("--shots", default=",".join(SHOTS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--phantom", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    {"kinds": kinds, "refine": refine, "suggest": suggest, "speed": speed}[arguments.part](arguments)


def methods_named(names: Sequence[str] | None) -> list[Method]:
    """Models and baselines as `coralbay evaluate` opens them."""
    wanted = names or ["coralbay-mini"]
    return [method for method in open_methods([], store=True) if method.name in wanted]


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    row(*["---"] * len(cells))


# --- kinds --------------------------------------------------------------------------------------------------------


def kinds(arguments: argparse.Namespace) -> None:
    """Mean Dice of every kind of probe."""
    shots = arguments.shots.split(",")
    cases = open_cases([arguments.data] if arguments.data.is_dir() else [], phantom=arguments.phantom)
    domains = list(dict.fromkeys(case.domain for case in cases))
    columns = [f"{shot}, {domain}" for domain in domains for shot in shots]
    for method in methods_named(arguments.method):
        setting = Setting(method, cases)
        print(f"\n{method.name}: Dice in the same scan / in another patient / beyond 24 mm of any stroke\n")
        head("kind", *columns)
        for kind in arguments.kinds.split(","):
            found = _gathered(few_shot(setting, kind=kind, all_shots=shots))
            row(kind, *(_cell(found, domain, shot) for domain in domains for shot in shots))


def _gathered(records: Iterator) -> dict[tuple[str, str, str], list[float]]:
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for record in records:
        place = record.domain, record.keys["shots"]
        found[(*place, record.task)].append(record.values["dice"])
        if record.values.get("dice_gap") is not None:
            found[(*place, "gap")].append(record.values["dice_gap"])
    return found


def _cell(found: dict, domain: str, shot: str) -> str:
    tasks = ("fewshot", "fewshot_across", *(("gap",) if shot == "strokes" else ()))
    return " / ".join(f"{np.mean(found[domain, shot, task]):.3f}" for task in tasks if found[domain, shot, task])


# --- refine -------------------------------------------------------------------------------------------------------


def refine(arguments: argparse.Namespace) -> None:
    """Dice voxel by voxel, without and with refinement."""
    (method,) = methods_named(arguments.method)[:1]
    head("scan", "strokes", "strokes, refined", "20 clicks", "20 clicks, refined", "true cells", "true cells, refined")
    gathered: list[list[float]] = []
    for files in find_cases(arguments.data, "auto"):
        case = load_case(files)
        if not case.structures:
            continue
        features = method.describe(case.volume, keep=True)
        names = probed_structures(case, [case])
        truth = whole_truth(files, case, names)
        drawn = {"strokes": draw_strokes(case, names), "20": draw_clicks(case, names, 20, 0)}
        maps = [fit_probe(features, LabelVolume(d, case.lattice)).scores(features) for d in drawn.values()]
        maps.append(true_cells(truth, case, features, len(names)))
        gathered.append([d for scores in maps for d in _with_and_without(scores, case, truth, len(names))])
        row(case.name, *(f"{d:.3f}" for d in gathered[-1]))
    row("mean", *(f"{d:.3f}" for d in np.mean(gathered, 0)))


def _with_and_without(scores: ScoreMap, case: Case, truth: NDArray, structures: int) -> tuple[float, float]:
    rough = scores.segment(case.volume.grid).labels
    fine = scores.segment(case.volume.grid, guide=case.volume).labels
    values = range(BACKGROUND + 1, BACKGROUND + 1 + structures)
    return tuple(float(np.mean([dice(made == v, truth == v) for v in values])) for made in (rough, fine))  # type: ignore[return-value]


def whole_truth(files: CaseFiles, case: Case, names: list[str]) -> NDArray[np.uint8]:
    """Labels of the scan's own voxels as a perfect probe would give them."""
    from coralbay_core.evaluate.names import canonical

    truth = np.full(case.volume.shape, BACKGROUND, np.uint8)
    for path, named in files.labels.items():
        labels = load_labels(path, like=case.volume).data
        for value, name in named.items():
            if canonical(name) in names:
                truth[labels == value] = BACKGROUND + 1 + names.index(canonical(name))
    return truth


def true_cells(truth: NDArray, case: Case, features: FeatureMaps, structures: int) -> ScoreMap:
    """Scores of cells whose probabilities are the shares of the true labels in them."""
    grid, values = features.finest.grid, tuple(range(BACKGROUND, BACKGROUND + 1 + structures))
    shares = [resample((truth == v).astype(np.float32), case.volume.grid, grid) for v in values]
    return ScoreMap(np.log(np.maximum(shares, 1e-3)).astype(np.float32), grid, values, BACKGROUND, features)


# --- suggest ------------------------------------------------------------------------------------------------------


def suggest(arguments: argparse.Namespace) -> None:
    """Dice after rounds of one more label, where a suggestion says or anywhere in the body."""
    (method,) = methods_named(arguments.method)[:1]
    cases = open_cases([arguments.data], phantom=False, names=True)
    curves: dict[str, list[list[float]]] = {"suggested": [], "by chance": []}
    for case in cases:
        features = method.describe(case.volume, keep=True)
        names = probed_structures(case, cases)
        for name, place in (("suggested", _suggested), ("by chance", _by_chance)):
            curves[name].append(list(_annotated(case, features, names, place)))
    print("\nDice after so many labels beyond one click a structure, mean over scans\n")
    head("next label", *(str(n) for n in range(ROUNDS + 1)))
    for name, curve in curves.items():
        row(name, *(f"{d:.3f}" for d in np.mean(curve, 0)))


Place = Callable[[Probe, Case, FeatureMaps, NDArray, np.random.Generator], NDArray]


def _annotated(case: Case, features: FeatureMaps, names: list[str], place: Place) -> Iterator[float]:
    truth, drawn = truth_of(case, names), draw_clicks(case, names, 1, 0)
    rng = case.rng("annotator")
    for number in range(ROUNDS + 1):
        probe = fit_probe(features, LabelVolume(drawn, case.lattice))
        made = probe.segment(features, case.lattice)
        yield float(np.mean([dice(made == v, truth == v) for v in range(BACKGROUND + 1, BACKGROUND + 1 + len(names))]))
        if number < ROUNDS:
            index = np.rint(case.lattice.to_index(place(probe, case, features, drawn, rng))).astype(int)
            index = np.clip(index, 0, np.array(case.lattice.shape) - 1)
            drawn[tuple(index)] = truth[tuple(index)]


def _suggested(probe: Probe, case: Case, features: FeatureMaps, drawn: NDArray, rng: np.random.Generator) -> NDArray:
    labeled = case.lattice.to_world(np.argwhere(drawn))
    return np.array(suggest_next(probe.scores(features), labeled)[0].position_mm)


def _by_chance(probe: Probe, case: Case, features: FeatureMaps, drawn: NDArray, rng: np.random.Generator) -> NDArray:
    return body_points(case.body & (drawn == 0), case.lattice, 1, rng)[0]


# --- speed --------------------------------------------------------------------------------------------------------


def speed(arguments: argparse.Namespace) -> None:
    """Milliseconds of a refit from strokes, of three slices and of the whole scan."""
    (method,) = methods_named(arguments.method)[:1]
    real = arguments.data.is_dir()
    cases = open_cases([arguments.data] if real else [], phantom=not real, names=True)
    case = max(cases, key=lambda c: c.volume.data.size)
    features = method.describe(case.volume, keep=True)
    names = probed_structures(case, cases)
    strokes = LabelVolume(draw_strokes(case, names), case.lattice)
    clicks = LabelVolume(draw_clicks(case, names, 5, 0), case.lattice)
    slices = middle_slices(case.volume.grid)
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(REPEATS):
        for kind in arguments.kinds.split(","):
            for what, labels in (("clicks", clicks), ("strokes", strokes)):
                _time(times, kind, what, features, labels, slices, case)
    cells = int(np.prod(features.finest.grid.shape))
    print(
        f"\n{case.name}: {' x '.join(map(str, case.volume.shape))} voxels, "
        f"{cells} cells at stride {features.strides[0]}, "
        f"{int(np.count_nonzero(strokes.data))} stroke voxels in {len(names) + 1} classes, "
        f"{sum(s.channels for s in features.stages.values())} channels, {arguments.threads} thread(s), ms\n"
    )
    steps = ("refit", "3 slices", "refit and 3 slices", "whole scan at stride 4", "whole scan, voxels")
    head("kind", "labels", *steps)
    for kind in arguments.kinds.split(","):
        for what in ("clicks", "strokes"):
            own = [times[kind, f"{what} {step}"] for step in steps]
            row(kind, what, *(f"{1000 * statistics.median(t):.0f}" for t in own))


def _time(
    times: dict, kind: str, what: str, features: FeatureMaps, labels: LabelVolume, slices: list[Grid], case: Case
) -> None:
    moments = [time.perf_counter()]
    probe = fit_probe(features, labels, kind=kind)  # type: ignore[arg-type]
    moments.append(time.perf_counter())
    scores = probe.scores(features)
    for grid in slices:
        scores.segment(grid)
    moments.append(time.perf_counter())
    probe.scores(features).data.argmax(0)
    moments.append(time.perf_counter())
    probe.segment(features, case.volume.grid)
    moments.append(time.perf_counter())
    fitted, drawn, coarse, fine = np.diff(moments)
    for step, spent in (
        ("refit", fitted),
        ("3 slices", drawn),
        ("refit and 3 slices", fitted + drawn),
        ("whole scan at stride 4", coarse),
        ("whole scan, voxels", fine),
    ):
        times[kind, f"{what} {step}"].append(float(spent))


def middle_slices(grid: Grid) -> list[Grid]:
    """The three orthogonal slices through the middle of a grid."""
    made = []
    for axis in range(3):
        shape, start = list(grid.shape), [0, 0, 0]
        start[axis], shape[axis] = shape[axis] // 2, 1
        made.append(Grid((shape[0], shape[1], shape[2]), grid.affine @ geometry.translate(start)))
    return made


if __name__ == "__main__":
    main()
