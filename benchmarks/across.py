"""Matching across patients, with and without a prior from their rough alignment.

    python benchmarks/across.py [--data ../shared/ct/labelled] [--model coralbay-mini] [--phantoms 3]

Phantoms: distance in mm from the match of each landmark to the corresponding one, over all ordered pairs. Labeled
scans: share of matches inside the structure that was clicked, and the median distance to it, over all ordered pairs
that can be aligned; five clicks a structure, as in `coralbay evaluate`. "Confirmed" are matches whose way back ends
within 24 mm of the click, without a prior.
"""

import argparse
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import CoralBayError
from coralbay_core.evaluate import open_cases
from coralbay_core.evaluate.cases import Case, phantom_case
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.features import FeatureMaps
from coralbay_core.matching import Alignment, Landmark, align, propagate
from coralbay_core.models.loading import load_encoder

PRIORS_MM = (None, 20.0, 40.0, 80.0)
CLICKS = 5


def aligned_pairs(cases: list[Case], features: dict[str, FeatureMaps]) -> Iterator[tuple[Case, Case, Alignment]]:
    for first, second in permutations(cases, 2):
        try:
            yield first, second, align(features[first.name], features[second.name])
        except CoralBayError as error:
            print(f"left out: {first.name} to {second.name}: {error}")


def distance_to(case: Case, name: str, position_mm: NDArray) -> float:
    """From a position to the nearest voxel of a structure, 0 inside it."""
    cells = case.lattice.to_world(np.argwhere(case.mask(name)))
    away = float(np.linalg.norm(cells - position_mm, axis=1).min())
    return away if away > case.lattice.spacing_mm.max() * 0.87 else 0.0


def row(name: str, errors: NDArray, confirmed: NDArray, hit: bool) -> None:
    parts = [f"{errors.mean():.1f}", f"{np.median(errors):.1f}", f"{errors.max():.1f}"]
    if hit:
        parts = [f"{(errors == 0).mean():.2f}", f"{np.mean(errors):.1f}", f"{(errors[confirmed] == 0).mean():.2f}"]
    print(f"| {name} | {' | '.join(parts)} | {confirmed.mean():.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="coralbay-mini")
    parser.add_argument("--phantoms", type=int, default=3)
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    phantoms = [phantom_case(seed) for seed in range(arguments.phantoms)]
    features = {case.name: features_for(case.volume, encoder, store=False) for case in phantoms}
    on_landmarks(list(aligned_pairs(phantoms, features)), features)
    if arguments.data:
        cases = open_cases([arguments.data], phantom=False)
        features = {case.name: features_for(case.volume, encoder) for case in cases}
        on_structures(list(aligned_pairs(cases, features)), features)


def on_landmarks(pairs: list[tuple[Case, Case, Alignment]], features: dict[str, FeatureMaps]) -> None:
    print(f"\n## landmarks of phantoms, {len(pairs)} pairs\n")
    print("| | mean, mm | median | worst | confirmed |\n|---|---|---|---|---|")
    alone = []
    for first, second, alignment in pairs:
        expected = alignment(np.array(list(first.landmarks.values())))
        alone.append(np.linalg.norm(expected - [second.landmarks[n] for n in first.landmarks], axis=1))
    row("the alignment alone", np.concatenate(alone), np.ones(1, bool), hit=False)
    for prior in PRIORS_MM:
        errors, confirmed = [], []
        for first, second, alignment in pairs:
            places = [Landmark(n, tuple(p)) for n, p in first.landmarks.items()]
            both = features[first.name], features[second.name]
            found = propagate(places, *both, prior_mm=prior, alignment=alignment)
            for place, match in zip(places, found.matches, strict=True):
                errors.append(np.linalg.norm(match.position_mm - second.landmarks[place.name]))
                confirmed.append(match.confirmed)
        row("no prior" if prior is None else f"prior {prior:g} mm", np.array(errors), np.array(confirmed), hit=False)


def on_structures(pairs: list[tuple[Case, Case, Alignment]], features: dict[str, FeatureMaps]) -> None:
    print(f"\n## structures of real scans, {len(pairs)} pairs\n")
    print("| | inside | mean distance, mm | inside, of confirmed | confirmed |\n|---|---|---|---|---|")
    for prior in PRIORS_MM:
        errors, confirmed = [], []
        for first, second, alignment in pairs:
            for name in first.shared_with(second):
                places = [Landmark(name, tuple(click)) for click in first.clicks(name, CLICKS)]
                both = features[first.name], features[second.name]
                found = propagate(places, *both, prior_mm=prior, alignment=alignment)
                errors += [distance_to(second, name, match.position_mm) for match in found.matches]
                confirmed += [match.confirmed for match in found.matches]
        row("no prior" if prior is None else f"prior {prior:g} mm", np.array(errors), np.array(confirmed), hit=True)


if __name__ == "__main__":
    main()
