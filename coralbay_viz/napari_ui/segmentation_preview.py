"""First slices of a segmentation while the rest is computed."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from coralbay_core.spatial import LabelVolume

from ..display import layer_specs

if TYPE_CHECKING:
    from ..jobs import Job
    from ..model.scan import Scan
    from ..session import Session
    from .layer_stack import LayerStack


class SegmentationPreview:
    """Slices in the segmentation layers of scans, and their removal if the job stops or fails.

    Parameters
    ----------
    session : Session
    stack : LayerStack
    restore : callable
        Shows the segmentation that the session holds.
    """

    def __init__(self, session: "Session", stack: "LayerStack", restore: "Callable[[Scan], None]") -> None:
        self._stack = stack
        self._restore = restore
        self._previewed: WeakSet[Scan] = WeakSet()
        self._fit: Job | None = None
        self._links = (
            (session.segmentation_changed, self._previewed.discard),
            (session.scan_removed, self._previewed.discard),
            (session.segmentation_previewed, self._show),
            (session.job_started, self._job_started),
        )
        for signal, slot in self._links:
            signal.connect(slot)

    def close(self) -> None:
        """Disconnect from the session."""
        for signal, slot in self._links:
            signal.disconnect(slot)

    def _show(self, scan: "Scan", planes: "tuple[LabelVolume, ...]") -> None:
        """Replace the previewed slices; elsewhere the previous segmentation stays."""
        layer, grid = self._stack.layer("segmentation", scan), scan.label_grid
        fits = layer is not None and layer.data.shape == grid.shape
        # The array of the layer belongs to the session.
        data = layer.data.astype(planes[0].data.dtype) if fits else np.zeros(grid.shape, planes[0].data.dtype)
        for plane in planes:
            low = np.rint(grid.to_index(plane.grid.to_world((0, 0, 0)))).astype(int)
            data[tuple(slice(a, a + n) for a, n in zip(low, plane.shape, strict=True))] = plane.data
        labels = LabelVolume(data, grid, "segmentation", names=planes[0].names)
        self._stack.show(scan, layer_specs.labels_spec(labels, chosen=scan.class_colors))
        self._previewed.add(scan)

    def _job_started(self, job: "Job") -> None:
        if job.kind == "segmentation":
            self._fit = job
            job.finished.connect(self._fit_over)

    def _fit_over(self) -> None:
        """Remove slices of a fit that was stopped or failed, unless a newer one runs."""
        if self._fit is None or self._fit.running:
            return
        self._fit = None  # it holds its result
        for scan in list(self._previewed):
            self._previewed.discard(scan)
            self._restore(scan)
