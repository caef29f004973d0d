"""napari layers of scans by role: made, filled, removed, and kept in the order of their roles.

The viewer lists the layers of the active scan only. Those of other scans are kept aside and come back as they were.

A layer that comes and goes with clicks is emptied when there is nothing to show, and removed a moment later unless it
is filled again: napari builds its scene anew for each layer that is removed or added.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from ..display import visibility
from ..display.layer_names import layer_name
from ..display.layer_specs import ROLES, LayerSpec
from ..display.napari_world import napari_affine
from ..model.grids import viewing_grid
from .layer_data import empty, make_layer, update_points
from .layer_lock import LayerLock, place_in_patient
from .layer_removal import remove_layers
from .main_canvas import make_current

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from ..model.scan import Scan
    from ..session import Session

    Layers = WeakKeyDictionary[Scan, dict[str, Layer]]

_COME_AND_GO = ("clicks", "heat", "regions", "hover", "mark", "suggestions", "found")
# An emptied layer is removed after this time: who clears clicks often clicks again, and a new layer takes 0.4 s.
_EMPTY_MS = 5000
# Parts of a session file that colored layers are restored from.
_RESTORED_FROM = {"heat": {"clicks", "used", "origin"}, "segmentation": {"probe"}, "pca": {"pca"}}


class LayerStack:
    """Layers of all scans in one viewer.

    Layers are remembered by reference, so that a renamed layer stays known and a deleted one is made anew when needed.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    """

    visibility_changed = Signal(str)  # role of a layer that was shown or hidden
    activated = Signal(object)  # the Scan whose layers the viewer lists now, or None
    contrast_changed = Signal(object)  # layer of a scan

    def __init__(self, viewer: "napari.Viewer", session: "Session") -> None:
        self._viewer = viewer
        self._session = session
        self._layers: Layers = WeakKeyDictionary()
        self._resting: Layers = WeakKeyDictionary()  # emptied layers of `_COME_AND_GO`
        self._names: WeakKeyDictionary[Layer, tuple[str, str]] = WeakKeyDictionary()  # requested, and made unique
        self._palettes: WeakKeyDictionary[Layer, dict[int | None, str]] = WeakKeyDictionary()
        self._styles: WeakKeyDictionary[Layer, dict[str, Any]] = WeakKeyDictionary()
        self._watched: WeakKeyDictionary[Layer, list[Any]] = WeakKeyDictionary()
        self._requested: WeakKeyDictionary[Scan, str] = WeakKeyDictionary()  # colored role that was asked for last
        self._restored: WeakKeyDictionary[Scan, set[str]] = WeakKeyDictionary()  # roles, from a session file
        self._busy = False
        self._in_event = False
        self._sweep_timer = _single_shot(self._sweep, _EMPTY_MS)
        self._settle_timer = _single_shot(self._arrange, 0)
        self._lock = LayerLock(viewer)
        self.put_back = self._lock.put_back
        viewer.layers.events.removing.connect(self._before_removal)

    def close(self) -> None:
        """Disconnect from viewer and layers, which stay."""
        for timer in (self._sweep_timer, self._settle_timer):
            with suppress(RuntimeError):  # Qt may have deleted it before
                timer.stop()
        self._viewer.layers.events.removing.disconnect(self._before_removal)
        for emitter, slot in [link for links in self._watched.values() for link in links]:
            emitter.disconnect(slot)
        self._watched.clear()
        self._lock.release()

    # Look-up

    def layer(self, role: str, scan: "Scan | None" = None) -> "Layer | None":
        """Layer of a role for a scan (the active one), or None."""
        scan = scan or self._session.scan
        return self._layers.get(scan, {}).get(role) if scan else None

    def laid_out(self, role: str, scan: "Scan") -> "Layer | None":
        """Layer of a role, even if it is empty now."""
        return self.layer(role, scan) or self._resting.get(scan, {}).get(role)

    def layers_of(self, scan: "Scan") -> "tuple[Layer, ...]":
        """All layers of a scan, empty ones included."""
        return tuple((self._resting.get(scan, {}) | self._layers.get(scan, {})).values())

    def scan_layers(self) -> "list[Layer]":
        """Layers of the scans themselves."""
        return [layers["ct"] for layers in self._layers.values() if "ct" in layers]

    @property
    def busy(self) -> bool:
        """Whether a change of the layer list comes from here, and not from the user."""
        return self._busy

    # Layers come and go

    def adopt(self, scan: "Scan", layer: "Layer") -> None:
        """Take in a layer that the viewer has already as that of a scan itself."""
        self._layers.setdefault(scan, {})["ct"] = layer
        moved = place_in_patient(layer, napari_affine(viewing_grid(scan.volume.grid)))
        self._watch("ct", layer)
        if moved:
            self.put_back.emit(layer)

    def show(self, scan: "Scan", spec: LayerSpec) -> "Layer":
        """Show something in its role, in place of what the role showed before."""
        mine = self._layers.setdefault(scan, {})
        layer = mine.get(spec.role) or self._resting.get(scan, {}).pop(spec.role, None)
        if layer is None:
            return self._add(scan, mine, spec)
        if spec.kind == "points":
            update_points(layer, spec, restyle=self._styles.get(layer) != spec.style)
            self._styles[layer] = spec.style
        else:
            if layer.data is not spec.data:
                layer.data = spec.data
            if not np.array_equal(layer.affine.affine_matrix, spec.affine):
                self._lock.move(layer, spec.affine)  # each time it is set, napari computes all extents anew
        layer.metadata = {**layer.metadata, **spec.metadata}
        if spec.contrast_limits is not None:
            layer.contrast_limits = spec.contrast_limits
        self.recolor(layer, spec.colors)
        self._rename(layer, layer_name(scan.name, spec))
        if spec.role not in mine:
            mine[spec.role] = layer
            self._show_at_first(scan, layer, spec.role)
        return layer

    def clear(self, scan: "Scan", role: str) -> None:
        """Show nothing in a role."""
        mine = self._layers.get(scan, {})
        if role not in mine:
            return
        layer = mine.pop(role)
        if role in _COME_AND_GO:
            empty(layer)
            self._styles.pop(layer, None)
            self._resting.setdefault(scan, {})[role] = layer
            self._sweep_timer.start()
        else:
            self._remove(layer)

    def remove(self, scan: "Scan") -> None:
        """Remove all layers of a scan."""
        for known in (self._layers, self._resting):
            self._remove(*known.pop(scan, {}).values())

    def forget(self, scan: "Scan", layer: "Layer") -> str | None:
        """Forget a layer that the user removed; return its role if it was one of the scan's."""
        for mine in (self._layers.get(scan, {}), self._resting.get(scan, {})):
            for role in [role for role, known in mine.items() if known is layer]:
                del mine[role]
                return role
        return None

    def _add(self, scan: "Scan", mine: "dict[str, Layer]", spec: LayerSpec) -> "Layer":
        """Make a new layer, and list it if its scan is the active one."""
        name = layer_name(scan.name, spec)
        layer = make_layer(replace(spec, name=name), scan.volume)
        self._show_at_first(scan, layer, spec.role)
        mine[spec.role] = layer
        self._names[layer] = name, layer.name
        self._palettes[layer], self._styles[layer] = spec.colors, spec.style
        if scan is self._session.scan:
            self._list(scan, spec.role, layer)
        self._watch(spec.role, layer)
        return layer

    def _list(self, scan: "Scan", role: str, layer: "Layer") -> None:
        """Insert a layer at the place of its role; the selection stays, so that HU stay readable."""
        layers = self._viewer.layers
        selected, name = layers.selection.active, layer.name
        with self._own_changes():
            layers.append(layer)  # napari may make its name unique
            requested, made = self._names.get(layer, (None, None))
            if requested is not None and made == name:
                self._names[layer] = requested, layer.name
            stack = self._layers.get(scan, {}) | self._resting.get(scan, {})
            above = [stack[other] for other in ROLES[ROLES.index(role) + 1 :] if stack.get(other) in layers]
            if above:
                layers.move(len(layers) - 1, min(layers.index(other) for other in above))
            if selected in layers and role != "ct":
                layers.selection.active = selected

    def _remove(self, *removed: "Layer") -> None:
        with self._own_changes():
            remove_layers(self._viewer, removed)

    def _before_removal(self) -> None:
        make_current(self._viewer)

    def _sweep(self) -> None:
        """Remove the layers that are still empty."""
        for scan in list(self._resting):
            self._remove(*self._resting.pop(scan).values())

    def recolor(self, layer: "Layer", colors: dict[int | None, str]) -> None:
        """Set the colors of a label layer; to set the same again would draw all of it anew."""
        if colors and self._palettes.get(layer) != colors:
            layer.colormap = colors
            self._palettes[layer] = colors

    def _rename(self, layer: "Layer", name: str) -> None:
        """Follow the name of what is shown, unless the user chose a name."""
        before, made = self._names.get(layer, (None, None))
        if name != before and layer.name == made:
            layer.name = name
            self._names[layer] = name, layer.name

    def _watch(self, role: str, layer: "Layer") -> None:
        """Report changes that the user makes in napari's own controls."""
        # Slots must not hold the layer: it is a key of what holds them.
        links: list[Any] = [(layer.events.visible, lambda: self.visibility_changed.emit(role))]
        if role == "ct":
            links.append((layer.events.contrast_limits, lambda event: self.contrast_changed.emit(event.source)))
        self._lock.hold(layer)
        for emitter, slot in links:
            emitter.connect(slot)
        self._watched.setdefault(layer, []).extend(links)

    # The active scan

    @contextmanager
    def in_event_of_list(self) -> Iterator[None]:
        """Leave the layer list as it is until the event of the list that is being handled has ended."""
        self._in_event = True
        try:
            yield
        finally:
            self._in_event = False

    def activate(self, scan: "Scan | None") -> None:
        """List the layers of a scan, as they were when it was active last, and those of no other scan."""
        if self._in_event:
            self._settle_timer.start()
        else:
            self._arrange()

    def list_all(self) -> None:
        """List the layers of all scans, those of the active one visible."""
        for scan in self._session.scans:
            for role in ROLES:
                layer = self.layer(role, scan)
                if layer is not None and layer not in self._viewer.layers:
                    set_visible(layer, False)
                    self._list(scan, role, layer)

    def _arrange(self) -> None:
        scan = self._session.scan
        mine = {} if scan is None else self._resting.get(scan, {}) | self._layers.get(scan, {})
        with self._own_changes():
            for role in ROLES:  # first those that come: without any layer napari would forget the place
                if role in mine and mine[role] not in self._viewer.layers:
                    self._list(scan, role, mine[role])
            self._remove(
                *(layer for other in self._session.scans if other is not scan for layer in self.layers_of(other))
            )
        self.activated.emit(scan)

    # Visibility

    def see(self, scan: "Scan", role: str, seen: bool) -> None:
        """Show or hide the layer of a role if there is one, now or once its scan is the active one."""
        layer = self.layer(role, scan)
        if layer is not None:
            set_visible(layer, seen)

    def seen(self, scan: "Scan") -> frozenset[str]:
        """Roles of a scan whose layers are shown."""
        return frozenset(role for role, layer in self._layers.get(scan, {}).items() if layer.visible)

    def request(self, scan: "Scan", role: str) -> None:
        """Remember the role that was asked for last: its layer, or that of another role, may come later."""
        if role in visibility.COLORED:
            self._requested[scan] = role

    def _show_at_first(self, scan: "Scan", layer: "Layer", role: str) -> None:
        """Show a layer that is new or was empty.

        Of restored colored layers only the most informative is shown, or what was asked for since; colors that come
        after a more informative result was asked for stay hidden.
        """
        seen, asked = True, self._requested.get(scan)
        restored = self._is_restored(scan, role)
        if asked is not None and (restored or role in visibility.less_informative(asked)):
            seen = role not in visibility.hidden_by(asked)
        elif restored:
            seen = all(self.layer(other, scan) is None for other in visibility.more_informative(role))
            for other in visibility.less_informative(role):
                self.see(scan, other, False)
        set_visible(layer, seen)

    def _is_restored(self, scan: "Scan", role: str) -> bool:
        """Whether a colored layer appears for the first time, restored from a session file."""
        known = self._restored.setdefault(scan, set())
        if scan.restoring is None or role in known or not _RESTORED_FROM.get(role, set()) & scan.restoring.raw.keys():
            return False
        known.add(role)
        return True

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        """Changes of the layer list that are not the user's."""
        busy, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = busy


def _single_shot(slot: Callable[[], None], ms: int) -> QTimer:
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(slot)
    return timer


def set_visible(layer: "Layer", visible: bool) -> None:
    """Show or hide; skipped if unchanged, as setting it makes napari rebuild its scene."""
    if layer.visible != visible:
        layer.visible = visible
