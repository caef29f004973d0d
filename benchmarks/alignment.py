"""Deformable alignment of patients: error at landmarks of phantoms, and overlap of the structures of real scans.

    python benchmarks/alignment.py [--data ../shared/ct/labelled] [--model coralbay-mini] [--phantoms 3] [--bspline]

All ordered pairs of one region, both directions. Compared are the centers of the scans on each other, the rough affine
alignment, one search and both, and with --bspline SimpleITK's B-spline registration on HU (affine and B-spline by
mutual information, control points 40 mm apart, one resolution at 3 mm). Labels travel without a probe. Seconds are
those of the processor for a pair, both directions, with features given; folding is the share of cells of the body.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.errors import CoralBayError
from coralbay_core.evaluate import open_cases
from coralbay_core.evaluate.cases import Case, phantom_case
from coralbay_core.evaluate.tasks.across import ALIKE
from coralbay_core.evaluate.tasks.transfer import centered
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.features import FeatureMaps
from coralbay_core.matching import Alignment, align, deform
from coralbay_core.matching.deformation import LEVELS
from coralbay_core.models.loading import load_encoder
from coralbay_core.spatial import geometry
from coralbay_core.spatial.segmentation_metrics import dice

PointMap = Callable[[ArrayLike], NDArray]


@dataclass(frozen=True)
class Found:
    """Maps from the first scan to the second and back; None where a method gives one direction only."""

    there: PointMap | None
    back: PointMap
    seconds: float
    folding: float = 0.0


Method = Callable[[Case, Case, FeatureMaps, FeatureMaps, Alignment], Iterator[Found]]


def by_affine(matrix: NDArray, seconds: float = 0.0) -> Found:
    inverse = np.linalg.inv(matrix)
    return Found(lambda p: geometry.apply(matrix, p), lambda p: geometry.apply(inverse, p), seconds)


def searched(levels: int) -> Method:
    def run(one: Case, two: Case, first: FeatureMaps, second: FeatureMaps, rough: Alignment) -> Iterator[Found]:
        started = time.process_time()
        made = deform(first, second, prior=rough, levels=LEVELS[:levels])
        yield Found(made.forward, made.backward, time.process_time() - started, made.folding)

    return run


def bspline(one: Case, two: Case, first: FeatureMaps, second: FeatureMaps, rough: Alignment) -> Iterator[Found]:
    """Registration by mutual information; a transform of ITK maps the fixed scan to the moving one: each way alone."""
    for fixed, moving in ((two, one), (one, two)):
        started = time.process_time()
        yield Found(None, registered(fixed, moving), time.process_time() - started)


def registered(fixed: Case, moving: Case) -> PointMap:
    import SimpleITK as sitk

    flip = np.diag([-1.0, -1.0, 1.0])

    def image(case: Case) -> "sitk.Image":
        made = sitk.GetImageFromArray(np.clip(case.hu, -1000, 600).astype(np.float32))
        spacing = case.lattice.spacing_mm
        made.SetSpacing([float(v) for v in spacing[::-1]])
        made.SetDirection((flip @ case.lattice.affine[:3, :3] / spacing)[:, ::-1].ravel())
        made.SetOrigin(flip @ case.lattice.affine[:3, 3])
        return made

    one, two = image(fixed), image(moving)
    start = sitk.CenteredTransformInitializer(
        one, two, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    grid = [max(2, round(size * step / 40)) for size, step in zip(one.GetSize(), one.GetSpacing(), strict=True)]
    steps = [start, sitk.BSplineTransformInitializer(one, grid)]
    whole = sitk.CompositeTransform(3)
    for number, step in enumerate(steps):
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(32)
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(0.02 if number == 0 else 0.05, 1)
        method.SetInterpolator(sitk.sitkLinear)
        if number == 0:
            method.SetOptimizerAsGradientDescent(1.0, 100)
            method.SetOptimizerScalesFromPhysicalShift()
            method.SetShrinkFactorsPerLevel([4, 2])
            method.SetSmoothingSigmasPerLevel([4, 2])
        else:
            method.SetMovingInitialTransform(whole)
            method.SetOptimizerAsLBFGSB(1e-5, 30)
        method.SetInitialTransform(step, inPlace=True)
        method.Execute(one, two)
        whole = sitk.CompositeTransform([whole, step]) if number else sitk.CompositeTransform([step])

    def apply(position_mm: ArrayLike) -> NDArray:
        return np.array([whole.TransformPoint(tuple(p)) for p in np.asarray(position_mm, float) @ flip]) @ flip

    return apply


def overlaps(labeled: Case, case: Case, back: PointMap) -> list[float]:
    """Dice of each shared structure after travelling; `back` maps the case to the labeled one."""
    inside = np.flatnonzero(case.body)
    places = back(case.lattice.cell_positions(inside))
    index, known = tuple(labeled.lattice.nearest_index(places).T), labeled.lattice.contains(places)
    return [
        dice(labeled.mask(name)[index] & known, case.mask(name).ravel()[inside]) for name in labeled.shared_with(case)
    ]


def distances(one: Case, two: Case, there: PointMap) -> NDArray:
    names = [name for name in one.landmarks if name in two.landmarks]
    found = there(np.array([one.landmarks[name] for name in names]))
    return np.linalg.norm(found - [two.landmarks[name] for name in names], axis=1)


def alike(cases: list[Case]) -> Iterator[tuple[Case, Case]]:
    for one, two in combinations(cases, 2):
        if len(one.shared_with(two)) >= ALIKE * len({*one.structures, *two.structures}):
            yield one, two


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="coralbay-mini")
    parser.add_argument("--phantoms", type=int, default=3)
    parser.add_argument("--bspline", action="store_true")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    cases = [phantom_case(seed) for seed in range(arguments.phantoms)]
    cases += open_cases([arguments.data], phantom=False, names=True) if arguments.data else []
    methods: dict[str, Method] = {
        "centers": lambda one, two, *_: iter([by_affine(np.linalg.inv(centered(one, two)))]),
        "affine": lambda one, two, first, second, rough: iter([by_affine(rough.affine)]),
        "search of 12 mm cells": searched(1),
        "search of 12, then 6 mm cells": searched(2),
    }
    if arguments.bspline:
        methods["B-spline on HU (SimpleITK)"] = bspline
    errors: dict[str, list[float]] = {name: [] for name in methods}
    shares: dict[str, dict[str, float]] = {name: {} for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    folding: dict[str, list[float]] = {name: [] for name in methods}
    for domain in ("phantom", "real"):
        for one, two in alike([case for case in cases if case.domain == domain]):
            first, second = (features_for(case.volume, encoder, store=domain == "real") for case in (one, two))
            try:
                rough = align(first, second)
            except CoralBayError as error:
                print(f"left out: {one.name} to {two.name}: {error}")
                continue
            for name, method in methods.items():
                ways = list(method(one, two, first, second, rough))
                seconds[name].append(sum(way.seconds for way in ways))
                folding[name].append(max(way.folding for way in ways))
                there = ways[0].there or ways[1].back
                if domain == "phantom":
                    errors[name] += [*distances(one, two, there), *distances(two, one, ways[0].back)]
                else:
                    shares[name][f"{one.name} to {two.name}"] = float(np.mean(overlaps(one, two, ways[0].back)))
                    shares[name][f"{two.name} to {one.name}"] = float(np.mean(overlaps(two, one, there)))
                print(f"{one.name}, {two.name}: {name} done", flush=True)
    report(errors, shares, seconds, folding)


def report(
    errors: dict[str, list[float]],
    shares: dict[str, dict[str, float]],
    seconds: dict[str, list[float]],
    folding: dict[str, list[float]],
) -> None:
    pairs = list(next(iter(shares.values())))
    print("\n| | landmarks, mm | worst tenth, mm | " + " | ".join(pairs) + " | folding | processor s |")
    print("|---" * (5 + len(pairs)) + "|")
    for name in errors:
        found = np.array(errors[name] or [np.nan])
        cells = [f"{found.mean():.1f}", f"{np.quantile(found, 0.9):.1f}", *(f"{shares[name][p]:.3f}" for p in pairs)]
        print(f"| {name} | {' | '.join(cells)} | {np.mean(folding[name]):.4f} | {np.mean(seconds[name]):.1f} |")


if __name__ == "__main__":
    main()
