"""The one way from a scan to its features; commands, session and notebooks all call it."""

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from .encoder import Encoder, check_strides
from .extract import DEFAULT_STRIDES, Progress, extract
from .features import FeatureMaps
from .store import FeatureStore
from .volume import Volume


def features_for(
    volume: Volume,
    encoder: Encoder,
    *,
    strides: Collection[int] = DEFAULT_STRIDES,
    roi_mm: tuple[NDArray, NDArray] | None = None,
    store: FeatureStore | bool | None = True,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FeatureMaps:
    """Feature maps of a scan, from disk where they were computed before.

    Parameters
    ----------
    volume : Volume
    encoder : Encoder
    strides : collection of int
        Stages to return.
    roi_mm : pair of (3,) arrays, optional
        Compute a region only (world mm); regions are not kept.
    store : FeatureStore or bool
        Where features are kept: True for the user's cache, False or None for nowhere.
    progress, cancelled : callable, optional
        As in `extract`.

    Returns
    -------
    FeatureMaps
    """
    strides = check_strides(encoder, strides)
    if store is True:
        store = FeatureStore()
    if not store or roi_mm is not None:
        roi = None if roi_mm is None else (np.asarray(roi_mm[0], float), np.asarray(roi_mm[1], float))
        return extract(volume, encoder, strides=strides, roi_mm=roi, progress=progress, cancelled=cancelled)
    key = store.key(volume, encoder)
    maps = store.get(key, strides)
    if maps is None:
        maps = extract(volume, encoder, strides=strides, progress=progress, cancelled=cancelled)
        store.put(key, maps)
    return maps
