"""Arithmetic that a user waits for: similarity, PCA, a probe and slices, on the features of a chest-abdomen CT.

    make bench-interactive                              (ARGS="--threads 1")
    python benchmarks/interactive.py [--shape 300,240,240] [--strides 4,8,16,32 ...] [--channels 24,48,...]
                                     [--threads 2]

Features are noise of the size of a real scan's, since time does not depend on what they say; by default 270,000 tokens
at stride 4 and 2.2 million at stride 2. The calls are those that commands, session and plugin make. What a scan pays
once (z-scores and unit vectors) is timed by itself. Medians of interleaved repeats.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from coralbay_core.features import FeatureMap, FeatureMaps
from coralbay_core.features.descriptors import stage_descriptors
from coralbay_core.probe import fit_probe
from coralbay_core.projection import fit_basis
from coralbay_core.similarity import heat_map
from coralbay_core.spatial import Grid, LabelVolume, geometry
from coralbay_core.spatial.resampling import resample

SPACING_MM = 1.5
QUERIES = 8
STROKES = 2000
CLASSES = 3
REPEATS = 7


def made_features(shape: tuple[int, int, int], channels: dict[int, int]) -> FeatureMaps:
    grid = Grid(shape, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])[[2, 1, 0, 3]])
    rng = np.random.default_rng(0)
    stages = {}
    for stride, count in channels.items():
        part = grid.coarsen(stride)
        stages[stride] = FeatureMap(stride, rng.standard_normal((count, *part.shape), np.float32).astype("f2"), part)
    return FeatureMaps(stages, grid, np.ones(shape, bool), "noise", "noise")


def painted(features: FeatureMaps) -> LabelVolume:
    """Voxels of three classes, in the grid of the scan."""
    rng = np.random.default_rng(1)
    data = np.zeros(features.grid.shape, np.uint8)
    places = rng.choice(data.size, STROKES, replace=False)
    data.reshape(-1)[places] = rng.integers(1, CLASSES + 1, STROKES)
    return LabelVolume(data, features.grid)


def planes(grid: Grid) -> list[Grid]:
    """The three slices through the middle."""
    found = []
    for axis in range(3):
        low = [n // 2 if a == axis else 0 for a, n in enumerate(grid.shape)]
        shape = tuple(1 if a == axis else n for a, n in enumerate(grid.shape))
        found.append(Grid(shape, grid.affine @ geometry.translate(low)))
    return found


def operations(features: FeatureMaps) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(2)
    points = features.grid.to_world(rng.uniform(0, 1, (QUERIES, 3)) * (np.array(features.grid.shape) - 1))
    weights = {stride: 1.0 + i for i, stride in enumerate(features.strides)}
    strokes = painted(features)
    heat = heat_map(features, points[:1])
    shown = planes(features.grid)

    def colors() -> object:
        return fit_basis(features).rgb(features)

    return {
        f"similarity to {QUERIES} points, scales mixed": lambda: heat_map(features, points, weights=weights),
        "PCA fitted, colors of all tokens": colors,
        f"ridge probe of {STROKES} strokes, all tokens classified": lambda: (
            fit_probe(features, strokes, kind="ridge").scores(features).data.argmax(0)
        ),
        "three slices of a heat map, upsampled": lambda: [resample(heat.data, heat.grid, plane) for plane in shown],
    }


def measure(features: FeatureMaps) -> dict[str, float]:
    start = time.perf_counter()
    for stride in features.strides:
        stage_descriptors(features, stride)
    times = {"once a scan: z-scores, unit vectors": [time.perf_counter() - start]}
    actions = operations(features)
    for name, action in actions.items():
        action()
        times[name] = []
    for _ in range(REPEATS):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=integers, default=(300, 240, 240), help="voxels of the model grid, z,y,x")
    parser.add_argument("--strides", type=integers, nargs="*", default=[(4, 8, 16, 32), (2, 4, 8, 16, 32)])
    parser.add_argument("--channels", type=integers, default=(24, 48, 96, 192, 384), help="of strides 2 to 32")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    known = dict(zip((2, 4, 8, 16, 32), arguments.channels, strict=True))
    results = {}
    for strides in arguments.strides:
        features = made_features(arguments.shape, {stride: known[stride] for stride in strides})
        tokens = int(np.prod(features.finest.shape[1:]))
        results[f"{tokens / 1e6:.2f} M tokens, strides {', '.join(map(str, strides))}"] = measure(features)
    print(f"{arguments.threads} threads, medians of {REPEATS} interleaved repeats, ms\n")
    print("| | " + " | ".join(results) + " |\n|---" + "|---" * len(results) + "|")
    for name in next(iter(results.values())):
        print(f"| {name} | " + " | ".join(f"{column[name]:.0f}" for column in results.values()) + " |")


if __name__ == "__main__":
    main()
