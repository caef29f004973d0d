"""Prompts by mouse: what a click on a canvas selects in the scan that the canvas shows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..display import raycast

if TYPE_CHECKING:
    from ..model.scan import Scan
    from .context import Context
    from .tools import MouseTools

# Longest time for which drawing waits for the answer to a click: where the processor draws, it would delay the answer.
_GRACE_S = 0.15


class Picking:
    """Prompts from the clicks on one canvas, or on several that share their signals.

    Parameters
    ----------
    context : Context
    tools : MouseTools
        Of the canvas.
    scan : callable
        Returns the scan that the canvas shows.
    """

    def __init__(self, context: "Context", tools: "MouseTools", scan: "Callable[[], Scan | None]") -> None:
        self._context = context
        self._scan = scan
        self._links = [
            (tools.picked, context.notify_errors(self._picked)),
            (tools.looked, context.notify_errors(self._looked)),
        ]
        context.connect(*self._links)

    def close(self) -> None:
        """Disconnect from the canvas."""
        self._context.prompted = None
        self._context.disconnect(*self._links)

    def _picked(self, position_mm: Any, negative: bool) -> None:
        session, scan = self._context.session, self._scan()
        job = session.click(position_mm, negative, scan)
        self._context.prompted = scan
        if scan is not None and scan.origin is not None:
            self._context.notify(f"{scan.name} shows prompts of its own now, not those of {scan.origin.name}.")
            job = session.unlink_heat(scan)
        if job is not None:
            job.wait(_GRACE_S)
        self._context.binding.reveal("heat", scan)

    def _looked(self, origin_mm: Any, direction: Any, negative: bool) -> None:
        """Select what is seen along a ray."""
        session, scan = self._context.session, self._scan()
        limits = self._context.binding.window_of(scan)
        place = None
        if scan is not None and limits is not None:
            place = raycast.place_on_ray(scan, session.threshold_of(scan), limits, origin_mm, direction)
        if place is None:
            self._context.notify("No body under this click.")
        else:
            self._picked(place, negative)
