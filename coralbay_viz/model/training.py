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
    """What the teacher of one checkpoint makes of a scan.

    Parameters
    ----------
    step : int
    features : FeatureMaps
        Of the scan or of a box of it.
    pca : PcaResult
        Its colors are turned to be as like those of the checkpoint that was seen before as they can be.
    coordinates : (3, z, y, x) float32 array
        Behind the colors, for the next one to be turned to.
    heat : HeatResult, optional
        Of the clicks that lie in the box; None where none does.
    asked : Clicks
        All clicks that there were.
    """

    step: int
    features: "FeatureMaps"
    pca: PcaResult
    coordinates: NDArray[np.float32]
    heat: HeatResult | None
    asked: Clicks


@dataclass(eq=False)
class TrainingState:
    """What is known of a run.

    Parameters
    ----------
    folder : Path
    scan : Scan, optional
        That it is watched on; without one there are curves alone.
    box_mm : pair of points, optional
        Opposite corners of what is computed; None for all of the scan.
    chosen : int, optional
        Step to show; None for the newest.
    steps : tuple of int
        Of the checkpoints that are there, oldest first.
    curves : dict of str to Curve
        `steps` and `values` by name: ``loss``, ``evaluation.across_ap``, ...
    alarms : tuple of (int, str)
        Step and text.
    shown : CheckpointView, optional
    problem : str
        Why the last look was in vain, in a line; empty if it was not.
    failed : (int, str), optional
        Step whose view ended in an error, and that; it is not tried again until somebody asks for it.
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
        """Step that is to be shown."""
        if self.chosen is not None:
            return self.chosen
        return self.steps[-1] if self.steps else None
