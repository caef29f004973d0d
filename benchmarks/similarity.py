"""Ways to ask where else it looks like this, measured on labeled CTs: how clicks are combined, which scales count.

    python benchmarks/similarity.py --data ../shared/ct/labelled [--model coralbay-mini] [--limit N] [--seeds 2]
                                    [--blocks prior]

For every structure of every scan, five clicks (the deepest point and four seeded ones from the deeper half, as in
`coralbay evaluate`) or all of its inside are the positives and, where said, five seeded clicks in other structures the
negatives. All voxels of the body, about 3 mm apart, are ranked: average precision a structure, the mean of all. The
rows "across" ask another patient's scan that has the structure, too. Differences to the first row of a block carry a
95 % bootstrap interval over structures.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralbay_core.evaluate import open_cases
from coralbay_core.evaluate.cases import Case
from coralbay_core.evaluate.metrics import average_precision, bootstrap_interval
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.features import FeatureMaps
from coralbay_core.models.encoder import DEFAULT_STRIDES
from coralbay_core.models.loading import load_encoder
from coralbay_core.similarity import HeatMap, auto_weights, make_query, search
from coralbay_core.similarity.prior import prior_around
from coralbay_core.spatial.resampling import resample

CLICKS = 5


@dataclass(frozen=True, eq=False)
class Asked:
    """A structure of a scan with clicks inside and outside of it."""

    features: FeatureMaps
    clicks: NDArray
    against: NDArray
    inside: NDArray


Way = Callable[[Asked, FeatureMaps], list[HeatMap]]


def plain(reduction: str = "max", *, negative: bool = False, auto: bool = False, region: bool = False) -> Way:
    def ask(asked: Asked, target: FeatureMaps) -> list[HeatMap]:
        places = asked.inside if region else asked.clicks
        against = asked.against if negative else ()
        query = make_query(asked.features, places, against, reduction=reduction)
        weights = auto_weights(asked.features, places, against) if auto else None
        return [search(target, query, weights=weights)]

    return ask


def single(stride: int) -> Way:
    return lambda asked, target: [search(target, make_query(asked.features, asked.clicks), weights={stride: 1})]


def one_click(prior_mm: float | None = None) -> Way:
    def ask(asked: Asked, target: FeatureMaps) -> list[HeatMap]:
        return [
            search(target, make_query(asked.features, click), prior=prior_around(click, prior_mm))
            for click in asked.clicks
        ]

    return ask


BLOCKS: dict[str, dict[str, Way]] = {
    "five clicks: how they count": {
        "maximum": plain(),
        "mean": plain("mean"),
        "medoid": plain("medoid"),
        "one click": one_click(),
    },
    "five clicks: which scales": {
        "equal weights": plain(),
        "auto": plain(auto=True),
        **{f"stride {stride} alone": single(stride) for stride in DEFAULT_STRIDES},
    },
    "five clicks and five negatives": {
        "positives alone": plain(),
        "equal weights": plain(negative=True),
        "auto": plain(negative=True, auto=True),
    },
    "the whole structure as a region": {
        "k-means, equal weights": plain("kmeans", region=True),
        "k-means, auto": plain("kmeans", region=True, auto=True),
        "mean": plain("mean", region=True),
        "medoid": plain("medoid", region=True),
        "five clicks, maximum": plain(),
    },
}
# A prior is a place in the scan that is searched, so it is measured there alone.
OWN_SCAN = {
    "one click and a distance prior (same scan)": {
        "none": one_click(),
        **{f"{mm} mm": one_click(float(mm)) for mm in (30, 60, 120, 200)},
    }
}


def asked_about(case: Case, features: FeatureMaps, name: str, seed: int) -> Asked:
    others = [other for other in case.structures if other != name and not (case.mask(other) & case.mask(name)).any()]
    rng = case.rng(f"negatives {name}", seed)
    chosen = rng.choice(others, min(CLICKS, len(others)), replace=False) if others else []
    against = [case.clicks(str(other), 1, seed)[0] for other in chosen]
    cells = np.argwhere(case.mask(name))
    inside = case.lattice.to_world(cells[:: max(1, len(cells) // 500)])
    return Asked(features, case.clicks(name, CLICKS, seed), np.array(against).reshape(-1, 3), inside)


def measured(heats: list[HeatMap], case: Case, name: str) -> float:
    truth = case.mask(name)[case.body]
    scores = [resample(heat.data, heat.grid, case.lattice)[case.body] for heat in heats]
    return float(np.mean([average_precision(s, truth) for s in scores]))


def pairs(cases: list[Case]) -> Iterator[tuple[str, Case, Case, str]]:
    for case in cases:
        for other in cases:
            names = case.structures if other is case else case.shared_with(other)
            for name in names:
                yield "same scan" if other is case else "across", case, other, name


def table(title: str, rows: dict[str, list[float]]) -> None:
    first = np.array(next(iter(rows.values())))
    print(f"\n{title} ({len(first)} structures)\n\n| | mAP | against the first row |\n|---|---|---|")
    for name, values in rows.items():
        found = np.array(values)
        if found is first or np.array_equal(found, first):
            print(f"| {name} | {found.mean():.3f} | |")
            continue
        difference = found - first
        low, high = bootstrap_interval([np.array([d]) for d in difference], np.mean)
        print(f"| {name} | {found.mean():.3f} | {difference.mean():+.3f} ({low:+.3f}..{high:+.3f}) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--model", default="coralbay-mini")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--phantom", action="store_true")
    parser.add_argument("--blocks", default="", help="only the blocks of variants whose title contains this")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    found = open_cases(arguments.data, phantom=arguments.phantom or not arguments.data, limit=arguments.limit)
    for domain in dict.fromkeys(case.domain for case in found):
        cases = [case for case in found if case.domain == domain]
        features = {case.name: features_for(case.volume, encoder, store=domain == "real") for case in cases}
        results: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for where, case, other, name in pairs(cases):
            blocks = BLOCKS | OWN_SCAN if other is case else BLOCKS
            blocks = {title: ways for title, ways in blocks.items() if arguments.blocks in title}
            for seed in range(arguments.seeds):
                asked = asked_about(case, features[case.name], name, seed)
                for block, ways in blocks.items():
                    for way, ask in ways.items():
                        value = measured(ask(asked, features[other.name]), other, name)
                        results[where, block][way].append(value)
        print(
            f"\n## {domain}: {len(cases)} scans, {encoder.name} {encoder.fingerprint[:12]}, {arguments.seeds} seed(s)"
        )
        for (where, block), rows in sorted(results.items(), reverse=True):
            table(f"{where}, {block}", rows)


if __name__ == "__main__":
    main()
