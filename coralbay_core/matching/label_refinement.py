"""Borders of labels that travelled, drawn by a probe on the features of the new scan.

The inner part of each label and the body far from all labels are strokes: the probe is fitted to them, and they spread
to the band between along connections of cells, as strokes of a user do.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..probe import connected_scores, fit_probe
from ..spatial import LabelVolume, Volume
from ..spatial.resampling import resample
from ..util.cancellation import IsCancelled, check_cancelled

WORKING_MM = 3.0
INNER_MM = 6.0
"""Depth in a label from which on it is a stroke; less in a thin label: `INNER_SHARE` of its greatest depth."""

INNER_SHARE = 0.6
OUTER_MM = 9.0
"""Distance from all labels from which on the body is background."""

SURE_QUANTILE = 0.3
"""The least sure part of each label's inner voxels is no stroke."""


def refined(
    labels: LabelVolume,
    confidence: NDArray[np.float32],
    features: FeatureMaps,
    volume: Volume,
    *,
    cancelled: IsCancelled | None = None,
) -> LabelVolume:
    """Draw the borders of labels anew.

    Parameters
    ----------
    labels : LabelVolume
        On the grid of `volume`; 0 is background.
    confidence : (z, y, x) array
    features : FeatureMaps
    volume : Volume
        The CT.
    cancelled : callable, optional
        When it returns true, `Cancelled` is raised.
    """
    strokes, background = strokes_of(labels, confidence, features)
    if len(np.unique(strokes.data)) < 3:  # nothing, background and a label
        raise InputError("nothing to refine", where=labels.name, hint="transfer without refinement")
    check_cancelled(cancelled, "transfer")
    probe = fit_probe(features, strokes)
    scores = connected_scores(probe, features, strokes, volume, cancelled=cancelled)
    found = scores.segment(volume.grid, guide=volume, cancelled=cancelled or (lambda: False)).labels
    kept = np.where(found == background, 0, found).astype(labels.data.dtype)
    # What a thin label loses between the cells of the features is no gain.
    kept = _not_lost(labels.data, kept)
    return replace(labels, data=kept)


def strokes_of(labels: LabelVolume, confidence: NDArray[np.float32], features: FeatureMaps) -> tuple[LabelVolume, int]:
    """Surest inner part of each label, and background away from all; on a lattice of about 3 mm.

    Returns
    -------
    strokes : LabelVolume
        0 where nothing is known.
    background : int
        Value of the background.
    """
    from scipy import ndimage

    lattice, taken = labels.grid.subsample(WORKING_MM)
    data = np.ascontiguousarray(labels.data[taken]).astype(np.int32)
    sure = confidence[taken]
    background = int(data.max()) + 1
    strokes = np.zeros_like(data)
    body = resample(features.body, features.grid, lattice, order=0, fill=0).astype(bool)
    away = ndimage.distance_transform_edt(data == 0, sampling=lattice.spacing_mm)
    strokes[body & (away >= OUTER_MM)] = background
    for value, box in enumerate(ndimage.find_objects(data), 1):
        if box is None:
            continue
        mask = np.pad(data[box] == value, 1)
        depth = ndimage.distance_transform_edt(mask, sampling=lattice.spacing_mm)[1:-1, 1:-1, 1:-1]
        inner = depth >= min(INNER_MM, INNER_SHARE * depth.max())
        inner &= sure[box] >= np.quantile(sure[box][inner], SURE_QUANTILE)
        strokes[box][inner] = value
    return LabelVolume(strokes, lattice, labels.name, names=dict(labels.names)), background


def _not_lost(before: NDArray[np.integer], found: NDArray[np.integer]) -> NDArray[np.integer]:
    """Keep labels as they travelled where the probe finds less than half or more than twice of them."""
    last = int(max(before.max(), found.max()))
    old, new = (np.bincount(data.ravel(), minlength=last + 1) for data in (before, found))
    lost = [v for v in range(1, last + 1) if old[v] and not 0.5 <= new[v] / old[v] <= 2]
    if lost:
        found = np.where(np.isin(found, lost), 0, found)
        found = np.where(np.isin(before, lost) & (found == 0), before, found)
    return found
