"""Task ``fewshot``: segmentation from a few clicks or strokes, of the same scan and of another patient."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...probe import DEFAULT_KIND, Kind, Probe, fit_probe
from ...probe.connect import connected_scores
from ...spatial import LabelVolume
from ..cases import Case, interior
from ..metrics import overlap_and_distance
from ..records import Record
from .common import Setting, body_points

SHOTS = ("1", "5", "20", "strokes")
STRUCTURES = 8
FEWEST_SHARED = 3
GAP_MM = 24.0
BACKGROUND = 1
# Strokes are drawn this far from the edge of a structure, and background as far from all structures.
MARGIN_MM = 6.0


def few_shot(setting: Setting, *, kind: Kind = DEFAULT_KIND, all_shots: Sequence[str] = SHOTS) -> Iterator[Record]:
    """Evaluate Dice and surface distance, one record per structure and number of clicks.

    Structures are those that most other scans share, the largest of them; all the rest is background. The probe is
    the default kind of the command line, unless another one is given. In the same scan labels follow connections from
    the strokes, as users get them; `dice_plain` is that of the probe alone.
    """
    for case in setting.cases:
        names = probed_structures(case, setting.cases)
        if not names:
            continue
        for shots in all_shots:
            drawn = (
                draw_strokes(case, names) if shots == "strokes" else draw_clicks(case, names, int(shots), setting.seed)
            )
            labels = LabelVolume(drawn, case.lattice, case.name)
            probe = fit_probe(setting.features(case), labels, kind=kind, seed=setting.seed)
            yield from _same_scan(setting, probe, case, names, shots, labels)
            for other in setting.cases:
                yield from _other_scan(setting, probe, case, other, names, shots)


def probed_structures(case: Case, cases: list[Case]) -> list[str]:
    """Select at most eight structures of a case: first those that other cases have, then the largest."""
    others = [other for other in cases if other is not case and other.domain == case.domain]
    common = {name: sum(name in case.shared_with(other) for other in others) for name in case.structures}
    size = {name: int(case.mask(name).sum()) for name in case.structures}
    return sorted(case.structures, key=lambda name: (-common[name], -size[name], name))[:STRUCTURES]


def truth_of(case: Case, names: list[str]) -> NDArray[np.uint8]:
    """Label map of the lattice as a perfect probe would give it: 1 is background, 2 the first structure."""
    truth = np.full(case.lattice.shape, BACKGROUND, np.uint8)
    for value, name in enumerate(names, BACKGROUND + 1):
        truth[case.mask(name)] = value
    return truth


def draw_clicks(case: Case, names: list[str], count: int, seed: int) -> NDArray[np.uint8]:
    """Draw clicks in each structure, and the same total number in the background."""
    drawn = np.zeros(case.lattice.shape, np.uint8)
    truth = truth_of(case, names)
    background = body_points(
        case.body & (truth == BACKGROUND), case.lattice, count * len(names), case.rng("background", seed)
    )
    _paint(drawn, case, background, BACKGROUND)
    for value, name in enumerate(names, BACKGROUND + 1):
        _paint(drawn, case, case.clicks(name, count, seed), value)
    return drawn


def _paint(drawn: NDArray[np.uint8], case: Case, position_mm: NDArray, value: int) -> None:
    drawn[tuple(case.lattice.nearest_index(position_mm).T)] = value


def draw_strokes(case: Case, names: list[str]) -> NDArray[np.uint8]:
    """Draw strokes: the inner part of each structure on three axial slices, and background lines across them."""
    drawn = np.zeros(case.lattice.shape, np.uint8)
    truth = truth_of(case, names)
    free = case.body & (truth == BACKGROUND)
    for value, name in enumerate(names, BACKGROUND + 1):
        mask = case.mask(name)
        slices = np.flatnonzero(mask.any((1, 2)))
        for z in np.unique(slices[[len(slices) // 4, len(slices) // 2, 3 * len(slices) // 4]]):
            index = np.argwhere(mask[z : z + 1])
            # In plane only: an image of one slice is all edge along z.
            _, flat = interior(np.repeat(mask[z : z + 1], 3, 0), np.array([1e6, *case.lattice.spacing_mm[1:]]))
            middle = flat.reshape(3, -1)[1]
            inner = index[middle >= min(MARGIN_MM, middle.max())]
            drawn[z, inner[:, 1], inner[:, 2]] = value
            row = int(np.median(index[:, 1]))
            line = free[z, row] & (drawn[z, row] == 0)
            drawn[z, row, line] = BACKGROUND
    return drawn


def _same_scan(
    setting: Setting, probe: Probe, case: Case, names: list[str], shots: str, labels: LabelVolume
) -> Iterator[Record]:
    from scipy import ndimage

    truth = truth_of(case, names)
    features = setting.features(case)
    found = connected_scores(probe, features, labels, case.volume).segment(case.lattice).labels
    values = range(BACKGROUND + 1, BACKGROUND + 1 + len(names))
    spacing = case.lattice.spacing_mm
    measured = overlap_and_distance(found, truth, list(values), spacing, surfaces=shots == "strokes")
    far = ndimage.distance_transform_edt(labels.data == 0, sampling=spacing) >= GAP_MM
    # Without connections, as in another patient.
    plain = overlap_and_distance(probe.segment(features, case.lattice), truth, list(values), spacing, surfaces=False)
    beyond = overlap_and_distance(
        np.where(far, found, 0), np.where(far, truth, 0), list(values), spacing, surfaces=False
    )
    for value, name in zip(values, names, strict=True):
        dice, surface_mm = measured[value]
        # Nothing of a small structure is left beyond the gap.
        gap = beyond[value][0] if (far & (truth == value)).any() else None
        content = {"dice": dice, "surface_mm": surface_mm, "dice_gap": gap, "dice_plain": plain[value][0]}
        yield setting.record("fewshot", case, content, structure=name, shots=shots)


def _other_scan(
    setting: Setting, probe: Probe, case: Case, other: Case, names: list[str], shots: str
) -> Iterator[Record]:
    common = set(names) & set(case.shared_with(other)) if other is not case and other.domain == case.domain else set()
    if len(common) < FEWEST_SHARED:
        return
    found = probe.segment(setting.features(other), other.lattice)
    truth = truth_of(other, [name if name in common else "" for name in names])
    values = {name: value for value, name in enumerate(names, BACKGROUND + 1) if name in common}
    measured = overlap_and_distance(
        found, truth, list(values.values()), other.lattice.spacing_mm, surfaces=shots == "strokes"
    )
    for name, value in values.items():
        dice, surface_mm = measured[value]
        content = {"dice": dice, "surface_mm": surface_mm}
        yield setting.record("fewshot_across", case, content, target=other.name, structure=name, shots=shots)
