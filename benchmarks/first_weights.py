"""What the shipped weights are worth, beside three cheap baselines, on labelled CTs that they were not trained on.

    python benchmarks/first_weights.py ../shared/ct [--model coralbay-mini]

prints a Markdown table with

- *retrieval*: one click (the deepest point of a structure and two seeded interior points), all body cells of the same
  scan ranked by the heat map; mean average precision over structures;
- *match*: one click in a patient, best cell in another one: share inside the same structure, over all structures that
  the two patients share, both directions;
- *changed copy*: random body points of a scan looked for in a copy that was scaled by 0.9, turned by 8 degrees and got
  40 HU of noise: median error and share within 12 mm.

The baselines use the same code: HU statistics (mean and spread of boxes), the distance to the click in mm (position;
across patients in coordinates of the body's box), and the same network with random weights.
"""

import argparse
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn import functional as F

from coralbay_core import geometry, load_encoder, load_volume
from coralbay_core.card import load_card
from coralbay_core.encoder import Encoder, Preprocessing, Stage, SwinEncoder, Tiling
from coralbay_core.extract import extract
from coralbay_core.features import FeatureMaps, cell_share
from coralbay_core.preprocess import resample
from coralbay_core.similarity import heat_map
from coralbay_core.swin3d import Swin3D
from coralbay_core.volume import Volume
from coralbay_core.volume_io import load_labels

CASES = ("totalseg_example", "lung1_002", "lung1_003", "openkbp_265", "openkbp_312")
PAIRS = (("lung1_002", "lung1_003"), ("openkbp_265", "openkbp_312"))
STRIDES = (4, 8, 16)
CLICKS = 3
COPY_POINTS = 100


class HuStatistics:
    """Mean and standard deviation of HU in boxes of one and of three cells around each cell."""

    name = "HU statistics"
    fingerprint = name
    preprocessing = Preprocessing()
    tiling = Tiling(128, 96)
    device = torch.device("cpu")
    precision = torch.float32
    stages = tuple(Stage(stride, 4) for stride in STRIDES)

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        return {stride: torch.cat([self._moments(x, stride, 1), self._moments(x, stride, 3)], 1) for stride in strides}

    @staticmethod
    def _moments(x: Tensor, stride: int, cells: int) -> Tensor:
        mean, square = (F.avg_pool3d(v, stride) for v in (x, x * x))
        mean, square = (F.avg_pool3d(v, cells, 1, cells // 2, count_include_pad=False) for v in (mean, square))
        return torch.cat([mean, (square - mean**2).clamp_min(0).sqrt()], 1)


@dataclass
class Case:
    """A scan, its labels by name, and per encoder its features."""

    volume: Volume
    masks: dict[str, np.ndarray]

    @classmethod
    def load(cls, folder: Path) -> "Case":
        volume = load_volume(folder / "ct.nii.gz")
        labels = load_labels(folder / "labels.nii.gz", volume)
        names = {int(k): v for k, v in json.loads((folder / "labels.json").read_text()).items()}
        wanted = {value: name for value, name in names.items() if not re.search("tumou?r|gtv", name, re.I)}
        return cls(volume, {name.lower(): labels.data == value for value, name in wanted.items()})

    def cells(self, features: FeatureMaps) -> dict[str, np.ndarray]:
        """Each structure as cells of the finest stage that it covers at least half; tiny ones are left out."""
        covered = {}
        for name, mask in self.masks.items():
            on_model = resample(mask, self.volume.grid, features.grid, order=0)
            share = cell_share(on_model, features.strides[0]) >= 0.5
            if share.sum() >= 10:
                covered[name] = share
        return covered


def clicks(mask: np.ndarray, seed: int) -> np.ndarray:
    """The deepest cell and seeded ones from the deeper half, (CLICKS, 3) indices."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    deepest = np.unravel_index(depth.argmax(), depth.shape)
    inner = np.argwhere(depth >= np.median(depth[mask]))
    chosen = np.random.default_rng(seed).choice(len(inner), CLICKS - 1)
    return np.concatenate([[deepest], inner[chosen]])


def changed_copy(volume: Volume) -> tuple[Volume, np.ndarray]:
    """A scaled, turned and noisy copy, and the affine from world mm of the original to world mm of the copy."""
    middle = volume.grid.to_world((np.array(volume.shape) - 1) / 2)
    turn = np.eye(4)
    turn[:3, :3] = 0.9 * Rotation.from_euler("xyz", (8, -8, 8), degrees=True).as_matrix()
    there = geometry.translate(middle) @ turn @ geometry.translate(-middle)
    linear = volume.grid.index_from_world @ np.linalg.inv(there) @ volume.affine
    data = ndimage.affine_transform(volume.data.astype(np.float32), linear[:3, :3], linear[:3, 3], order=1, cval=-1000)
    data += np.random.default_rng(0).normal(0, 40, data.shape).astype(np.float32)
    return Volume(data, volume.grid), there


class FeatureRanker:
    """Scores of all cells for a click by an encoder."""

    def __init__(self, encoder: Encoder):
        self.name = encoder.name
        self.encoder = encoder

    def features(self, volume: Volume) -> FeatureMaps:
        return extract(volume, self.encoder, strides=STRIDES)

    def scores(self, query: FeatureMaps, position_mm: np.ndarray, target: FeatureMaps) -> np.ndarray:
        return heat_map(target, position_mm, query_features=query).data


class PositionRanker(FeatureRanker):
    """Nearness to the click: in mm within a scan, relative to the box of the body across scans."""

    def __init__(self) -> None:
        super().__init__(HuStatistics())
        self.name = "position"

    def scores(self, query: FeatureMaps, position_mm: np.ndarray, target: FeatureMaps) -> np.ndarray:
        grid = target.finest.grid
        cells = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
        (low, high), (query_low, query_high) = self._box(target), self._box(query)
        wanted = low + (position_mm - query_low) / (query_high - query_low) * (high - low)
        return -np.linalg.norm(grid.to_world(cells) - wanted, axis=-1)

    @staticmethod
    def _box(features: FeatureMaps) -> tuple[np.ndarray, np.ndarray]:
        world = features.finest.grid.to_world(np.argwhere(features.body_at(features.strides[0])))
        return world.min(0), world.max(0)


def retrieval(ranker: FeatureRanker, features: FeatureMaps, cells: dict[str, np.ndarray]) -> list[float]:
    """Average precision of each structure, the mean over its clicks."""
    inside = features.body_at(features.strides[0])
    result = []
    for seed, mask in enumerate(cells.values()):
        positions = features.finest.grid.to_world(clicks(mask, seed))
        ranked = [ranker.scores(features, position, features)[inside] for position in positions]
        result.append(float(np.mean([average_precision_score(mask[inside], scores) for scores in ranked])))
    return result


def matches(ranker: FeatureRanker, query: FeatureMaps, target: FeatureMaps, here: dict, there: dict) -> list[bool]:
    """For each click in a shared structure, whether the best cell of the other patient lies in it."""
    inside = target.body_at(target.strides[0])
    hits = []
    for seed, name in enumerate(sorted(set(here) & set(there))):
        for position in query.finest.grid.to_world(clicks(here[name], seed)):
            scores = np.where(inside, ranker.scores(query, position, target), -np.inf)
            hits.append(bool(there[name].flat[scores.argmax()]))
    return hits


def copy_errors(ranker: FeatureRanker, volume: Volume, features: FeatureMaps) -> list[float]:
    """Distance in mm between where a point of the scan went and where it is found."""
    copy, there = changed_copy(volume)
    target = ranker.features(copy)
    inside = target.body_at(target.strides[0])
    body = np.argwhere(ndimage.binary_erosion(features.body_at(features.strides[0]), iterations=3))
    chosen = body[np.random.default_rng(0).choice(len(body), COPY_POINTS)]
    errors = []
    for position in features.finest.grid.to_world(chosen):
        expected = geometry.apply(there, position)
        if not target.grid.contains(expected):
            continue
        scores = np.where(inside, ranker.scores(features, position, target), -np.inf)
        found = target.finest.grid.to_world(np.unravel_index(scores.argmax(), scores.shape))
        errors.append(float(np.linalg.norm(found - expected)))
    return errors


def evaluate(ranker: FeatureRanker, cases: dict[str, Case]) -> tuple[float, float, float, float]:
    """Retrieval mAP, match share, copy median error mm, copy share within 12 mm."""
    features = {name: ranker.features(case.volume) for name, case in cases.items()}
    cells = {name: case.cells(features[name]) for name, case in cases.items()}
    precision = [value for name in cases for value in retrieval(ranker, features[name], cells[name])]
    both = [pair for a, b in PAIRS for pair in ((a, b), (b, a))]
    hits = [hit for a, b in both for hit in matches(ranker, features[a], features[b], cells[a], cells[b])]
    errors = np.array([e for name in cases for e in copy_errors(ranker, cases[name].volume, features[name])])
    return float(np.mean(precision)), float(np.mean(hits)), float(np.median(errors)), float((errors <= 12).mean())


def random_weights(model: str) -> SwinEncoder:
    """The network of a model as it was before training."""
    card = load_card(model)
    torch.manual_seed(0)
    name = "same network, random weights"
    return SwinEncoder(Swin3D(card.architecture), name, card.preprocessing, card.tiling, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--model", default="coralbay-mini")
    arguments = parser.parse_args()
    cases = {name: Case.load(arguments.pack / "labelled" / name) for name in CASES}
    encoder = load_encoder(arguments.model, device="cpu")
    rankers = [FeatureRanker(e) for e in (encoder, random_weights(arguments.model), HuStatistics())]
    print("| features | retrieval mAP | match across patients | changed copy, median mm | within 12 mm |")
    print("|---|---|---|---|---|")
    for ranker in [*rankers, PositionRanker()]:
        precision, hits, error, near = evaluate(ranker, cases)
        print(f"| {ranker.name} | {precision:.3f} | {hits:.2f} | {error:.1f} | {near:.2f} |", flush=True)


if __name__ == "__main__":
    main()
