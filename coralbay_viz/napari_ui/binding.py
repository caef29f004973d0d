"""Synchronization of the layers of a napari viewer with a session; adopts scans opened by napari itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import LabelVolume, Volume

from ..display import layer_specs, napari_world, scan_layers, visibility
from ..display.view_state import ViewState
from . import views
from .gray_scale import GrayScale
from .layer_stack import LayerStack, set_visible
from .segmentation_preview import SegmentationPreview

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from ..model.scan import Scan
    from ..model.training import CheckpointView
    from ..session import Session

# Strokes are painted in their layer: `Painting` shows those that come from elsewhere.
_PAINTED = ("strokes",)
_TRAINING = ("training_pca", "training_heat")
# Roles that settings of `ViewState` are about.
_SET_BY = {"window_shown": ("windows",), "margin": ("scores",), "mark_mm": ("mark",), "square_mm": ("warped",)}


class Binding:
    """Two-way synchronization of session and layers.

    `layer`, `laid_out`, `layers_of`, `list_all` and `recolor` are those of `LayerStack`, `set_window` and
    `window_of` those of `GrayScale`.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session

    Attributes
    ----------
    view : ViewState
        Settings of this viewer; `set_view` changes them.
    window_changed : signal
        Limits in HU of the gray scale of the active scan, in slices.
    visibility_changed : signal
        Role of a layer that was shown or hidden.
    put_back : signal
        A layer that was moved, and is where it was again.
    activated : signal
        The scan whose layers the viewer lists now, or None.
    """

    def __init__(self, viewer: "napari.Viewer", session: "Session") -> None:
        self.viewer = viewer
        self.session = session
        self.view = ViewState(session.body_fraction)
        self._stack = LayerStack(viewer, session)
        self._gray = GrayScale(viewer, self._stack)
        self.layer, self.laid_out, self.layers_of = self._stack.layer, self._stack.laid_out, self._stack.layers_of
        self.recolor, self.visibility_changed = self._stack.recolor, self._stack.visibility_changed
        self.put_back, self.activated = self._stack.put_back, self._stack.activated
        self.list_all = self._stack.list_all
        self.set_window, self.window_changed = self._gray.set_window, self._gray.window_changed
        self.adjust_window, self.window_of = self._gray.adjust, self._gray.window_of
        self._preview = SegmentationPreview(session, self._stack, lambda scan: self.refresh(scan, "segmentation"))
        self._adopted: Layer | None = None
        self._checkpoint: tuple[Scan, CheckpointView] | None = None  # of the training layers
        self._links: list[tuple[Any, Callable[..., Any]]] = [
            (session.scan_added, self._scan_added),
            (session.scan_removed, self._stack.remove),
            (session.scan_changed, self._stack.activate),
            (self._stack.activated, self._activated),
            (session.body_fraction_changed, self._body_fraction_changed),
            (session.training.changed, self._training_changed),
        ]
        self._links += [(signal, self._refreshing(*roles)) for signal, roles in scan_layers.changes(session)]
        self._links += [
            (session.windows.changed, self._windows_changed),
            (session.warped_changed, self._warped_changed),
            (viewer.layers.events.inserted, self._layer_inserted),
            (viewer.layers.events.removed, self._layer_removed),
            (viewer.dims.events.ndisplay, self._dims_changed),
            (viewer.dims.events.order, self._dims_changed),
        ]
        for signal, slot in self._links:
            signal.connect(slot)
        views.orient(viewer)

    def adopt_layers(self) -> None:
        """Adopt the scans that the viewer already shows."""
        for layer in list(self.viewer.layers):
            self._adopt(layer)

    def close(self) -> None:
        """Disconnect from session and viewer; the layers stay."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links.clear()
        self._preview.close()
        self._stack.close()

    @property
    def busy(self) -> bool:
        """Whether a change of the layer list comes from here, and not from the user."""
        return self._stack.busy

    def seen(self, scan: "Scan") -> frozenset[str]:
        """Roles of a scan whose layers are shown."""
        return self._stack.seen(scan)

    # Layers

    def show_strokes(self, strokes: LabelVolume, scan: "Scan") -> "Layer":
        """Show strokes in a layer whose metadata hold their grid and names.

        Parameters
        ----------
        strokes : LabelVolume
            Its array is painted on from then on.
        scan : Scan
        """
        return self._stack.show(scan, layer_specs.strokes_spec(strokes, scan.class_colors))

    def lay_out_clicks(self, scan: "Scan") -> None:
        """Prepare an empty layer for clicks: the first one of a window takes half a second, too long for a click."""
        if scan.pca is not None and self.laid_out("clicks", scan) is None and not scan.clicks.now:
            self._stack.show(scan, layer_specs.clicks_spec((), ()))
            self._stack.clear(scan, "clicks")

    def drop(self, scan: "Scan", *roles: str) -> None:
        """Show nothing in some roles until their state changes."""
        for role in roles:
            self._stack.clear(scan, role)

    # Visibility

    def set_visible(self, role: str, visible: bool) -> None:
        """Show or hide a layer of the active scan, if there is one."""
        layer = self.layer(role)
        if layer is not None:
            set_visible(layer, visible)

    def ask_for(self, role: str) -> None:
        """Show the layer of a role of the active scan once there is one, though others come with it."""
        if self.session.scan is not None:
            self._stack.request(self.session.scan, role)

    def reveal(self, role: str, scan: "Scan | None" = None) -> None:
        """Show the layer of a role that was requested, in place of other colored ones; those there are none of yet."""
        scan = scan or self.session.scan
        if scan is not None:
            self._stack.request(scan, role)
            for other in visibility.with_marks(visibility.hidden_by(role)):
                self._stack.see(scan, other, False)
            # Marks that somebody hid while the layer was shown stay hidden.
            shown = (role,) if role in self.seen(scan) else visibility.with_marks((role,))
            for part in shown:
                self._stack.see(scan, part, True)

    # Place and gray scale

    def fit(self) -> None:
        """Fit the active scan into the canvas; a 3-D view is not changed."""
        ct = self.layer("ct")
        if ct is not None and self.viewer.dims.ndisplay == 2:
            views.fit(self.viewer, [ct])

    def go_to(self, position_mm: Any) -> None:
        """Move the slices to a world position."""
        views.go_to(self.viewer, napari_world.napari_from_world(position_mm))

    @property
    def window(self) -> tuple[float, float] | None:
        """Gray scale of the active scan in slices, HU."""
        return self._gray.window

    # Session -> layers

    def refresh(self, scan: "Scan", *roles: str) -> None:
        """Show, reuse or drop layers of a scan as its state and that of the view require."""
        watched = self.session.training.state
        training = watched.shown if watched is not None and watched.scan is scan else None
        view = replace(self.view, body_fraction=self.session.body_fraction, training=training)
        for role in roles:
            spec = scan_layers.layer_of(role, scan, view)
            if spec is None:
                self._stack.clear(scan, role)
            else:
                self._stack.show(scan, spec)
        if "warped" in roles:
            self._gray.match(scan)

    def set_view(self, **settings: Any) -> None:
        """Change settings of `ViewState`, and the layers of the active scan that they are about."""
        self.view = replace(self.view, **settings)
        if self.session.scan is not None:
            self.refresh(self.session.scan, *(role for name in settings for role in _SET_BY[name]))

    def mark(self, position_mm: Any) -> None:
        """Mark a position of the active scan; None removes the mark."""
        self.set_view(mark_mm=None if position_mm is None else tuple(float(v) for v in position_mm))

    def _refreshing(self, *roles: str) -> "Callable[[Scan], None]":
        def changed(scan: "Scan") -> None:
            self.refresh(scan, *(role for role in roles if role not in _PAINTED))

        return changed

    def _windows_changed(self, scan: "Scan") -> None:
        if self.layer("windows", scan) is not None:
            self.reveal("windows", scan)

    def _warped_changed(self, scan: "Scan") -> None:
        if self.layer("warped", scan) is not None:
            self.reveal("warped", scan)

    def _scan_added(self, scan: "Scan") -> None:
        if self._adopted is not None:
            self._stack.adopt(scan, self._adopted)
        else:
            self.refresh(scan, "ct")
            self.viewer.reset_view()
        self._gray.update()

    def _activated(self, scan: "Scan | None") -> None:
        ct = self.layer("ct")
        if ct is not None:
            self.viewer.layers.selection.active = ct
            self.fit()

    def _body_fraction_changed(self, fraction: float) -> None:
        for scan in self.session.scans:
            self.refresh(scan, *(role for role in scan_layers.THRESHOLDED if self.layer(role, scan) is not None))

    def _training_changed(self) -> None:
        state, before = self.session.training.state, self._checkpoint
        scan, shown = (None, None) if state is None else (state.scan, state.shown)
        now = None if scan is None or shown is None or scan not in self.session.scans else (scan, shown)
        self._checkpoint = now
        if before is not None and before[0] in self.session.scans and (now is None or now[0] is not before[0]):
            self.drop(before[0], *_TRAINING)
        if now is not None and now != before:
            self.refresh(now[0], *_TRAINING)
            if before is None or before[0] is not now[0]:
                self.reveal("training_pca", now[0])

    # Viewer -> session

    def _layer_inserted(self, event: Any) -> None:
        if not self._stack.busy:
            with self._stack.in_event_of_list():
                self._adopt(event.value)

    def _adopt(self, layer: "Layer") -> None:
        """Adopt a scan that was opened by the reader or the sample menu."""
        volume = layer.metadata.get(layer_specs.IS_SCAN)
        if isinstance(volume, Volume) and not any(scan.volume is volume for scan in self.session.scans):
            self._adopted = layer
            try:
                self.session.add(volume)
            finally:
                self._adopted = None

    def _layer_removed(self, event: Any) -> None:
        if self._stack.busy:
            return
        for scan in list(self.session.scans):
            if self._stack.forget(scan, event.value) == "ct":
                with self._stack.in_event_of_list():
                    self.session.remove(scan)

    def _dims_changed(self) -> None:
        """Orient after napari's own buttons, too: neither rolling, transposing nor 3-D may mirror the patient."""
        views.orient(self.viewer)
        self._gray.update()
