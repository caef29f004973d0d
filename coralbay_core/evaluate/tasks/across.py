"""One click, the best match in another patient: is it the same structure, the same place?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..cases import Case
from ..metrics import average_precision, precision_at_size
from ..records import Record
from .common import Setting, best_position
from .retrieval import CLICKS

RETURN_MM = 24.0
"""A match counts as confirmed if, looked for in the first scan again, it is found within this distance of the click."""

ALIKE = 0.5
"""Two scans show the same region if they share this part of the structures that either of them has."""


def across_patients(setting: Setting) -> Iterator[Record]:
    """Ranking and best match in another patient, a record a structure; distances to landmarks on the phantom."""
    for query, target, names in setting.pairs():
        pair = "alike" if len(names) >= ALIKE * len({*query.structures, *target.structures}) else "partly"
        for name in names:
            yield _structure(setting, query, target, name, pair)
        for name in sorted(set(query.landmarks) & set(target.landmarks)):
            yield _landmark(setting, query, target, name)


def _structure(setting: Setting, query: Case, target: Case, name: str, pair: str) -> Record:
    mask = target.mask(name)
    distance_mm = _distance_to(mask, target.lattice.spacing_mm)
    clicks = query.clicks(name, CLICKS, setting.seed)
    rows = [_match(setting, query, target, click) for click in clicks]
    inside = target.body
    hit = [bool(mask[place]) for _, place, _, _ in rows]
    away = [float(distance_mm[place]) for _, place, _, _ in rows]
    confirmed = [back <= RETURN_MM for *_, back in rows]
    values = {
        "ap": [average_precision(scores[inside], mask[inside]) for scores, *_ in rows],
        "precision_at_size": [precision_at_size(scores[inside], mask[inside]) for scores, *_ in rows],
        "hit": hit,
        "distance_mm": away,
        "confirmed": confirmed,
        "confirmed_hit": [h for h, c in zip(hit, confirmed, strict=True) if c],
        "confirmed_distance_mm": [d for d, c in zip(away, confirmed, strict=True) if c],
        "return_mm": [back for *_, back in rows],
        "prevalence": float(mask[inside].mean()),
        "clicks_mm": np.round(clicks, 1),
        "matches_mm": np.round([position for _, _, position, _ in rows], 1),
    }
    return setting.record("across", query, values, target=target.name, structure=name, pair=pair)


Match = tuple[NDArray, tuple[int, ...], NDArray, float]
"""Scores in the target, index and world mm of the best, and how far from the click the way back ends."""


def _match(setting: Setting, query: Case, target: Case, click: NDArray) -> Match:
    scores = setting.scores(click, query, target)
    place, position = best_position(scores, target.body, target.lattice)
    _, returned = best_position(setting.scores(position, target, query), query.body, query.lattice)
    return scores, place, position, float(np.linalg.norm(returned - click))


def _landmark(setting: Setting, query: Case, target: Case, name: str) -> Record:
    _, _, position, back = _match(setting, query, target, query.landmarks[name])
    error_mm = float(np.linalg.norm(position - target.landmarks[name]))
    confirmed = back <= RETURN_MM
    values = {
        "error_mm": error_mm,
        "confirmed": confirmed,
        "confirmed_error_mm": [error_mm] if confirmed else [],
        "return_mm": back,
    }
    return setting.record("landmarks", query, values, target=target.name, landmark=name)


def _distance_to(mask: NDArray[np.bool_], spacing_mm: NDArray) -> NDArray[np.float64]:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
