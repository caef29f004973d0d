"""Controller of the views of the active and the second scan: crosshair, gray scale, layers."""

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import traitlets
from numpy.typing import ArrayLike

from coralbay_core.errors import InputError

from ..display.scan_layers import initial_cursor
from ..display.visibility import colored_results, hidden_by, with_marks
from ..jobs import Job
from ..model.one_move import OneMove
from ..model.palette import WINDOWS
from ..model.scan import title_beside
from .binding import SHOWN, TRAINING_ROLES, ScanBinding
from .control import Control, when_done
from .panels.tool_bar import ToolBar
from .view import SliceView

if TYPE_CHECKING:
    from ..model.scan import Scan
    from ..model.training import CheckpointView


class ViewsControl(Control):
    """Controller of the views and the tool bar."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        self.tools = ToolBar()
        self.view, self.second_view = SliceView(), SliceView()
        for view in (self.view, self.second_view):
            view.layout = w.Layout(flex="1 1 660px", min_width="0", overflow="hidden")
        self.second_view.layout.display = "none"
        self._same = [traitlets.link((self.view, name), (self.second_view, name)) for name in ("zoom", "enlarged")]
        # On a narrow page the second scan is placed below the first.
        views = w.HBox([self.view, self.second_view], layout=w.Layout(flex_flow="row wrap"))
        self.box = w.VBox([self.tools.box, views])
        self.binding: ScanBinding | None = None
        self.second_binding: ScanBinding | None = None
        self._there: tuple[str, ...] = ()
        self._trained = False  # whether a checkpoint is shown
        self._moving = OneMove()
        self._connect()

    def _connect(self) -> None:
        self.on_event(self.session.scan_changed, self.show_scan)
        self.on_event(self.session.scan_removed, self._scan_gone)
        self.on_event(self.session.scan_added, self._show_titles)
        self.on_event(self.session.scan_removed, self._show_titles)
        session = self.session
        for signal in (
            session.heat_changed,
            session.segmentation_changed,
            session.windows.changed,
            session.pca_changed,
        ):
            self.on_event(signal, self._result_changed)
        self.on_event(session.heat_changed, self._show_titles)
        self.on_event(session.training.changed, self._training_changed)
        self.on_event(self.session.cursor_changed, self._cursor_set)
        self.on_event(self.session.match_changed, self._match_found)
        # A copy of the page wants nothing of the session.
        self.view.ready.connect(self.guarded(lambda: self.binding and self.binding.resend()))
        self.second_view.ready.connect(self.guarded(lambda: self.second_binding and self.second_binding.resend()))
        self.on_request(self.tools.tool_chosen, self.choose_tool)
        self.on_request(self.tools.window_chosen, self._choose_window)
        self.on_request(self.tools.layer_toggled, self._toggle)
        for view, name, react in (
            (self.view, "cursor", self._moved),
            (self.second_view, "cursor", self._second_moved),
            (self.view, "window", self._window_changed),
            (self.view, "hidden", self._hidden_changed),
        ):
            react = self.guarded(react)
            view.observe(lambda change, react=react: react(), name)

    def close(self) -> None:
        """Disconnect from session and views."""
        super().close()
        for link in self._same:
            link.unlink()
        for binding in self._bindings():
            binding.close()
        for view in (self.view, self.second_view):
            view.close()

    # Scans

    def show_scan(self, scan: "Scan | None") -> None:
        """Show a scan in the main view."""
        if self.second_binding is not None and self.second_binding.scan is scan:
            self.compare(None)
        before, self.binding = self.binding, None  # the old one must not hear of the new one's crosshair
        if before is not None:
            before.close()
        # The last position; without one the binding chooses an informative position.
        self.view.cursor = [] if scan is None or scan.cursor_mm is None else list(scan.cursor_mm)
        self.binding = None if scan is None else ScanBinding(self.session, scan, self.view, self._courier.deliver)
        self._there = colored_results(scan)
        self._scans_shown()

    def compare(self, scan: "Scan | None") -> None:
        """Show a second scan with the heat map of the same clicks and its crosshair at the best match."""
        if scan is not None and scan is self.session.scan:
            raise InputError("scan is the active one", where=scan.name, expected="another open scan")
        if scan is not None:
            self.session.link_heat(scan)
        self.session.link_cursor(scan)
        before, self.second_binding = self.second_binding, None
        if before is not None:
            before.close()
            if before.scan is not scan and before.scan in self.session.scans:
                self.session.unlink_heat(before.scan)
        if scan is not None:
            self.second_view.cursor = []
            self.second_binding = ScanBinding(self.session, scan, self.second_view, self._courier.deliver)
        self.second_view.layout.display = "none" if scan is None else ""
        self._scans_shown()

    def _bindings(self) -> "list[ScanBinding]":
        return [binding for binding in (self.binding, self.second_binding) if binding is not None]

    def _scans_shown(self) -> None:
        """Show scans in the same millimeters per pixel, each under its name."""
        extent = max((binding.extent_mm for binding in self._bindings()), default=0.0)
        self.view.extent_mm = self.second_view.extent_mm = extent
        self._show_titles()
        self._show_toggles()

    def _show_titles(self, scan: Any = None) -> None:
        """Update the titles with unique names of the scans."""
        scans = self.session.scans
        for binding in self._bindings():
            if binding.scan in scans:
                binding.view.title = title_beside(scans, binding.scan)

    def _scan_gone(self, scan: "Scan") -> None:
        if self.second_binding is not None and self.second_binding.scan is scan:
            self.compare(None)

    # Position and tools

    def go_to(self, position_mm: ArrayLike) -> None:
        """Move the crosshair of the main view to a world position."""
        if self.binding is not None:
            place = self.binding.inside(position_mm)
            with self._moving:
                self.session.cursor_mm = place  # type: ignore[assignment]  # three floats
                self.binding.go_to(place)

    def _moved(self) -> None:
        if self.binding is None or not self.view.cursor:
            return
        if not self._moving:
            try:
                self.go_to(self.view.cursor)
            except InputError:  # no position: the view goes back to where it was
                with self._moving:
                    self.binding.go_to(self.session.cursor_mm or initial_cursor(self.binding.scan))
                raise
        self.view.tell("heard")

    def _second_moved(self) -> None:
        if self.second_binding is None or not self.second_view.cursor:
            return
        if not self._moving:
            with self._moving:
                try:
                    self.second_binding.go_to(self.second_view.cursor)
                except InputError:
                    self.second_binding.go_to(initial_cursor(self.second_binding.scan))
                    raise
            if self.session.linked is self.second_binding.scan:
                self.session.linked_cursor_mm = self.second_view.cursor  # type: ignore[assignment]  # three floats
        self.second_view.tell("heard")

    def _cursor_set(self, position_mm: Any) -> None:
        """Follow a cursor that was set in code."""
        # The cursor of another scan may change before its view exists.
        shows_it = self.binding is not None and self.binding.scan is self.session.scan
        if self.binding is not None and shows_it and position_mm is not None and not self._moving:
            with self._moving:
                self.binding.go_to(position_mm)

    def _match_found(self, scan: "Scan") -> None:
        """Move the crosshair of the second scan to the matching position."""
        if self.second_binding is not None and self.second_binding.scan is scan and scan.matched is not None:
            with self._moving:
                self.second_binding.go_to(scan.matched.position_mm)

    def choose_tool(self, tool: str) -> None:
        """Set the function of the left mouse button."""
        self.view.tool = tool
        self.tools.show_tool(tool)

    def _choose_window(self, name: str) -> None:
        self.view.window = [WINDOWS[name].level_hu, WINDOWS[name].width_hu]

    def _window_changed(self) -> None:
        self.tools.show_window(*self.view.window)
        self.second_view.window = list(self.view.window)

    # Layers

    def reveal(self, role: str, *others: str) -> None:
        """Show a layer that was requested, and others with it, in place of other colored ones."""
        hidden = with_marks(hidden_by(role)) & {*SHOWN}
        self.view.hidden = sorted({*self.view.hidden, *hidden} - with_marks((role, *others)))

    def reveal_result(self, job: Job | None, role: str) -> None:
        """Show the result of a job once it is there: one that fails leaves the view as it was."""
        when_done(job, partial(self.reveal, role))

    def reveal_most_informative(self) -> None:
        """Show only the most informative of the scan's colored layers."""
        for role in colored_results(self.session.scan)[:1]:
            self.reveal(role)

    def shown(self) -> list[str]:
        """Return the roles of the visible layers."""
        return [role for role in SHOWN if role not in self.view.hidden]

    def _result_changed(self, scan: "Scan") -> None:
        """Show results that appear for the first time."""
        if scan is not self.session.scan:
            return
        before, self._there = self._there, colored_results(scan)
        for role in self._there:
            if role not in before:
                self.reveal(role)
        self._show_toggles()

    def _training_changed(self) -> None:
        """Show the first checkpoint of a watched training in place of other colors."""
        before, self._trained = self._trained, self.checkpoint is not None
        if self._trained and not before:
            self.reveal(*TRAINING_ROLES)
        elif before and not self._trained:
            self.reveal_most_informative()
        self._show_toggles()

    @property
    def checkpoint(self) -> "CheckpointView | None":
        """Checkpoint of a watched training that is shown on the active scan."""
        watched = self.session.training.state
        return watched.shown if watched is not None and watched.scan is self.session.scan else None

    def _show_toggles(self) -> None:
        """Offer switches for layers that not every scan has."""
        scan = self.session.scan
        windows = scan is not None and scan.windows is not None
        self.tools.show_optional({"windows": windows, "training_pca": self.checkpoint is not None})

    def _toggle(self, role: str, shown: bool) -> None:
        roles = with_marks(TRAINING_ROLES if role in TRAINING_ROLES else [role])
        self.view.hidden = sorted({*self.view.hidden} - roles if shown else {*self.view.hidden} | roles)

    def _hidden_changed(self) -> None:
        self.tools.show_layers(self.view.hidden)
        self.second_view.hidden = list(self.view.hidden)
        for binding in self._bindings():
            binding.refresh()
