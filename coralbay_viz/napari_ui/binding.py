"""Synchronization of the layers of a napari viewer with a session; adopts scans opened by napari itself."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from psygnal import Signal

from coralbay_core.spatial import LabelVolume, Volume

from ..display import layer_specs, napari_world
from ..display.layer_specs import LayerSpec
from ..model.palette import projection_limits_hu
from . import views
from .layer_data import empty, make_layer, update_points

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from ..jobs import Job
    from ..model.scan import Scan
    from ..session import Session

# To remove a layer stops napari for a third of a second (it collects garbage each time), and to show one again has it
# build its scene anew: what comes and goes with clicks is emptied when it has nothing to show, and used again.
_COME_AND_GO = ("clicks", "heat", "regions", "hover", "mark", "suggestions")
# Colored layers, the most telling first, and the parts of a session file that bring them back.
_COLORED = {"heat": {"clicks", "used", "origin"}, "segmentation": {"probe"}, "pca": {"pca"}}


class Binding:
    """Two-way synchronization of session and layers.

    Layers are held by reference: a renamed layer is still found, a deleted one is created again when needed.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    """

    window_changed = Signal(object)  # limits in HU, of the slices of the active scan
    visibility_changed = Signal(str)  # role of a layer that was shown or hidden

    def __init__(self, viewer: "napari.Viewer", session: "Session") -> None:
        self.viewer = viewer
        self.session = session
        self._layers: dict[int, dict[str, Layer]] = {}
        # By scan and role, as above: emptied layers of `_COME_AND_GO`.
        self._resting: dict[int, dict[str, Layer]] = {}
        self._palettes: WeakKeyDictionary[Layer, dict[int | None, str]] = WeakKeyDictionary()
        self._styles: WeakKeyDictionary[Layer, dict[str, Any]] = WeakKeyDictionary()
        self._busy = False
        self._adopted: Layer | None = None
        self._slice_limits: WeakKeyDictionary[Layer, Any] = WeakKeyDictionary()
        self._watched: WeakKeyDictionary[Layer, list[Any]] = WeakKeyDictionary()
        self._brought_back: WeakKeyDictionary[Scan, set[str]] = WeakKeyDictionary()  # roles, by a session file
        self._previewed: WeakSet[Scan] = WeakSet()  # whose segmentation is not shown as the session has it
        self._fit: Job | None = None
        self._was_visible: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()  # of scans that are not active
        self._session_links = (
            (session.scan_added, self._on_scan_added),
            (session.scan_removed, self._on_scan_removed),
            (session.scan_changed, self._on_scan_changed),
            (session.clicks_changed, self._on_clicks),
            (session.heat_changed, self._on_heat),
            (session.body_fraction_changed, self._on_share),
            (session.pca_changed, self._on_pca),
            (session.segmentation_changed, self._on_segmentation),
            (session.segmentation_previewed, self._on_preview),
            (session.job_started, self._on_job_started),
            (session.clusters_changed, self._on_clusters),
            (session.features_changed, self._on_clusters),
            (session.suggestions_changed, self._on_suggestions),
            (session.hover_changed, self._on_hover),
            (session.marked_changed, self._on_marked),
        )
        self._viewer_links = (
            (viewer.layers.events.inserted, self._on_layer_inserted),
            (viewer.layers.events.removing, _make_canvas_current),
            (viewer.layers.events.removed, self._on_layer_removed),
            (viewer.dims.events.ndisplay, self._on_dims),
            (viewer.dims.events.order, self._on_dims),
        )
        for signal, slot in self._session_links + self._viewer_links:
            signal.connect(slot)
        views.orient(viewer)

    def adopt_layers(self) -> None:
        """Adopt the scans that the viewer already shows."""
        for layer in list(self.viewer.layers):
            self._adopt(layer)

    def close(self) -> None:
        """Disconnect from session and viewer; the layers stay."""
        for signal, slot in self._session_links + self._viewer_links:
            signal.disconnect(slot)
        for emitter, slot in [link for links in self._watched.values() for link in links]:
            emitter.disconnect(slot)
        self._watched.clear()

    # What the panels ask for

    def layer(self, role: str, scan: "Scan | None" = None) -> "Layer | None":
        """Layer of a role for a scan (the active one), or None."""
        scan = scan or self.session.scan
        return self._layers.get(id(scan), {}).get(role) if scan else None

    def laid_out(self, role: str, scan: "Scan") -> "Layer | None":
        """Layer of a role, even if it is empty at present."""
        return self.layer(role, scan) or self._resting.get(id(scan), {}).get(role)

    def layers_of(self, scan: "Scan | None") -> "tuple[Layer, ...]":
        """All layers that show the session's state of a scan, including empty ones."""
        both = self._resting.get(id(scan), {}) | self._layers.get(id(scan), {})
        return tuple(both.values()) if scan else ()

    def fit(self) -> None:
        """Fit the active scan into the canvas; a 3-D view is not changed."""
        ct = self.layer("ct")
        if ct is not None and self.viewer.dims.ndisplay == 2:
            views.fit(self.viewer, [ct])

    def set_visible(self, role: str, visible: bool) -> None:
        """Show or hide a layer of the active scan, if there is one."""
        layer = self.layer(role)
        if layer is not None:
            _set_visible(layer, visible)

    def toggle(self, role: str) -> None:
        """Show a layer of the active scan if it is hidden, else hide it."""
        layer = self.layer(role)
        if layer is not None:
            layer.visible = not layer.visible

    @property
    def window(self) -> tuple[float, float] | None:
        """Gray scale of the active scan in slices, HU."""
        layer = self.layer("ct")
        if layer is None:
            return None
        low, high = self._slice_limits.get(layer, layer.contrast_limits)
        return float(low), float(high)

    def set_window(self, limits_hu: tuple[float, float]) -> None:
        """Set the gray scale of the active scan."""
        layer = self.layer("ct")
        if layer is not None and layer in self._slice_limits:
            self._slice_limits[layer] = limits_hu  # 3-D is shown: the slices will have it
            self.window_changed.emit(limits_hu)
        elif layer is not None:
            layer.contrast_limits = limits_hu

    def go_to(self, position_mm: Any) -> None:
        """Move the slices to a world position."""
        views.go_to(self.viewer, napari_world.napari_from_world(position_mm))

    def show_strokes(self, strokes: LabelVolume, scan: "Scan | None" = None) -> "Layer":
        """Show strokes of a scan (the active one) for editing; the layer's metadata hold their grid and names.

        Parameters
        ----------
        strokes : LabelVolume
            Its array is painted on from then on.
        scan : Scan, optional
        """
        return self._show(scan or self.session.scan, layer_specs.labels_spec(strokes, "strokes", opacity=0.9))

    def mark(self, position_mm: Any) -> None:
        """Mark a place of the active scan; None removes the mark."""
        spec = None if position_mm is None else layer_specs.mark_spec(position_mm)
        self._show_or_drop(self.session.scan, "mark", spec)

    def lay_out_clicks(self, scan: "Scan") -> None:
        """Prepare an empty layer for clicks: the first one of a window takes half a second, too long for a click."""
        if scan.pca is not None and not scan.clicks.now and "clicks" not in self._resting.get(id(scan), {}):
            self._show(scan, layer_specs.clicks_spec((), ()))
            self._rest(scan, "clicks")

    def show(self, scan: "Scan", spec: LayerSpec) -> "Layer":
        """Show a layer of a scan in place of the previous one of its role."""
        return self._show(scan, spec)

    def drop(self, scan: "Scan", role: str) -> None:
        """Remove the layer of a role."""
        self._show_or_drop(scan, role, None)

    # Session -> layers

    def _on_scan_added(self, scan: "Scan") -> None:
        if self._adopted is not None:
            self._layers[id(scan)] = {"ct": self._adopted}
            self._watch("ct", self._adopted)
        else:
            self._show(scan, layer_specs.ct_spec(scan.volume))
            self.viewer.reset_view()
        self._set_gray_scale()

    def _on_scan_removed(self, scan: "Scan") -> None:
        with self._own_changes():
            for mine in (self._layers, self._resting):
                for layer in mine.pop(id(scan), {}).values():
                    if layer in self.viewer.layers:
                        self.viewer.layers.remove(layer)
        self._previewed.discard(scan)

    def _on_scan_changed(self, scan: "Scan | None") -> None:
        """Show the layers that were visible when the scan was last active; hide those of other scans."""
        for other in self.session.scans:
            for layer in self._layers.get(id(other), {}).values() if other is not scan else ():
                self._was_visible.setdefault(layer, layer.visible)
                _set_visible(layer, False)
        for role, layer in self._layers.get(id(scan), {}).items():
            _set_visible(layer, self._was_visible.pop(layer, layer.visible or role == "ct"))
        ct = self.layer("ct")
        if ct is not None:
            self.viewer.layers.selection.active = ct
            self.fit()

    def _on_clicks(self, scan: "Scan") -> None:
        clicks = scan.clicks.now
        self._show_or_drop(
            scan, "clicks", layer_specs.clicks_spec(clicks.positive, clicks.negative) if clicks else None
        )

    def _on_heat(self, scan: "Scan") -> None:
        heat = scan.heat
        if heat is None:
            self._show_or_drop(scan, "heat", None)
            self._show_or_drop(scan, "regions", None)
            return
        limits = (heat.scale.score_of(self.session.body_fraction), heat.scale.high)
        self._show(scan, layer_specs.heat_spec(heat.shown, heat.grid, limits, f"similar - {scan.name}"))
        self._on_marked(scan)

    def _on_marked(self, scan: "Scan") -> None:
        if scan.heat is not None:
            places = [region.position_mm for region in scan.heat.regions]
            self._show(scan, layer_specs.regions_spec(places, scan.marked))

    def _on_hover(self, scan: "Scan") -> None:
        hover = scan.hover
        limits = None if hover is None else (hover.scale.score_of(self.session.body_fraction), hover.scale.high)
        self._show_or_drop(scan, "hover", hover and layer_specs.hover_spec(hover.shown, hover.grid, limits))

    def _on_share(self, share: float) -> None:
        layer, heat = self.layer("heat"), self.session.heat
        if layer is not None and heat is not None:
            layer.contrast_limits = layer_specs.heat_limits(heat.scale.score_of(share), heat.scale.high)

    def _on_pca(self, scan: "Scan") -> None:
        pca = scan.pca
        if pca is None:
            self._show_or_drop(scan, "pca", None)
            return
        names = {method: f"{method.upper()} - {scan.name}" for method in ("pca", "umap")}
        layer = self._show(scan, layer_specs.rgb_spec(pca.shown, pca.grid, names[pca.method]))
        if layer.name in names.values():  # a name of the user's own stays
            layer.name = names[pca.method]

    def _on_segmentation(self, scan: "Scan") -> None:
        self._previewed.discard(scan)
        self._show_or_drop(scan, "segmentation", scan.segmentation and layer_specs.labels_spec(scan.segmentation))
        self._on_suggestions(scan)  # a new segmentation has no suggestions yet

    def _on_preview(self, scan: "Scan", planes: "tuple[LabelVolume, ...]") -> None:
        """Show the first slices of a new segmentation; elsewhere the previous one stays."""
        layer, grid = self.layer("segmentation", scan), scan.label_grid
        fits = layer is not None and layer.data.shape == grid.shape
        # What the layer shows belongs to the session.
        data = layer.data.astype(planes[0].data.dtype) if fits else np.zeros(grid.shape, planes[0].data.dtype)
        for plane in planes:
            low = np.rint(grid.to_index(plane.grid.to_world((0, 0, 0)))).astype(int)
            data[tuple(slice(a, a + n) for a, n in zip(low, plane.shape, strict=True))] = plane.data
        self._show(scan, layer_specs.labels_spec(LabelVolume(data, grid, "segmentation", names=planes[0].names)))
        self._previewed.add(scan)

    def _on_job_started(self, job: "Job") -> None:
        if job.kind == "segmentation":
            self._fit = job
            job.finished.connect(self._on_fit_over)

    def _on_fit_over(self) -> None:
        """Remove preview slices of a fit that was stopped or failed, unless a newer fit is running."""
        if self._fit is None or self._fit.running:
            return
        self._fit = None  # it holds its result
        for scan in list(self._previewed):
            self._on_segmentation(scan)

    def _on_clusters(self, scan: "Scan") -> None:
        found = scan.clusters
        self._show_or_drop(scan, "clusters", found and layer_specs.labels_spec(found, "clusters"))

    def _on_suggestions(self, scan: "Scan") -> None:
        places = [suggestion.position_mm for suggestion in scan.suggestions]
        self._show_or_drop(scan, "suggestions", layer_specs.suggestions_spec(places) if places else None)

    def _watch(self, role: str, layer: "Layer") -> None:
        """Emit signals for changes that the user makes in napari's own controls."""
        # Slots must not hold the layer: it is a key of what holds them.
        links = [(layer.events.visible, lambda: self.visibility_changed.emit(role))]
        if role == "ct":
            links.append((layer.events.contrast_limits, self._on_contrast))
        for emitter, slot in links:
            emitter.connect(slot)
        self._watched.setdefault(layer, []).extend(links)

    def _on_contrast(self, event: Any) -> None:
        layer = event.source
        if layer is self.layer("ct") and layer not in self._slice_limits and self.viewer.dims.ndisplay == 2:
            self.window_changed.emit(self.window)

    def _show_or_drop(self, scan: "Scan", role: str, spec: LayerSpec | None) -> None:
        if spec is not None:
            self._show(scan, spec)
        elif role in self._layers.get(id(scan), {}):
            if role in _COME_AND_GO:
                self._rest(scan, role)
            else:
                with self._own_changes():
                    self.viewer.layers.remove(self._layers[id(scan)].pop(role))

    def _rest(self, scan: "Scan", role: str) -> None:
        layer = self._layers[id(scan)].pop(role)
        self._was_visible.pop(layer, None)
        empty(layer)
        self._styles.pop(layer, None)
        self._resting.setdefault(id(scan), {})[role] = layer

    def _show(self, scan: "Scan", spec: LayerSpec) -> "Layer":
        mine = self._layers.setdefault(id(scan), {})
        layer = mine.get(spec.role) or self._resting.get(id(scan), {}).pop(spec.role, None)
        if layer is None:
            return self._add(scan, mine, spec)
        if spec.kind == "points":
            update_points(layer, spec, restyle=self._styles.get(layer) != spec.style)
            self._styles[layer] = spec.style
        else:
            layer.data = spec.data
            if not np.array_equal(layer.affine.affine_matrix, spec.affine):
                layer.affine = spec.affine  # each time it is set, napari computes all extents anew
        layer.metadata = {**layer.metadata, **spec.metadata}
        if spec.contrast_limits is not None:
            layer.contrast_limits = spec.contrast_limits
        self.recolor(layer, spec.colors)
        if spec.role not in mine:
            mine[spec.role] = layer
            self._show_at_first(scan, layer, spec.role)
        return layer

    def _show_at_first(self, scan: "Scan", layer: "Layer", role: str) -> None:
        """Make a layer visible when it first has content, now or once its scan is active.

        Of the colored layers of a session file only one is shown: on top of each other they are unreadable.
        """
        seen = True
        if self._is_brought_back(scan, role):
            ranks = [*_COLORED]
            above, below = ranks[: ranks.index(role)], ranks[ranks.index(role) + 1 :]
            seen = all(self.layer(other, scan) is None for other in above)
            for lesser in (self.layer(other, scan) for other in below):
                if lesser is not None:
                    self._see(scan, lesser, False)
        self._see(scan, layer, seen)

    def _see(self, scan: "Scan", layer: "Layer", seen: bool) -> None:
        """Show or hide a layer, now or once its scan is the active one."""
        if scan is not self.session.scan:
            self._was_visible[layer] = seen
        _set_visible(layer, seen and scan is self.session.scan)

    def _is_brought_back(self, scan: "Scan", role: str) -> bool:
        """Whether a colored layer appears for the first time, restored from a session file."""
        come = self._brought_back.setdefault(scan, set())
        if scan.restoring is None or role in come or not _COLORED.get(role, set()) & scan.restoring.raw.keys():
            return False
        come.add(role)
        return True

    def recolor(self, layer: "Layer", colors: dict[int | None, str]) -> None:
        """Set the colors of a label layer; equal colors are skipped, as setting them redraws the layer."""
        if colors and self._palettes.get(layer) != colors:
            layer.colormap = colors
            self._palettes[layer] = colors

    def _add(self, scan: "Scan", mine: "dict[str, Layer]", spec: LayerSpec) -> "Layer":
        """Insert a new layer at the place of its role; the selection stays, so that HU stay readable."""
        selected = self.viewer.layers.selection.active
        layer = make_layer(spec, scan.volume)
        self._show_at_first(scan, layer, spec.role)
        with self._own_changes():
            self.viewer.add_layer(layer)
            mine[spec.role] = layer
            self._palettes[layer] = spec.colors
            self._styles[layer] = spec.style
            self._watch(spec.role, layer)
            stack = mine | self._resting.get(id(scan), {})
            above = [
                stack[role] for role in layer_specs.ROLES[layer_specs.ROLES.index(spec.role) + 1 :] if role in stack
            ]
            if above:
                at = min(self.viewer.layers.index(other) for other in above)
                self.viewer.layers.move(len(self.viewer.layers) - 1, at)
        if selected in self.viewer.layers and spec.role != "ct":
            self.viewer.layers.selection.active = selected
        return layer

    # Viewer -> session

    def _on_layer_inserted(self, event: Any) -> None:
        if not self._busy:
            self._adopt(event.value)

    def _adopt(self, layer: "Layer") -> None:
        """Adopt a scan that was opened by the reader or the sample menu."""
        volume = layer.metadata.get(layer_specs.IS_SCAN)
        if isinstance(volume, Volume) and not any(scan.volume is volume for scan in self.session.scans):
            self._adopted = layer
            try:
                self.session.add(volume, layer.metadata.get(layer_specs.SERIES))
            finally:
                self._adopted = None

    def _on_layer_removed(self, event: Any) -> None:
        if self._busy:
            return
        for scan in list(self.session.scans):
            for mine in (self._layers.get(id(scan), {}), self._resting.get(id(scan), {})):
                for role in [role for role, layer in mine.items() if layer is event.value]:
                    del mine[role]
                    if role == "ct":
                        self.session.remove(scan)

    def _on_dims(self) -> None:
        """Orient the camera after napari's own buttons (roll, transpose, 3-D), which must not mirror the patient."""
        views.orient(self.viewer)
        self._set_gray_scale()

    def _set_gray_scale(self) -> None:
        """Set the gray scale of a projection in 3-D; keep that of the slices meanwhile."""
        flat = self.viewer.dims.ndisplay == 2
        for ct in [mine["ct"] for mine in self._layers.values() if "ct" in mine]:
            if flat and ct in self._slice_limits:
                ct.contrast_limits = self._slice_limits.pop(ct)
            elif not flat and ct not in self._slice_limits:
                self._slice_limits[ct] = ct.contrast_limits
                ct.contrast_limits = projection_limits_hu(ct.data)

    @contextmanager
    def _own_changes(self) -> Any:
        """Mark changes of the layer list as made by the binding, not by the user."""
        busy, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = busy


def _set_visible(layer: "Layer", visible: bool) -> None:
    """Show or hide; skipped if unchanged, as setting it makes napari rebuild its scene."""
    if layer.visible != visible:
        layer.visible = visible


def _make_canvas_current() -> None:
    """Delete the OpenGL objects of a removed layer in their own context.

    napari 0.9 deletes them outside of painting, in whichever context Qt used last; with Mesa 22.3 the second frame
    after that reads a shader that is gone, and the process ends.
    """
    from vispy.gloo.context import get_current_canvas

    canvas = get_current_canvas()
    if canvas is not None:
        canvas.set_current()
