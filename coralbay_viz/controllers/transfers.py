"""Labels that are copied from one open scan to another, as protected labels there."""

from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from coralbay_core.errors import InputError

from ..jobs import Job, JobKey
from ..model.scan import Scan
from ..tasks.transfer import TransferRequest, transfer
from .segmentation import SegmentationController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.matching import TransferredLabels
    from coralbay_core.spatial import LabelVolume


class TransfersController:
    """Transfer of labels between open scans.

    Parameters
    ----------
    workspace : Workspace
    segmentation : SegmentationController
    """

    transferred = Signal(Scan, object)  # a `TransferredLabels`, after it became the labels of the scan

    def __init__(self, workspace: Workspace, segmentation: SegmentationController) -> None:
        self._workspace = workspace
        self._segmentation = segmentation

    def transfer(
        self, target: Scan, *, labels: "LabelVolume | None" = None, source: Scan | None = None, refine: bool = True
    ) -> Job:
        """Copy labels of a scan (the active one, or `source`) to another scan; `undo_accept` there takes them back.

        Parameters
        ----------
        target : Scan
        labels : LabelVolume, optional
            By default the segmentation of the source.
        source : Scan, optional
        refine : bool
            Whether a probe on the features of the target draws the borders.
        """
        source = source or self._workspace.require_scan()
        self._workspace.require_open(target, source)
        if target is source:
            raise InputError("labels cannot be copied to the same scan", where=target.name)
        (_, here), (_, there) = (self._workspace.require_features(scan) for scan in (source, target))
        here.require_same_encoder(there)
        drawn = labels or require(source.segmentation, "no labels to copy", "segment the first scan, or protect labels")
        request = TransferRequest(drawn, here, there, target.volume, target.label_grid, refine)
        done = partial(self._set, target)
        return self._workspace.run(JobKey("transfer", target), partial(transfer, request), done, torch=True)

    def _set(self, target: Scan, result: "tuple[TransferredLabels, str]") -> None:
        made, in_words = result
        self._segmentation.accept_labels(made.labels, target)
        self._workspace.message.emit(f"{target.name}: {in_words}")
        self.transferred.emit(target, made)
