"""Task ``transfer``: labels and landmarks of one patient carried to another one of the same region."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...errors import CoralBayError
from ...matching import Deformation, LabelSource, alignment_of, warp_labels
from ...matching.label_refinement import refined
from ...probe import fit_probe
from ...spatial import LabelVolume, Volume, geometry
from ...spatial.segmentation_metrics import dice
from ..cases import Case
from ..records import Record
from .across import ALIKE
from .common import Setting
from .fewshot import BACKGROUND, truth_of


def transferred_labels(setting: Setting) -> Iterator[Record]:
    """Evaluate Dice of labels that travelled, one record per structure and directed pair of one region.

    `dice` is that of the labels as users get them, `dice_warp` before a probe drew the borders; beside them the rough
    affine alignment, the scans' centers on each other, and a probe that is fitted to all labels of the first scan.
    On the phantom, also the error at landmarks. Pairs that cannot be aligned count as 0.
    """
    for query, target, names in setting.pairs():
        if len(names) < ALIKE * len({*query.structures, *target.structures}):
            continue
        try:
            way: Deformation | None = alignment_of(
                setting.features(query), setting.features(target), weights=setting.method.weights
            )
        except CoralBayError:
            way = None
        yield from _structures(setting, query, target, names, way)
        if way is not None:
            yield from _landmarks(setting, query, target, way)


def _structures(
    setting: Setting, query: Case, target: Case, names: list[str], way: Deformation | None
) -> Iterator[Record]:
    labels = LabelVolume(truth_of(query, names), query.lattice, query.name)
    labels.data[labels.data == BACKGROUND] = 0
    found = {"identity": _warped(labels, target, centered(query, target))}
    if way is not None:
        made = warp_labels([LabelSource(labels, way)], target.lattice)
        guide = Volume(target.hu, target.lattice, target.name)
        found["warp"] = made.labels.data
        found[""] = refined(made.labels, made.confidence, setting.features(target), guide).data
        found["affine"] = _warped(labels, target, way.backward.after @ way.backward.before)
    found["probe"] = _by_probe(setting, query, target, names)
    for value, name in enumerate(names, BACKGROUND + 1):
        wanted = target.mask(name)
        values: dict[str, float] = {"dice": 0.0, "dice_warp": 0.0, "dice_affine": 0.0}
        for kind, data in found.items():
            values[f"dice_{kind}" if kind else "dice"] = dice((data == value) & target.body, wanted)
        yield setting.record("transfer", query, values, target=target.name, structure=name)


def centered(query: Case, target: Case) -> NDArray[np.float64]:
    """Affine that puts the middle of the target on that of the query."""
    return geometry.translate(query.volume.grid.center_mm - target.volume.grid.center_mm)


def _warped(labels: LabelVolume, target: Case, affine: NDArray[np.float64]) -> NDArray[np.integer]:
    """Labels at the places to which an affine maps those of the target."""
    grid = target.lattice
    position_mm = geometry.apply(affine, grid.cell_positions(np.ones(grid.shape, bool)))
    values = labels.data[tuple(labels.grid.nearest_index(position_mm).T)]
    return np.where(labels.grid.contains(position_mm), values, 0).reshape(grid.shape)


def _by_probe(setting: Setting, query: Case, target: Case, names: list[str]) -> NDArray[np.integer]:
    labels = LabelVolume(np.where(query.body, truth_of(query, names), 0), query.lattice, query.name)
    probe = fit_probe(setting.features(query), labels, seed=setting.seed)
    return probe.segment(setting.features(target), target.lattice)


def _landmarks(setting: Setting, query: Case, target: Case, way: Deformation) -> Iterator[Record]:
    rough = way.forward.after @ way.forward.before
    for name in sorted(set(query.landmarks) & set(target.landmarks)):
        here, there = query.landmarks[name], target.landmarks[name]
        values = {
            "error_mm": float(np.linalg.norm(way(here) - there)),
            "error_affine_mm": float(np.linalg.norm(geometry.apply(rough, here) - there)),
            "confidence": float(way.confidence_at(here)),
        }
        yield setting.record("transfer_landmarks", query, values, target=target.name, landmark=name)
