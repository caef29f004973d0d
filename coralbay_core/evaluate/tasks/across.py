"""Task ``across``: the best match of a click in another patient, compared with labels and landmarks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..cases import Case
from ..metrics import average_precision, precision_at_size
from ..records import Record
from .common import Setting
from .retrieval import CLICKS

ALIKE = 0.5
"""Two scans show the same region if they share this part of the structures that either of them has."""


def across_patients(setting: Setting) -> Iterator[Record]:
    """Evaluate ranking and best match in another patient, one record per structure; on the phantom also landmarks."""
    for query, target, names in setting.pairs():
        pair = "alike" if len(names) >= ALIKE * len({*query.structures, *target.structures}) else "partly"
        for name in names:
            yield _structure(setting, query, target, name, pair)
        for name in sorted(set(query.landmarks) & set(target.landmarks)):
            yield _landmark(setting, query, target, name)


def _structure(setting: Setting, query: Case, target: Case, name: str, pair: str) -> Record:
    mask = target.mask(name)
    cells_mm = np.argwhere(mask) * target.lattice.spacing_mm
    clicks = query.clicks(name, CLICKS, setting.seed)
    matches = [setting.match(click, query, target) for click in clicks]
    inside = target.body
    hit = [bool(mask[match.index]) for match in matches]
    away = [_distance_mm(cells_mm, np.array(match.index) * target.lattice.spacing_mm) for match in matches]
    confirmed = [match.confirmed for match in matches]
    values = {
        "ap": [average_precision(match.scores[inside], mask[inside]) for match in matches],
        "precision_at_size": [precision_at_size(match.scores[inside], mask[inside]) for match in matches],
        "hit": hit,
        "distance_mm": away,
        "confirmed": confirmed,
        "confirmed_hit": [h for h, c in zip(hit, confirmed, strict=True) if c],
        "confirmed_distance_mm": [d for d, c in zip(away, confirmed, strict=True) if c],
        "return_mm": [match.return_mm for match in matches],
        "prevalence": float(mask[inside].mean()),
        "clicks_mm": np.round(clicks, 1),
        "matches_mm": np.round([match.position_mm for match in matches], 1),
    }
    return setting.record("across", query, values, target=target.name, structure=name, pair=pair)


def _landmark(setting: Setting, query: Case, target: Case, name: str) -> Record:
    match = setting.match(query.landmarks[name], query, target)
    error_mm = float(np.linalg.norm(match.position_mm - target.landmarks[name]))
    values = {
        "error_mm": error_mm,
        "confirmed": match.confirmed,
        "confirmed_error_mm": [error_mm] if match.confirmed else [],
        "return_mm": match.return_mm,
    }
    return setting.record("landmarks", query, values, target=target.name, landmark=name)


def _distance_mm(cells_mm: NDArray[np.float64], position_mm: NDArray[np.float64]) -> float:
    """Distance to the nearest cell: for a few positions a thirtieth of the time of a distance transform."""
    return float(np.sqrt(((cells_mm - position_mm) ** 2).sum(1).min()))
