"""Comparison of CT windows."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey
from ..model.clicks import Clicks
from ..model.palette import WINDOWS, Window
from ..model.results import Results, WindowResult
from ..model.scan import Scan
from ..tasks.ct_windows import inspect
from .features import FeaturesController, model_of_windows
from .similarity import SimilarityController
from .workspace import Workspace

INSPECTED = ("Lung", "Soft tissue", "Bone")
"""Windows that are compared unless others are named: they share almost no HU."""


class WindowsController:
    """Heat maps of the same clicks under different CT windows.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    similarity : SimilarityController
    """

    changed = Signal(Scan)

    def __init__(self, workspace: Workspace, features: FeaturesController, similarity: SimilarityController) -> None:
        self._workspace = workspace
        self._features = features
        self._similarity = similarity
        features.results_replaced.connect(self._results_replaced)

    @checked
    def compare(
        self,
        position_mm: Sequence[float] | None = None,
        windows: Sequence[str | Window] = INSPECTED,
        radius_mm: float | None = None,
    ) -> Job:
        """Compute the heat map of the active scan's clicks, or of one position, as if it were exported with windows.

        The result is `scan.windows`. It is computed in a box, and needs no features of the whole scan.

        Parameters
        ----------
        position_mm : three floats, optional
            World mm, instead of the clicks.
        windows : sequence of str or Window
            Names of `palette.WINDOWS`, or windows.
        radius_mm : float, optional
            Half the side of the box around the position or the last click.
        """
        scan = self._workspace.require_scan()
        clicks = scan.clicks.now
        if position_mm is not None:
            scan.volume.grid.require_inside(position_mm, where=scan.name)
            r, a, s = (float(v) for v in position_mm)
            clicks = Clicks(((r, a, s),))
        if not clicks.positive:
            raise CoralBayError("no prompt to compare windows for", where=scan.name, hint="click on the scan first")
        chosen = {window.name: window.limits_hu for window in map(_window, windows)}
        settings: dict[str, Any] = {
            "windows": chosen,
            "weights": self._similarity.weights_mapping,
            "store": self._workspace.store,
        }
        if radius_mm is not None:
            settings["radius_mm"] = float(radius_mm)
        work = partial(
            inspect,
            scan.volume,
            self._features.encoders,
            scan.model or self._features.model,
            clicks,
            settings,
            scan.overlay_grid,
            self._workspace.message.emit,
        )
        return self._workspace.run(JobKey("windows", scan), work, partial(self._set, scan), torch=True)

    def _set(self, scan: Scan, result: WindowResult) -> None:
        if scan.features is not None and model_of_windows(result) != scan.features.model:
            return  # features of another model have come meanwhile
        scan.update(windows=result)
        self.changed.emit(scan)

    def _results_replaced(self, scan: Scan, old: Results) -> None:
        if old.windows is not None and scan.windows is None:
            self.changed.emit(scan)


def _window(window: str | Window) -> Window:
    if isinstance(window, Window):
        return window
    if window not in WINDOWS:
        raise InputError("unknown window", found=window, expected=f"one of {', '.join(WINDOWS)}")
    return WINDOWS[window]
