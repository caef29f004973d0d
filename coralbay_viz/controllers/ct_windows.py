"""Comparison of CT windows."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError

from ..jobs import Job
from ..model.clicks import Clicks
from ..model.palette import WINDOWS, Window
from ..model.scan import Scan

if TYPE_CHECKING:
    pass
from ..model.results import WindowResult
from ..tasks.ct_windows import inspect

INSPECTED = ("Lung", "Soft tissue", "Bone")
"""Windows that are compared unless others are named: they share almost no HU."""


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
