"""Second canvas with layers of the main canvas: the same arrays, in another plane or beside it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.qt import QtViewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from coralbay_core.spatial import geometry

from ..display.layer_specs import IS_SCAN
from ..display.napari_world import napari_from_world
from ..model.palette import projection_limits_hu
from . import views
from .actions import unchanged_shortcuts
from .black_canvas import BlackCanvas
from .layer_data import AXES, POINT_MM, set_points
from .layer_removal import remove_layers
from .readout import Letters
from .tools import MouseTools

if TYPE_CHECKING:
    from napari.layers import Layer

_FOLLOWED = ("opacity", "blending", "contrast_limits", "colormap", "affine", "interpolation2d", "gamma")
_OF_SLICES = ("affine", "contrast_limits")
_PROJECTED = 160  # voxels along the longest axis of a projection: enough for a quarter of a window
# After this time without a resize the size of the canvas has settled.
_SETTLED_MS = 80
_CROSS_COLOR, _CROSS_MM = "#ffd54f", 1.2


class LinkedLayer:
    """Layer in a second canvas that follows the appearance of a layer in the main canvas.

    Parameters
    ----------
    layer : napari.layers.Layer
        Of the main canvas; its array is shared, not copied.
    follows_visibility : bool
        Whether it hides when the other does.
    in_3d : bool
        Whether it is a scan that is projected: with fewer voxels and the gray scale of a projection.
    """

    def __init__(self, layer: "Layer", follows_visibility: bool, in_3d: bool = False) -> None:
        from napari.layers import Layer

        data, state, kind = layer.as_layer_data_tuple()
        self.source = layer
        self._step = -(-max(data.shape) // _PROJECTED) if in_3d else 1
        if in_3d:
            data = _means(data, self._step)
            affine = geometry.coarsen(np.array(layer.affine.affine_matrix), self._step)
            state |= {"affine": affine, "contrast_limits": projection_limits_hu(data)}
        self.layer = Layer.create(data, {**state, "visible": layer.visible or not follows_visibility}, kind)
        self.layer.mouse_pan = True
        if kind == "points":  # those of an empty layer would be as large as napari's own are
            self.layer.current_size = float(layer.current_size)
        names = [
            *(name for name in _FOLLOWED if not in_3d or name not in _OF_SLICES),
            *(["visible"] if follows_visibility else []),
        ]
        self._links = [(getattr(layer.events, name), self._follow(name)) for name in names if hasattr(layer, name)]
        self._links.append((layer.events.data, self._take_data))
        if kind == "points":
            # Texts are features, whose changes napari does not always emit; the colors are set after them.
            self._links += [(layer.events.face_color, self._take_texts), (layer.events.border_color, self._take_border)]
        if hasattr(layer.events, "labels_update"):
            self._links.append((layer.events.labels_update, self._refresh))
        for emitter, slot in self._links:
            emitter.connect(slot)

    def close(self) -> None:
        """Stop following."""
        for emitter, slot in self._links:
            with suppress(ValueError):
                emitter.disconnect(slot)

    def _follow(self, name: str) -> Callable[[], None]:
        return lambda *_: setattr(self.layer, name, getattr(self.source, name))

    def _take_data(self, *_: Any) -> None:
        if hasattr(self.layer, "text"):
            set_points(self.layer, self.source.data)
        else:
            self.layer.data = _means(self.source.data, self._step)

    def _take_texts(self, *_: Any) -> None:
        self.layer.features, self.layer.face_color = self.source.features, self.source.face_color

    def _take_border(self, *_: Any) -> None:
        self.layer.border_color = self.source.border_color

    def _refresh(self, *_: Any) -> None:
        self.layer.refresh(extent=False)


def _means(data: Any, step: int) -> Any:
    """Means of blocks of so many voxels along each axis, without a rest at the high ends; the data itself for 1."""
    if step == 1:
        return data
    z, y, x = (n // step for n in data.shape)
    blocks = data[: z * step, : y * step, : x * step].reshape(z, step, y, step, x, step)
    return blocks.mean((1, 3, 5), dtype=np.float32)


class TwinView(QWidget):
    """Canvas with linked layers, a crosshair and letters at its edges.

    What is shown in slices should be there before `open` makes the canvas, which answers each change after that.

    Parameters
    ----------
    view : str
        One of `views.VIEWS`.
    follows_visibility : bool
    """

    def __init__(self, view: str, follows_visibility: bool = True) -> None:
        super().__init__()
        self.model = ViewerModel(title=view)
        self.canvas: QtViewer | None = None
        self.tools = MouseTools(self.model)
        self._letters = Letters(self.model)
        self._black_canvas = BlackCanvas(self.model)
        self._cross: Layer | None = None
        self._follows = follows_visibility
        self._twins: list[LinkedLayer] = []
        self._view = view
        self._refit = QTimer(self)
        self._refit.setSingleShot(True)
        self._refit.setInterval(_SETTLED_MS)
        self._refit.timeout.connect(self.fit)

    def open(self, sliders: bool = False) -> QtViewer:
        """Make the canvas, and return it."""
        with unchanged_shortcuts():
            self.canvas = QtViewer(self.model)
        self.canvas.dims.setVisible(sliders)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas)
        return self.canvas

    @property
    def view(self) -> str:
        """Displayed plane, one of `views.VIEWS`."""
        return self._view

    @view.setter
    def view(self, view: str) -> None:
        self._view = view
        self.fit()

    def show_layers(self, layers: Iterable["Layer"]) -> None:
        """Show exactly these layers, in this order."""
        wanted = list(layers)
        gone = [twin for twin in self._twins if twin.source not in wanted]
        if gone and self.canvas is not None:
            self.canvas.canvas.native.makeCurrent()  # see `main_canvas.make_current`
        for twin in gone:
            self._twins.remove(twin)
            twin.close()
        remove_layers(self.model, [twin.layer for twin in gone])
        empty = not self._twins
        known = {twin.source: twin for twin in self._twins}
        for layer in wanted:
            if layer not in known:
                projected = self._view == views.VOLUME and IS_SCAN in layer.metadata
                known[layer] = LinkedLayer(layer, self._follows, projected)
                self.model.layers.append(known[layer].layer)
        self._twins = [known[layer] for layer in wanted]
        for place, twin in enumerate(self._twins):
            self.model.layers.move(self.model.layers.index(twin.layer), place)
        if empty and self._twins:
            self.fit()
        self._letters.update()

    def twin_of(self, layer: "Layer") -> "Layer | None":
        """Return the layer here that follows a layer of the main canvas."""
        return next((twin.layer for twin in self._twins if twin.source is layer), None)

    def go_to(self, position_mm: Any) -> None:
        """Show the slice of a world position, and mark it."""
        place = napari_from_world(position_mm)
        views.go_to(self.model, place)
        self._mark(place)

    def resizeEvent(self, event: Any) -> None:
        """Fit the slices into the canvas once its size has settled."""
        super().resizeEvent(event)
        self._refit.start()

    def fit(self) -> None:
        """Fit the scans that are not hidden into the canvas."""
        place = views.place_of(self.model)
        views.show_view(self.model, self._view, reset=self._view == views.VOLUME)
        if self._view != views.VOLUME:
            if len(place) == 3:
                views.go_to(self.model, place)
            views.fit(self.model, views.shown_scans(self.model))
        self._letters.update()

    def _mark(self, place: Any) -> None:
        if not self._twins:
            return
        self._cross = mark(self.model, self._cross, place)

    def release(self) -> None:
        """Disconnect from the layers of the main canvas."""
        self.tools.close()
        for twin in self._twins:
            twin.close()
        self._twins = []


def mark(viewer: Any, cross: "Layer | None", place: Any) -> "Layer":
    """Move the crosshair to a place in napari's world; create it if needed.

    Its lines run along the axes and are visible in the slices that contain them.
    """
    from napari.layers import Vectors

    others = [layer for layer in viewer.layers if layer is not cross]
    lines = _lines(place, viewer.layers.get_extent(others).world)
    if cross is not None and cross in viewer.layers:
        cross.data = lines
        return cross
    cross = Vectors(
        lines,
        name="crosshair",
        # As with points: the unit of the data is how far from its slice a line is seen.
        scale=(POINT_MM,) * 3,
        units=("mm",) * 3,
        axis_labels=AXES,
        edge_width=_CROSS_MM / POINT_MM,
        edge_color=_CROSS_COLOR,
        vector_style="line",
        opacity=0.5,
    )
    viewer.layers.append(cross)
    return cross


def _lines(place: Any, extent: Any) -> Any:
    low, high = np.asarray(extent)[:, -3:]
    lines = np.zeros((3, 2, 3))
    for axis in range(3):
        lines[axis, 0] = place
        lines[axis, 0, axis] = low[axis]
        lines[axis, 1, axis] = high[axis] - low[axis]
    return lines / POINT_MM
