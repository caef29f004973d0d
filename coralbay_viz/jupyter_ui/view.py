"""Widgets of the two canvases in the browser: slices and scatter plot.

Small settings are synchronized traits; pixels and points are sent as binary buffers of messages and not stored. The
browser's half is `canvas.js`, which documents the messages.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray
from psygnal import Signal

from ..display.layer_specs import ROLES, LayerSpec
from ..display.slices import VIEWS, Plane, label_values, palette

_HERE = Path(__file__).parent
_BARS = {"heat": "similarity", "training_heat": "similarity"}


class _Canvas(anywidget.AnyWidget):
    """Base class of both canvases: the ESM module, which depends on `kind`, and messages.

    Attributes
    ----------
    carry_out : callable
        Runs a function on the thread of the session: kernels may receive messages on another one.
    bytes_sent : int
        In buffers, so far.
    """

    _esm = _HERE / "canvas.js"
    _css = _HERE / "canvas.css"
    kind = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    ready = Signal()

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.bytes_sent = 0
        self.carry_out: Callable[[Callable[[], None]], None] = lambda call: call()
        self.on_msg(self._receive)

    def tell(self, kind: str, buffers: Sequence[Any] = (), **content: Any) -> None:
        """Send a message to all copies of this canvas that are on the page."""
        self.bytes_sent += sum(memoryview(part).nbytes for part in buffers)
        self.send({"kind": kind, **content}, buffers=list(buffers))

    def _receive(self, _: Any, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        def answer() -> None:
            self._wanted(content, [bytes(part) for part in buffers])
            self.tell("heard")

        self.carry_out(answer)

    def _wanted(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        raise NotImplementedError


class SliceView(_Canvas):
    """Axial, coronal and sagittal slices with a crosshair.

    Attributes
    ----------
    cursor : list of float
        World mm of the crosshair.
    window : list of float
        Level and width in HU.
    tool : str
        Function of the left button: ``look``, ``ask``, ``paint`` or ``erase``.
    brush_mm, brush_color
        Radius and color of the brush.
    hidden : list of str
        Roles of layers that are not shown.
    enlarged : str
        View that is shown alone: ``axial``, ``coronal`` or ``sagittal``; empty for all three.
    extent_mm : float
        Millimeters that fit into a view at zoom 1, the same for all views; 0 fits each slice into its view.
    zoom : float
        Magnification of all views.
    known_axes : str
        World axes, of ``RAS``, whose directions in the patient are known: only they have letters.
    """

    kind = traitlets.Unicode("slices").tag(sync=True)
    cursor = traitlets.List(traitlets.Float()).tag(sync=True)
    window = traitlets.List(traitlets.Float(), [40.0, 400.0]).tag(sync=True)
    tool = traitlets.Unicode("look").tag(sync=True)
    brush_mm = traitlets.Float(6.0).tag(sync=True)
    brush_color = traitlets.Unicode("#e69f00").tag(sync=True)
    hidden = traitlets.List(traitlets.Unicode()).tag(sync=True)
    enlarged = traitlets.Enum(("", *VIEWS), "").tag(sync=True)
    extent_mm = traitlets.Float(0.0).tag(sync=True)
    zoom = traitlets.Float(1.0).tag(sync=True)
    known_axes = traitlets.Unicode("RAS").tag(sync=True)

    picked = Signal(object, bool)  # world mm, whether unlike it
    stroked = Signal(object, str)  # (n, 3) world mm, the view that was painted in
    undo_wanted = Signal()

    def show_layer(self, spec: LayerSpec) -> None:
        """Send the colors of a layer's pixel values and the names of its labels."""
        labels = spec.kind == "labels"
        names = spec.metadata.get("names", {}) if labels else {}
        content = {
            "role": spec.role,
            "order": ROLES.index(spec.role),
            "opacity": spec.opacity,
            "smooth": not labels,
            "bar": color_bar(spec),
            "names": {str(place): names[value] for place, value in enumerate(label_values(spec)) if value in names},
        }
        self.tell("layer", [palette(spec)], **content)

    def drop_layer(self, role: str) -> None:
        """Remove a layer from the page."""
        self.tell("drop", role=role)

    def show_slices(self, cuts: Sequence[tuple[str, Plane | None, NDArray | None, str]], mark: int = 0) -> None:
        """Send slices: role, plane, pixels as returned by `slices.encoded`, and the view; no plane clears a view.

        The page sets `data-mark` to `mark` when it has drawn them.
        """
        heads = [_head(role, plane, cut, view) for role, plane, cut, view in cuts]
        buffers = [np.ascontiguousarray(cut) for _, _, cut, _ in cuts if cut is not None]
        self.tell("slices", buffers, cuts=heads, mark=mark)

    def show_points(self, role: str, points_mm: NDArray, style: dict[str, Any]) -> None:
        """Send world positions (n, 3); `style` holds faces, border and texts."""
        self.tell("points", [np.ascontiguousarray(points_mm, np.float32)], role=role, style=style)

    def _wanted(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        kind = content.get("kind")
        if kind == "ready":
            self.ready.emit()
        elif kind == "pick":
            self.picked.emit([float(v) for v in content["mm"]], bool(content["negative"]))
        elif kind == "stroke":
            self.stroked.emit(np.frombuffer(buffers[0], np.float32).reshape(-1, 3), str(content["view"]))
        elif kind == "undo":
            self.undo_wanted.emit()


def color_bar(spec: LayerSpec) -> dict[str, Any] | None:
    """Return title and limits of the color bar of a layer; None for a layer whose colors are no values."""
    if spec.role not in _BARS or spec.contrast_limits is None:
        return None
    return {"title": _BARS[spec.role], "limits": list(map(float, spec.contrast_limits))}


def _head(role: str, plane: Plane | None, cut: NDArray | None, view: str) -> dict[str, Any]:
    if plane is None or cut is None:
        return {"role": role, "view": view}
    steps = {name: getattr(plane, f"{name}_mm").tolist() for name in ("corner", "down", "right", "through")}
    return {"role": role, "view": view, "dtype": cut.dtype.name, "shape": list(plane.shape), **steps}


class ScatterView(_Canvas):
    """Scatter plot of the cells of a scan, with a lasso."""

    kind = traitlets.Unicode("scatter").tag(sync=True)

    lassoed = Signal(object)  # (n, 2) corners
    picked = Signal(object)  # a place of the plane

    def show_points(self, points: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
        """Send points (n, 2) as 16-bit numbers over their range, and colors (n, 3)."""
        low, high = points.min(0), points.max(0)
        spread = np.where(high > low, high - low, 1)
        places = np.rint((points - low) / spread * 65535).astype(np.uint16)
        buffers = [np.ascontiguousarray(places), np.ascontiguousarray(colors)]
        self.tell("points", buffers, low=low.tolist(), high=(low + spread).tolist())

    def show_colors(self, colors: NDArray[np.uint8]) -> None:
        """Send other colors (n, 3) of the displayed points."""
        self.tell("colors", [np.ascontiguousarray(colors)])

    def show_chosen(self, chosen: NDArray[np.bool_] | None) -> None:
        """Dim all but the selected points (n,); None dims none."""
        self.tell("chosen", [] if chosen is None else [np.packbits(chosen, bitorder="little")])

    def show_place(self, point: Sequence[float] | None) -> None:
        """Mark the point under the crosshair of the slices."""
        self.tell("place", at=None if point is None else [float(v) for v in point])

    def _wanted(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        kind = content.get("kind")
        if kind == "ready":
            self.ready.emit()
        elif kind == "lasso":
            self.lassoed.emit(np.frombuffer(buffers[0], np.float32).reshape(-1, 2))
        elif kind == "pick":
            self.picked.emit([float(v) for v in content["at"]])
