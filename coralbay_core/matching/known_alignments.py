"""Deformable alignments of pairs of scans, computed once for as long as the features of both live."""

import threading
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from ..errors import Cancelled, CoralBayError
from ..features import FeatureMaps
from ..util.cancellation import IsCancelled, check_cancelled
from .deformation import Deformation, deform

Found = Deformation | CoralBayError
Weights = tuple[tuple[int, float], ...]

_known: "WeakKeyDictionary[FeatureMaps, WeakKeyDictionary[FeatureMaps, dict[Weights, Found]]]" = WeakKeyDictionary()
_lock = threading.Lock()
# One at a time: each takes all cores, and who asks for the same pair meanwhile gets what the first one found.
_computing = threading.Lock()
_LOOK_AGAIN_S = 0.1


def alignment_of(
    source: FeatureMaps,
    target: FeatureMaps,
    *,
    weights: Mapping[int, float] | None = None,
    cancelled: IsCancelled | None = None,
) -> Deformation:
    """Align two scans as `deform` does, or look up what was found before, for this pair or the opposite one.

    Raises
    ------
    CoralBayError
        Each time, if the scans cannot be aligned.
    """
    found = known_alignment(source, target, weights=weights)
    if found is None:
        while not _computing.acquire(timeout=_LOOK_AGAIN_S):
            check_cancelled(cancelled, "alignment")
        try:
            found = known_alignment(source, target, weights=weights) or _computed(source, target, weights, cancelled)
        finally:
            _computing.release()
    if isinstance(found, CoralBayError):
        raise CoralBayError(found.message)
    return found


def _computed(
    source: FeatureMaps, target: FeatureMaps, weights: Mapping[int, float] | None, cancelled: IsCancelled | None
) -> Found:
    found: Found
    try:
        found = deform(source, target, weights=weights, cancelled=cancelled)
    except Cancelled:
        raise
    except CoralBayError as error:
        found = error
    with _lock:
        _known.setdefault(source, WeakKeyDictionary()).setdefault(target, {})[_key(weights)] = found
    return found


def known_alignment(
    source: FeatureMaps, target: FeatureMaps, *, weights: Mapping[int, float] | None = None
) -> Found | None:
    """Look up the alignment of two scans, or the error that it ended with; None if it was not computed."""
    key = _key(weights)
    with _lock:
        there, back = _of_pair(source, target).get(key), _of_pair(target, source).get(key)
    if there is None and isinstance(back, Deformation):
        return back.reversed
    return there if there is not None else back


def _key(weights: Mapping[int, float] | None) -> Weights:
    return tuple(sorted((weights or {}).items()))


def _of_pair(source: FeatureMaps, target: FeatureMaps) -> dict[Weights, Found]:
    found = _known.get(source)
    return {} if found is None else found.get(target, {})
