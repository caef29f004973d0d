"""Labels that are copied from one open scan to another, and a scan that is brought to another one."""

from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from coralbay_core.errors import InputError

from ..jobs import Job, JobKey
from ..model.results import Results, WarpedResult
from ..model.scan import Scan
from ..tasks.transfer import TransferRequest, transfer, warp
from .features import FeaturesController
from .segmentation import SegmentationController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.matching import TransferredLabels
    from coralbay_core.spatial import LabelVolume


class TransfersController:
    """Transfer of labels between open scans, and of a scan itself.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    segmentation : SegmentationController
    """

    warped_changed = Signal(Scan)
    transferred = Signal(Scan, object)  # a `TransferredLabels`, after it became the labels of the scan

    def __init__(
        self, workspace: Workspace, features: FeaturesController, segmentation: SegmentationController
    ) -> None:
        self._workspace = workspace
        self._segmentation = segmentation
        features.results_replaced.connect(self._results_replaced)

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

    def warp(self, other: Scan, *, scan: Scan | None = None) -> Job:
        """Bring another scan to this one (the active scan, or `scan`) over their alignment, as `scan.warped`.

        Views show both in turns, in squares; `unwarp` removes that.
        """
        scan = scan or self._workspace.require_scan()
        self._workspace.require_open(other, scan)
        if other is scan:
            raise InputError("a scan cannot be laid over itself", where=scan.name)
        (_, here), (_, there) = (self._workspace.require_features(one) for one in (scan, other))
        here.require_same_encoder(there)
        work = partial(warp, scan.volume, other.volume, here, there, scan.label_grid)
        return self._workspace.run(JobKey("warp", scan), work, partial(self._set_warped, scan), torch=True)

    def unwarp(self, scan: Scan | None = None) -> None:
        """Remove the other scan from this one (the active scan, or `scan`)."""
        scan = scan or self._workspace.require_scan()
        self._workspace.stop("warp", scan)
        if scan.warped is not None:
            self._set_warped(scan, None)

    def _set_warped(self, scan: Scan, result: WarpedResult | None) -> None:
        scan.update(warped=result)
        self.warped_changed.emit(scan)

    def _results_replaced(self, scan: Scan, old: Results) -> None:
        if old.warped is not None:
            self.warped_changed.emit(scan)

    def _set(self, target: Scan, result: "tuple[TransferredLabels, str]") -> None:
        made, in_words = result
        self._segmentation.accept_labels(made.labels, target)
        self._workspace.message.emit(f"{target.name}: {in_words}")
        self.transferred.emit(target, made)
