"""Strokes in the other planes: the tool of the main canvas works in each of them, on the same voxels."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

    from ..model.scan import Scan
    from .context import Context
    from .linked_layers import TwinView

_PAN = "pan_zoom"


class PlanePainting:
    """Tool, class and brush size of the strokes of the active scan in other canvases.

    The layers there share the array of the main one, so a stroke is there at once; the other canvases draw it when it
    is complete.

    Parameters
    ----------
    context : Context
    planes : sequence of TwinView
    scan : callable, optional
        Returns the scan whose strokes the planes show, by default the active one.
    """

    def __init__(
        self, context: "Context", planes: "Sequence[TwinView]", scan: "Callable[[], Scan | None]" = lambda: None
    ) -> None:
        self._context = context
        self._planes = planes
        self._scan = scan
        self._links: dict[Layer, Callable[[Any], None]] = {}
        context.painting.changed.connect(self.update)

    def close(self) -> None:
        """Disconnect from the strokes."""
        self._context.painting.changed.disconnect(self.update)
        for twin, drawn in self._links.items():
            with suppress(ValueError):
                twin.events.paint.disconnect(drawn)
        self._links.clear()

    def update(self, _: Any = None) -> None:
        """Take the tool of the main canvas in every plane."""
        tool = self._context.binding.layer("strokes")
        source = self._context.binding.layer("strokes", self._scan())
        for plane in self._planes:
            twin = None if source is None else plane.twin_of(source)
            if tool is not None and source is not None and twin is not None:
                self._follow(source, twin)
                self._take(tool, plane, twin)

    def _take(self, tool: "Layer", plane: "TwinView", twin: "Layer") -> None:
        mode = str(tool.mode) if tool in self._context.viewer.layers.selection else _PAN
        for name, value in (("selected_label", tool.selected_label), ("brush_size", tool.brush_size)):
            if getattr(twin, name) != value:
                setattr(twin, name, value)
        if str(twin.mode) != mode:
            twin.mode = mode
        plane.model.layers.selection.active = None if mode == _PAN else twin

    def _follow(self, source: "Layer", twin: "Layer") -> None:
        if twin not in self._links:

            def drawn(_: Any) -> None:
                self._drawn(source, twin)

            self._links[twin] = drawn
            twin.events.paint.connect(drawn)

    def _drawn(self, source: "Layer", twin: "Layer") -> None:
        """Draw a stroke of one plane in all other canvases; the main layer's event passes it to the session."""
        source.refresh(extent=False)
        for plane in self._planes:
            other = plane.twin_of(source)
            if other is not None and other is not twin:
                other.refresh(extent=False)
