"""Overlays that a view can show: which there are, why one is missing, and the work that makes it."""

from coralbay_core.errors import CoralBayError

from ..display.visibility import SHOWN, Shown
from ..jobs import Job
from .probability import ProbabilityController
from .projections import ProjectionsController
from .workspace import Workspace

_NO_FEATURES = "compute features first"
_NO_PROBE = "paint strokes of two classes and segment first"


class OverlaysController:
    """Results of a scan that a view can draw over it, one at a time.

    Parameters
    ----------
    workspace : Workspace
    projections : ProjectionsController
    probability : ProbabilityController
    """

    def __init__(
        self, workspace: Workspace, projections: ProjectionsController, probability: ProbabilityController
    ) -> None:
        self._workspace = workspace
        self._projections = projections
        self._probability = probability

    def available(self) -> tuple[Shown, ...]:
        """Return what of the active scan can be shown, at once or after a computation that `request` starts."""
        return tuple(what for what in SHOWN if not self.reason_against(what))

    def reason_against(self, what: Shown) -> str:
        """Return what has to be done before something can be shown; empty if nothing has to."""
        scan = self._workspace.scan
        if scan is None:
            return "open a scan first"
        reasons = {
            "similarity": "" if scan.heat is not None else "click in the scan first",
            "colors": "" if scan.features is not None else _NO_FEATURES,
            "segmentation": "" if scan.segmentation is not None else _NO_PROBE,
            "uncertainty": "" if scan.probe is not None and scan.features is not None else _NO_PROBE,
        }
        return reasons.get(what, "")

    def request(self, what: Shown) -> Job | None:
        """Compute what is missing to show something of the active scan; None if it is there.

        Raises
        ------
        CoralBayError
            If it cannot be computed yet, with what has to be done first.
        """
        scan = self._workspace.require_scan()
        if reason := self.reason_against(what):
            raise CoralBayError(f"no {what} to show", where=scan.name, hint=reason)
        if what == "colors" and scan.pca is None:
            return self._projections.compute_pca(scan=scan)
        if what == "uncertainty" and scan.scores is None:
            return self._probability.show_scores()
        return None
