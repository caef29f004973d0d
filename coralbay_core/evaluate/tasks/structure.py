"""Task ``structure``: segmentation of the structure that was clicked, with corrective clicks placed by rule."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...similarity import HeatMap
from ...similarity.here import here_map
from ...spatial.segmentation_metrics import dice
from ..cases import Case, interior
from ..metrics import average_precision
from ..records import Record
from .common import Setting

CLICKS = 3
"""Each of so many clicks is evaluated alone, by average precision."""
CORRECTED = (1, 3, 5)
"""Numbers of clicks after which Dice is measured."""
LARGEST = 8
MOST_STRUCTURES = 20
"""The eight largest structures of a scan, and others drawn with the seed: each takes seconds."""


def clicked_structure(setting: Setting) -> Iterator[Record]:
    """Evaluate average precision of single clicks, and Dice after corrective clicks: one record per structure."""
    for case in setting.cases:
        largest = largest_structures(case)
        for name in chosen_structures(case, setting.seed):
            mask = case.mask(name)
            clicks = case.clicks(name, 5, setting.seed)[:CLICKS]
            first = _map(setting, case, clicks[:1], clicks[:0])
            maps = [first, *(_map(setting, case, click[None], clicks[:0]) for click in clicks[1:])]
            ranked = [heat.resample_to(case.lattice)[case.body] for heat in maps]
            found = _corrected(setting, case, mask, clicks[0], first)
            values = {
                "ap": [average_precision(scores, mask[case.body]) for scores in ranked],
                **{f"dice_{count}": value for count, value in found.items()},
                "dice_largest": found[1] if name in largest else None,
            }
            yield setting.record("structure", case, values, structure=name)


def largest_structures(case: Case) -> list[str]:
    """Select the eight largest structures of a case."""
    size = {name: int(case.mask(name).sum()) for name in case.structures}
    return sorted(size, key=lambda name: (-size[name], name))[:LARGEST]


def chosen_structures(case: Case, seed: int) -> list[str]:
    """Select the structures that are evaluated, sorted: the largest ones, then seeded others."""
    largest = largest_structures(case)
    others = [name for name in case.structures if name not in largest]
    count = min(len(others), MOST_STRUCTURES - len(largest))
    drawn = case.rng("structures", seed).choice(len(others), count, replace=False).tolist() if count else []
    return sorted([*largest, *(others[i] for i in drawn)])


def next_click(found: NDArray[np.bool_], wanted: NDArray[np.bool_], case: Case) -> tuple[NDArray, bool] | None:
    """Find the deepest point of the largest error region, world mm, and whether it belongs to the structure."""
    from scipy import ndimage

    regions = []
    for is_missing, wrong in ((True, wanted & ~found), (False, found & ~wanted)):
        parts, count = ndimage.label(wrong)
        if count:
            sizes = np.bincount(parts.reshape(-1))[1:]
            regions.append((int(sizes.max()), is_missing, parts == int(sizes.argmax()) + 1))
    if not regions:
        return None
    _, is_missing, region = max(regions, key=lambda entry: entry[:2])
    index, depth = interior(region, case.lattice.spacing_mm)
    return case.lattice.to_world(index[int(depth.argmax())]), is_missing


def _corrected(
    setting: Setting, case: Case, wanted: NDArray[np.bool_], click: NDArray, first: HeatMap
) -> dict[int, float]:
    """Dice by number of clicks; a mask without errors keeps its Dice."""
    places: dict[bool, list[NDArray]] = {True: [click], False: []}
    heat, result, value = first, {}, 0.0
    for count in range(1, max(CORRECTED) + 1):
        assert heat.threshold is not None, "the map of a structure has a threshold"
        found = heat.mask(case.lattice, heat.threshold) & case.body
        value = dice(found, wanted)
        if count in CORRECTED:
            result[count] = value
        correction = next_click(found, wanted, case) if count < max(CORRECTED) else None
        if correction is not None:
            position_mm, is_missing = correction
            places[is_missing].append(position_mm)
            heat = _map(setting, case, np.array(places[True]), np.array(places[False]).reshape(-1, 3))
    return result


def _map(setting: Setting, case: Case, positive: NDArray, negative: NDArray) -> HeatMap:
    return here_map(setting.features(case), positive, negative, guide=case.volume)
