"""Confidence of aligned places against the truth, and the time of a linked crosshair.

    python benchmarks/confidence.py [--data ../shared/ct/labelled] [--model coralbay-mini] [--phantoms 2] [--points 3]

All ordered pairs of one region. Places inside the structures of the first scan are aligned to the second one, which is
shown as a whole and cut off at the middle of its height: its upper half, its lower half. A place is right where it
lands in the same structure, or within 10 mm of it. A structure is absent where nothing of it is left in the part.
Features are cut, on cells of all stages. The linked crosshair is that of a session, in both directions.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import CoralBayError
from coralbay_core.evaluate import open_cases
from coralbay_core.evaluate.cases import Case, phantom_case
from coralbay_core.evaluate.tasks.across import ALIKE
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.features import FeatureMap, FeatureMaps
from coralbay_core.matching import alignment_of, deform
from coralbay_core.matching.deformation import Deformation
from coralbay_core.models.loading import load_encoder
from coralbay_core.spatial import Grid
from coralbay_core.spatial.interpolation import box_grid
from coralbay_viz import Session

NEAR_MM = 10.0
STEP = 16
BINS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.01)
MOVES = 60


@dataclass(frozen=True)
class Place:
    """An aligned place: its confidence, and whether it is right; None where the structure is absent."""

    confidence: float
    is_right: bool | None
    part: str
    domain: str


def parts_of(features: FeatureMaps) -> Iterator[tuple[str, FeatureMaps]]:
    """The whole scan, its lower and its upper half."""
    yield "whole", features
    middle = features.grid.shape[0] // 2 // STEP * STEP
    for name, planes in (("lower", slice(0, middle)), ("upper", slice(middle, features.grid.shape[0]))):
        grid = cut(features.grid, planes)
        stages = {}
        for stride, stage in features.stages.items():
            rows = slice(-(-planes.start // stride), -(-planes.stop // stride))
            stages[stride] = FeatureMap(stride, np.ascontiguousarray(stage.data[:, rows]), grid.coarsen(stride))
        yield name, replace(features, stages=stages, grid=grid, body=features.body[planes])


def cut(grid: Grid, planes: slice) -> Grid:
    return box_grid(grid, (planes, slice(0, grid.shape[1]), slice(0, grid.shape[2])))


def places(one: Case, two: Case, way: Deformation, shown: Grid, part: str, points: int) -> Iterator[Place]:
    """Aligned places of the structures of the first scan that are whole in this part of the second one, or absent."""
    for name in one.shared_with(two):
        there = two.lattice.to_world(np.argwhere(two.mask(name)))
        left = shown.contains(there).mean()
        if 0 < left < 0.9:
            continue
        here = one.clicks(name, points)
        distance = nearest(way(here), there)
        for sure, away in zip(way.confidence_at(here), distance, strict=True):
            yield Place(float(sure), None if not left else bool(away <= NEAR_MM), part, one.domain)


def nearest(places: NDArray, structure: NDArray) -> NDArray:
    from scipy.spatial import cKDTree

    return cKDTree(structure).query(places)[0]


def crosshair_ms(one: Case, two: Case, first: FeatureMaps, second: FeatureMaps) -> tuple[list[float], list[float]]:
    """Milliseconds from a move of either crosshair to the place of the other one, in an aligned session."""
    session = Session(store=False)
    for case, features in ((one, first), (two, second)):
        session.add(case.volume).update(features=features)
    session.activate(session.scans[0])
    alignment_of(first, second)
    session.link_cursor(session.scans[1])
    times: tuple[list[float], list[float]] = ([], [])
    for case, taken, name in ((one, times[0], "cursor_mm"), (two, times[1], "linked_cursor_mm")):
        body = np.argwhere(case.body)
        for index in body[case.rng("crosshair").choice(len(body), MOVES)]:
            place = case.lattice.to_world(index)
            started = time.perf_counter()
            setattr(session, name, place)
            taken.append(1000 * (time.perf_counter() - started))
    return times


def table(found: list[Place], head: str) -> None:
    print(f"\n{head}\n\n| confidence | places | right | wrong | absent | right of those present |")
    print("|---" * 6 + "|")
    for low, high in pairwise(BINS):
        inside = [place for place in found if low <= place.confidence < high]
        right, wrong, absent = (sum(p.is_right is kind for p in inside) for kind in (True, False, None))
        share = f"{right / (right + wrong):.2f}" if right + wrong else ""
        print(f"| {low:.2f} to {min(high, 1):.2f} | {len(inside)} | {right} | {wrong} | {absent} | {share} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="coralbay-mini")
    parser.add_argument("--phantoms", type=int, default=2)
    parser.add_argument("--points", type=int, default=3, help="places per structure")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    cases = [phantom_case(seed) for seed in range(arguments.phantoms)]
    cases += open_cases([arguments.data], phantom=False, names=True) if arguments.data else []
    found: list[Place] = []
    times: tuple[list[float], list[float]] = ([], [])

    @cache
    def features_of(case: Case) -> FeatureMaps:
        return features_for(case.volume, encoder)

    for one, two in permutations(cases, 2):
        if one.domain != two.domain or len(one.shared_with(two)) < ALIKE * len({*one.structures, *two.structures}):
            continue
        for part, second in parts_of(features_of(two)):
            try:
                way = deform(features_of(one), second)
            except CoralBayError as error:
                print(f"refused: {one.name} to {two.name}, {part}: {error}", flush=True)
                continue
            found += places(one, two, way, second.grid, part, arguments.points)
            print(f"{one.name} to {two.name}, {part}: {way.in_words}", flush=True)
        if one.name < two.name:
            for all_times, taken in zip(times, crosshair_ms(one, two, features_of(one), features_of(two)), strict=True):
                all_times += taken
    for domain in ("phantom", "real"):
        table([place for place in found if place.domain == domain], f"**{domain}**")
    table(found, "**all**")
    for name, taken in zip(("there", "back"), times, strict=True):
        if taken:
            print(f"\nlinked crosshair, {name}: median {statistics.median(taken):.1f} ms, worst {max(taken):.0f} ms")


if __name__ == "__main__":
    main()
