"""Alignment of two scans, and labels of one scan in another one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import Cancelled, CoralBayError
from coralbay_core.spatial.volume import AIR_HU

from ..jobs import JobContext
from ..model.results import WarpedResult

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import Deformation, TransferredLabels
    from coralbay_core.spatial import Grid, LabelVolume, Volume


def alignment(source: "FeatureMaps", target: "FeatureMaps", context: JobContext) -> "Deformation | CoralBayError":
    """Align two scans; scans that cannot be aligned are a result, too: both are stored for the pair."""
    from coralbay_core.matching import alignment_of

    try:
        return alignment_of(source, target, cancelled=context.cancelled)
    except Cancelled:
        raise
    except CoralBayError as error:
        return error


def warp(
    volume: "Volume",
    other: "Volume",
    source: "FeatureMaps",
    target: "FeatureMaps",
    grid: "Grid",
    context: JobContext,
) -> WarpedResult:
    """Bring another CT over the alignment to a grid of the first one.

    Parameters
    ----------
    volume, other : Volume
    source, target : FeatureMaps
        Of both, in this order.
    grid : Grid
        In `volume`.
    context : JobContext
    """
    from coralbay_core.matching import alignment_of, warp_volume
    from coralbay_core.spatial.resampling import resample

    back = alignment_of(source, target, cancelled=context.cancelled).reversed
    own = volume.data if grid == volume.grid else _as_hu(resample(volume.data, volume.grid, grid, fill=AIR_HU))
    return WarpedResult(own, _as_hu(warp_volume(other, back, grid, cancelled=context.cancelled)), grid, other.name)


def _as_hu(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """Whole numbers of 16 bits; what other modalities have beyond them is cut off."""
    low, high = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    return np.rint(np.clip(values, low, high)).astype(np.int16)


@dataclass(frozen=True, eq=False)
class TransferRequest:
    """Input of a transfer, frozen when the job starts.

    Parameters
    ----------
    labels : LabelVolume
        On the source.
    source, target : FeatureMaps
    volume : Volume
        The CT of the target.
    grid : Grid
        That the target's labels lie on.
    refine : bool
        Whether a probe draws the borders.
    """

    labels: "LabelVolume"
    source: "FeatureMaps"
    target: "FeatureMaps"
    volume: "Volume"
    grid: "Grid"
    refine: bool


def transfer(request: TransferRequest, context: JobContext) -> "tuple[TransferredLabels, str]":
    """Carry labels over the alignment of two scans; also returns how sure that is, in words."""
    from dataclasses import replace

    from coralbay_core.matching import LabelSource, alignment_of, transfer_labels
    from coralbay_core.spatial import LabelVolume
    from coralbay_core.spatial.resampling import labels_on

    alignment = alignment_of(request.source, request.target, cancelled=context.cancelled)
    made = transfer_labels(
        [LabelSource(request.labels, alignment)],
        request.target,
        request.volume,
        refine=request.refine,
        cancelled=context.cancelled,
    )
    data = labels_on(made.labels, request.grid)
    labels = LabelVolume(data, request.grid, name="transferred", names=dict(made.labels.names))
    return replace(made, labels=labels), alignment.in_words
