"""State of a view that no scan holds: threshold, gray scale, and choices of maps."""

from dataclasses import dataclass

from ..model.clicks import Point
from ..model.training import CheckpointView

AGREEMENT = "Agreement"
"""Choice of `ViewState.window_shown` beside the names of the compared windows."""


@dataclass(frozen=True)
class ViewState:
    """Settings of a view, in addition to the state of a scan.

    Parameters
    ----------
    body_fraction : float
        Fraction of the body that heat maps show.
    window : str, optional
        Name of the CT window that a scan is shown with at first; by default that of `first_window`.
    training : CheckpointView, optional
        Checkpoint of a watched training on this scan.
    window_shown : str, optional
        Compared CT window whose heat map is shown, or `AGREEMENT`; None shows neither.
    margin : bool
        Whether the uncertainty of the probe, one minus its margin, is shown instead of the probability.
    mark_mm : point, optional
        Position of the point that is marked in the scatter plot, world mm.
    square_mm : float
        Size of the squares in which a second scan takes turns with this one.
    """

    body_fraction: float
    window: str | None = None
    training: CheckpointView | None = None
    window_shown: str | None = AGREEMENT
    margin: bool = False
    mark_mm: Point | None = None
    square_mm: float = 40.0
