"""State of a watched pretraining run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .clicks import Clicks, Point
from .results import HeatResult, PcaResult
from .scan import Scan

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.pretrain.run_folder import Curve


Box = tuple[Point, Point]


@dataclass(frozen=True, eq=False)
class CheckpointView:
    """View of one checkpoint's teacher on a scan.

    Parameters
    ----------
    step : int
    features : FeatureMaps
        Of the scan or of a box of it.
    pca : PcaResult
        Colors, aligned with those of the previously shown checkpoint.
    coordinates : (3, z, y, x) float32 array
        Coordinates of the colors, to align the next checkpoint with.
    heat : HeatResult, optional
        Of the clicks inside the box; None if there are none.
    asked : Clicks
        All clicks.
    """

    step: int
    features: "FeatureMaps"
    pca: PcaResult
    coordinates: NDArray[np.float32]
    heat: HeatResult | None
    asked: Clicks


@dataclass(eq=False)
class TrainingState:
    """State of a training run.

    Parameters
    ----------
    folder : Path
    scan : Scan, optional
        Scan on which checkpoints are shown; without one there are curves only.
    box_mm : pair of points, optional
        Opposite corners of the computed box; None for the whole scan.
    chosen : int, optional
        Step to show; None for the newest.
    steps : tuple of int
        Steps of the available checkpoints, oldest first.
    curves : dict of str to Curve
        `steps` and `values` by name: ``loss``, ``evaluation.across_ap``, ...
    alarms : tuple of (int, str)
        Step and text.
    shown : CheckpointView, optional
    problem : str
        Error message of the last refresh; empty if it succeeded.
    failed : (int, str), optional
        Step whose view failed, and the error; it is not tried again unless requested.
    """

    folder: Path
    scan: Scan | None = None
    box_mm: Box | None = None
    chosen: int | None = None
    steps: tuple[int, ...] = ()
    curves: "dict[str, Curve]" = field(default_factory=dict)
    alarms: tuple[tuple[int, str], ...] = ()
    shown: CheckpointView | None = None
    problem: str = ""
    failed: tuple[int, str] | None = None

    @property
    def wanted(self) -> int | None:
        """Step to show."""
        if self.chosen is not None:
            return self.chosen
        return self.steps[-1] if self.steps else None

    @property
    def description(self) -> tuple[str, ...]:
        """Lines about the run for a view: its name and checkpoints, the computed part, the last alarm, a problem."""
        count = len(self.steps)
        lines = [f"{self.folder.name}: {count} checkpoint{'' if count == 1 else 's'}"]
        if self.box_mm is not None:
            lines.append("computed in a box around the last prompt, the crosshair or the center")
        if self.alarms:
            step, text = self.alarms[-1]
            lines.append(f"alarm at step {step}: {text}")
        if self.problem:
            lines.append(self.problem)
        return tuple(lines)
