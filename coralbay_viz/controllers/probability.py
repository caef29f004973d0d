"""Probability maps of the active probe."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.spatial import Grid

from ..jobs import Job
from ..model.scan import Scan

if TYPE_CHECKING:
    pass
from ..model.results import ScoreResult
from ..tasks.probability import scores


class Scoring:
    """Commands of a `Session` about the scores of a probe. It brings a signal; the session brings jobs and probes."""

    scores_changed = Signal(Scan)

    def _start_scoring(self: Any) -> None:
        self.segmentation_changed.connect(self._probe_replaced)

    def show_scores(self: Any, value: int | None = None) -> Job:
        """Map the probability of a label, and the margin, as `scan.probing.scores`; they follow the probe from then on.

        Parameters
        ----------
        value : int, optional
            A painted label; by default the one that each voxel got.
        """
        scan = self._require_features()
        self._require(scan.probe, "no probe to ask", "paint strokes and segment first")
        return self._compute_scores(scan, value)

    def _compute_scores(self: Any, scan: Scan, value: int | None) -> Job:
        scan.probing.scored = (value,)
        guide = self._guide(scan)
        work = partial(scores, scan.probe, scan.features, scan.overlay_grid, value, guide, scan.probing.protected)
        return self.run(self._lane("scores", scan), work, partial(self._set_scores, scan), torch=True)

    def hide_scores(self: Any) -> None:
        """Show no scores of the active scan any more."""
        self._end_scores(self._require_scan())

    def _end_scores(self: Any, scan: Scan) -> None:
        scan.probing.scored = None
        self._runner.cancel(self._lane("scores", scan))
        self._set_scores(scan, None)

    def save_probability(self: Any, path: str | Path, value: int) -> Job:
        """Write the probability of a label on the grid of the scan's file."""
        scan = self._require_features()
        probe = self._require(scan.probe, "no probe to ask", "paint strokes and segment first")
        guide, protected = self._guide(scan), scan.probing.protected
        features = scan.features

        def make(grid: Grid) -> NDArray[np.float32]:
            return probe.scores(features).probability_of(value, grid, guide=guide, protected=protected)

        return self._save(path, scan, make, probe=probe.kind, probability_of=value, refined=self.refine)

    def _set_scores(self: Any, scan: Scan, result: ScoreResult | None) -> None:
        if result is not scan.probing.scores:
            scan.probing.scores = result
            self.scores_changed.emit(scan)

    def _probe_replaced(self: Any, scan: Scan) -> None:
        """Scores of the probe before mean nothing; where they were shown, those of the new one are."""
        if scan.probing.scored is None:
            return
        (value,), probe = scan.probing.scored, scan.probe
        if probe is None or scan.features is None or (value is not None and value not in probe.values):
            self._end_scores(scan)
        else:
            self._compute_scores(scan, value)
