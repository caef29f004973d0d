"""Synchronization of a slice view with one scan of a session: sends changed, visible slices only."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..display import slices
from ..display.layer_specs import LayerSpec
from ..display.scan_layers import OVERLAYS, changes, initial_cursor, layer_of
from ..display.view_state import ViewState
from ..model.grids import viewing_grid
from ..model.places import nearest_inside
from .view import SliceView

if TYPE_CHECKING:
    from ..model.scan import Scan
    from ..session import Session

POINT_ROLES = ("regions", "found", "clicks")
# Roles that the page has no controls for.
_LEFT_OUT = ("symmetry", "hover", "scores", "suggestions", "mark")
TRAINING_ROLES = ("training_pca", "training_heat")
SHOWN = ("ct", *(role for role in OVERLAYS if role not in _LEFT_OUT))
"""Roles of the layers of a view, from the bottom of the stack to its top."""


class ScanBinding:
    """One scan in one view.

    Parameters
    ----------
    session : Session
    scan : Scan
    view : SliceView
    soon : callable
        Schedules a function on the session's thread, so that many changes are sent once.
    """

    def __init__(self, session: "Session", scan: "Scan", view: SliceView, soon: Callable[[Callable[[], None]], None]):
        self.session, self.scan, self.view = session, scan, view
        self._soon = soon
        self._specs: dict[str, LayerSpec] = {}
        self._shown: dict[tuple[str, str], int | None] = {}
        self._state = ViewState(session.body_fraction)
        self._dirty: set[str] = set()
        self._waiting = False
        self._mark = 0
        self._links = [(signal, self._changed(*roles)) for signal, roles in changes(session)]
        self._links.append((session.body_fraction_changed, lambda fraction: self.refresh("heat", "training_heat")))
        self._links.append((session.training.changed, self._training_changed))
        for signal, slot in self._links:
            signal.connect(slot)
        view.known_axes = scan.volume.known_axes
        if not view.cursor:
            view.cursor = initial_cursor(scan).tolist()
        self.refresh(*SHOWN)

    def close(self) -> None:
        """Disconnect from session and view."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        for role in self._specs:
            self.view.drop_layer(role)
        self._specs.clear()
        self._dirty.clear()

    # What the view asks for

    def go_to(self, position_mm: ArrayLike) -> None:
        """Move the crosshair to a position, or to the nearest one inside the scan."""
        self.view.cursor = self.inside(position_mm).tolist()
        self._later()

    def inside(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the nearest position on the view's grid; one that is on it is returned as it is."""
        grid = self._specs["ct"].domain if "ct" in self._specs else self.scan.volume.grid
        return np.array(nearest_inside(grid, position_mm, margin=0))

    @property
    def extent_mm(self) -> float:
        """Longest side of the scan as it is shown."""
        grid = viewing_grid(self.scan.volume.grid)
        return float((np.array(grid.shape) * grid.spacing_mm).max())

    @property
    def window_shown(self) -> str | None:
        """Compared CT window whose map is shown, or `AGREEMENT`; None shows neither."""
        return self._state.window_shown

    @window_shown.setter
    def window_shown(self, name: str | None) -> None:
        self._state = replace(self._state, window_shown=name)
        self.refresh("windows")

    def refresh(self, *roles: str) -> None:
        """Create layers again from the scan, and send them."""
        self._dirty.update(roles)
        self._later()

    def resend(self) -> None:
        """Send all layers, for a new copy of the view on the page."""
        self._shown.clear()
        for role, spec in self._specs.items():
            self._introduce(role, spec)
        self._later()

    def _training_changed(self) -> None:
        watched = self.session.training.state
        shown = watched.shown if watched is not None and watched.scan is self.scan else None
        if shown is not self._state.training:
            self._state = replace(self._state, training=shown)
            self.refresh(*TRAINING_ROLES)

    def _changed(self, *roles: str) -> Callable[[Any], None]:
        def changed(scan: "Scan") -> None:
            if scan is self.scan:
                self.refresh(*roles)

        return changed

    # Sending

    def _later(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._soon(self.flush)

    def flush(self) -> None:
        """Bring the view up to date."""
        self._waiting = False
        if not self.view.cursor:
            return
        dirty = [role for role in SHOWN if role in self._dirty]
        self._dirty.clear()
        for role in dirty:
            self._make(role)
        visible = [role for role in self._specs if role not in self.view.hidden and role not in POINT_ROLES]
        cuts = [cut for role in visible for view in slices.VIEWS if (cut := self._cut(role, view)) is not None]
        if cuts:
            self._mark += 1
            self.view.show_slices(cuts, self._mark)

    def _make(self, role: str) -> None:
        spec = layer_of(role, self.scan, replace(self._state, body_fraction=self.session.body_fraction))
        if spec is not None:
            self._specs[role] = spec
            self._introduce(role, spec)
        elif self._specs.pop(role, None) is not None:
            self.view.drop_layer(role)
        for view in slices.VIEWS:
            self._shown.pop((role, view), None)

    def _introduce(self, role: str, spec: LayerSpec) -> None:
        if role not in POINT_ROLES:
            self.view.show_layer(spec)
        else:
            faces, border = spec.style["face_color"], spec.style["border_color"]
            style = {
                "faces": None if isinstance(faces, str) else faces,
                "borders": [border] * len(spec.data) if isinstance(border, str) else border,
                "texts": spec.style.get("text", {}).get("string"),
            }
            self.view.show_points(role, spec.data, style)

    def _cut(self, role: str, view: slices.View) -> tuple[str, Any, Any, str] | None:
        """Return the slice of a layer at the crosshair, unless the view already shows it."""
        spec = self._specs[role]
        plane = slices.plane_at(spec.grid, view, self.view.cursor)
        number = None if plane is None else plane.number
        if self._shown.get((role, view), -1) == number:
            return None
        self._shown[role, view] = number
        return role, plane, None if plane is None else slices.encoded(spec, plane), view
