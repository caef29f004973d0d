"""The window inspector of a session: the same clicks answered under several HU windows. Knows no GUI toolkit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.volume import Grid, Volume

from .colors import WINDOWS, Window
from .jobs import Job, Report
from .state import Clicks, Scan
from .work import Cancelled, Encoders

if TYPE_CHECKING:
    from coralbay_core.hu_windows import WindowComparison

INSPECTED = ("Lung", "Soft tissue", "Bone")
"""Windows that are compared unless others are named: they share almost no HU."""


@dataclass(frozen=True, eq=False)
class WindowResult:
    """Answers under several windows, with what a view needs of them.

    Parameters
    ----------
    comparison : WindowComparison
        `reference` and `answers`, each with `correlation`, `position_mm` and `score`; `chance`.
    shown : dict of str to (z, y, x) float32 array
        Of each window by name: ranks of the scores in [0, 1] on `grid`; 0 outside the body and the box.
    stability : (z, y, x) float32 array
        On `grid`: 1 where all windows agree, see `WindowComparison.stability`; 0 outside the body and the box.
    grid : Grid
    clicks : Clicks
        That were answered.
    """

    comparison: "WindowComparison"
    shown: dict[str, NDArray[np.float32]]
    stability: NDArray[np.float32]
    grid: Grid
    clicks: Clicks


class Inspecting:
    """Commands of a `Session` about windows. It brings a signal; the session brings jobs, scans and the model."""

    windows_changed = Signal(Scan)

    def _start_inspecting(self: Any) -> None:
        self.features_changed.connect(self._forget_windows)

    def inspect_windows(
        self: Any,
        position_mm: Sequence[float] | None = None,
        windows: Sequence[str | Window] = INSPECTED,
        radius_mm: float | None = None,
    ) -> Job:
        """Answer the clicks of the active scan, or one position, as if it had been exported with each of some windows.

        The result is `scan.windows`. It is computed in a box, and needs no features of the whole scan.

        Parameters
        ----------
        position_mm : three floats, optional
            World mm to ask about instead of the clicks.
        windows : sequence of str or Window
            Names of `colors.WINDOWS`, or windows.
        radius_mm : float, optional
            Half the side of the box around the position or the last click.
        """
        scan = self._require_scan()
        clicks = scan.clicks.now
        if position_mm is not None:
            scan.volume.grid.require_inside(position_mm, where=scan.name)
            clicks = Clicks((tuple(float(v) for v in position_mm),))
        if not clicks.positive:
            raise CoralBayError("nothing to inspect", where=scan.name, hint="click on the scan first")
        chosen = {window.name: window.limits_hu for window in map(_window, windows)}
        weights = self._weights if isinstance(self._weights, dict) else None
        radius = {} if radius_mm is None else {"radius_mm": float(radius_mm)}
        work = partial(
            inspect,
            scan.volume,
            self._encoders,
            scan.model or self._model,
            clicks,
            {"windows": chosen, "weights": weights, "store": self._store, **radius},
            scan.overlay_grid,
            self.said.emit,
        )
        return self.run(self._lane("windows", scan), work, partial(self._set_windows, scan), torch=True)

    def _set_windows(self: Any, scan: Scan, result: WindowResult | None) -> None:
        if result is not None and scan.features is not None and _model_of(result) != scan.features.model:
            return  # features of another model have come meanwhile
        if result is not scan.windows:
            scan.windows = result
            self.windows_changed.emit(scan)

    def _forget_windows(self: Any, scan: Scan) -> None:
        """Another model's features have come."""
        if scan.windows is not None and _model_of(scan.windows) != scan.features.model:
            self._set_windows(scan, None)


def _model_of(result: WindowResult) -> str:
    return result.comparison.reference.heat.features.model


def _window(window: str | Window) -> Window:
    if isinstance(window, Window):
        return window
    if window not in WINDOWS:
        raise InputError("unknown window", found=window, expected=f"one of {', '.join(WINDOWS)}")
    return WINDOWS[window]


def inspect(
    volume: Volume,
    encoders: Encoders,
    model: str,
    clicks: Clicks,
    settings: dict[str, Any],
    grid: Grid,
    say: Any,
    report: Report,
    cancelled: Cancelled,
) -> WindowResult:
    from coralbay_core.extract import Watch
    from coralbay_core.hu_windows import compare_windows

    watch = Watch(report, cancelled, say=partial(report.tell, say))
    made = compare_windows(volume, encoders.get(model), clicks.positive, clicks.negative, watch=watch, **settings)
    shown = {answer.name: made.on(answer.ranks, grid) for answer in made.answers}
    return WindowResult(made, shown, made.on(made.stability, grid), grid, clicks)
