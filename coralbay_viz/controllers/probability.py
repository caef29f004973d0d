"""Probability maps of the probe."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.spatial import Grid
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey, without_context
from ..model.results import ScoreResult
from ..model.scan import Scan
from ..tasks.probability import scores
from .segmentation import SegmentationController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.probe import Probe

_NO_PROBE = "paint strokes and segment first"


class ProbabilityController:
    """Maps of probability and margin, which follow the probe while they are shown.

    Parameters
    ----------
    workspace : Workspace
    segmentation : SegmentationController
    """

    scores_changed = Signal(Scan)

    def __init__(self, workspace: Workspace, segmentation: SegmentationController) -> None:
        self._workspace = workspace
        self._segmentation = segmentation
        segmentation.segmentation_changed.connect(self._probe_replaced)

    def show_scores(self, value: int | None = None) -> Job:
        """Map the probability of a label, and the margin, as `scan.scores`; later probes update it.

        Parameters
        ----------
        value : int, optional
            A painted label; by default the most likely one of each voxel.
        """
        scan, features = self._workspace.require_features()
        return self._compute(scan, features, require(scan.probe, "no probe to map", _NO_PROBE), value)

    def hide_scores(self) -> None:
        """Remove the probability map of the active scan."""
        self._end(self._workspace.require_scan())

    @checked
    def save_probability(self, path: str | Path, value: int) -> Job:
        """Write the probability of a label on the grid of the scan's file."""
        scan, features = self._workspace.require_features()
        probe = require(scan.probe, "no probe to map", _NO_PROBE)
        how = self._segmentation.labeling(scan, features)

        def make(grid: Grid) -> NDArray[np.float32]:
            return how.scores(probe).probability_of(value, grid, guide=how.guide, protected=how.protected)

        parameters = {"probe": probe.kind, "probability_of": value, "refined": self._segmentation.refine}
        return self._workspace.write_map(path, scan, make, **parameters)

    def _compute(self, scan: Scan, features: "FeatureMaps", probe: "Probe", value: int | None) -> Job:
        scan.scored = (value,)
        work = partial(scores, probe, self._segmentation.labeling(scan, features), scan.overlay_grid, value)
        done = partial(self._set, scan)
        return self._workspace.run(JobKey("scores", scan), without_context(work), done, torch=True)

    def _end(self, scan: Scan) -> None:
        scan.scored = None
        self._workspace.stop("scores", scan)
        self._set(scan, None)

    def _set(self, scan: Scan, result: ScoreResult | None) -> None:
        scan.update(scores=result)
        self.scores_changed.emit(scan)

    def _probe_replaced(self, scan: Scan) -> None:
        if scan.scored is None:
            return
        (value,) = scan.scored
        if scan.probe is None or scan.features is None or (value is not None and value not in scan.probe.values):
            self._end(scan)
        else:
            self._compute(scan, scan.features, scan.probe, value)
