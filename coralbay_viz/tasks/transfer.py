"""Labels of one scan in another one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..jobs import JobContext

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.matching import TransferredLabels
    from coralbay_core.spatial import Grid, LabelVolume, Volume


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
