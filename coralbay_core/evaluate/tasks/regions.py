"""Task ``regions``: structure of a token, by a vote of its nearest labeled neighbors."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...features.descriptors import joint_descriptors
from ..cases import Case
from ..metrics import nearest_votes
from ..records import Record
from .common import Setting

TOKENS = 40
NEIGHBORS = 5
GAP_MM = 24.0


def region_votes(setting: Setting) -> Iterator[Record]:
    """Evaluate the share of tokens whose neighbors vote for the right structure, one record per structure.

    In the same scan tokens nearer than 24 mm have no vote: they share most of their surroundings.
    """
    drawn = {case.name: _tokens(setting, case, case.structures) for case in setting.cases}
    for case in setting.cases:
        if len(case.structures) > 1:
            yield from _same_scan(setting, case, *drawn[case.name])
    for query, target, names in setting.pairs():
        if len(names) > 1:
            yield from _other_scan(setting, query, target, names)


def _tokens(setting: Setting, case: Case, names: tuple[str, ...]) -> tuple[NDArray, NDArray, NDArray]:
    """Descriptors, positions in mm and structure numbers of seeded voxels of each structure."""
    positions, labels = [], []
    for number, name in enumerate(names):
        cells = np.flatnonzero(case.mask(name))
        chosen = case.rng(f"tokens {name}", setting.seed).choice(len(cells), min(TOKENS, len(cells)), replace=False)
        positions.append(case.lattice.cell_positions(cells[chosen]))
        labels.append(np.full(len(chosen), number))
    position_mm = np.concatenate(positions) if positions else np.zeros((0, 3))
    descriptors = joint_descriptors(setting.features(case), position_mm) if len(position_mm) else np.zeros((0, 1))
    return descriptors, position_mm, np.concatenate(labels) if labels else np.zeros(0, int)


def _same_scan(
    setting: Setting, case: Case, tokens: NDArray, position_mm: NDArray, labels: NDArray
) -> Iterator[Record]:
    similarity = tokens @ tokens.T
    near = np.linalg.norm(position_mm[:, None] - position_mm, axis=-1) < GAP_MM
    similarity[near] = -np.inf
    right = nearest_votes(similarity, labels, NEIGHBORS) == labels
    # A structure smaller than the gap has no one who could vote for it.
    answerable = ((labels[:, None] == labels) & ~near).any(1)
    for number, name in enumerate(case.structures):
        evaluated = answerable & (labels == number)
        if evaluated.any():
            yield setting.record(
                "regions", case, {"right": right[evaluated], "choices": len(case.structures)}, structure=name
            )


def _other_scan(setting: Setting, query: Case, target: Case, names: list[str]) -> Iterator[Record]:
    known, _, known_labels = _tokens(setting, query, tuple(names))
    evaluated, _, labels = _tokens(setting, target, tuple(names))
    right = nearest_votes(evaluated @ known.T, known_labels, NEIGHBORS) == labels
    for number, name in enumerate(names):
        values = {"right": right[labels == number], "choices": len(names)}
        yield setting.record("regions_across", query, values, target=target.name, structure=name)
