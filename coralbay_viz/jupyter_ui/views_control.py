"""Views of the active scan and of another one beside it: which scan they show, crosshair, gray scale, layers."""

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from numpy.typing import ArrayLike

from coralbay_core.errors import InputError

from ..display.visibility import colored_results, hidden_by, with_marks
from ..jobs import Job
from ..model.palette import WINDOWS
from ..model.scan import unique_names
from .binding import SHOWN, ScanBinding
from .control import Control, when_done
from .panels.tool_bar import ToolBar
from .view import SliceView

if TYPE_CHECKING:
    from ..model.scan import Scan


class ViewsControl(Control):
    """The views and the bar above them."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        self.tools = ToolBar()
        self.view, self.beside_view = SliceView(), SliceView()
        for view in (self.view, self.beside_view):
            view.layout = w.Layout(flex="1 1 660px", min_width="0", overflow="hidden")
        self.beside_view.layout.display = "none"
        # Where two rows of three views would be too small beside each other, one stands below the other.
        views = w.HBox([self.view, self.beside_view], layout=w.Layout(flex_flow="row wrap"))
        self.box = w.VBox([self.tools.box, views])
        self.binding: ScanBinding | None = None
        self.beside: ScanBinding | None = None
        self._there: tuple[str, ...] = ()
        self._connect()

    def _connect(self) -> None:
        self.hear(self.session.scan_changed, self.show_scan)
        self.hear(self.session.scan_removed, self._scan_gone)
        self.hear(self.session.scan_added, self._show_titles)
        self.hear(self.session.scan_removed, self._show_titles)
        session = self.session
        for signal in (
            session.heat_changed,
            session.segmentation_changed,
            session.windows.changed,
            session.pca_changed,
        ):
            self.hear(signal, self._result_changed)
        self.hear(self.session.cursor_changed, self._cursor_set)
        self.hear(self.session.match_changed, self._match_found)
        # A copy of the page wants nothing of the session.
        self.view.ready.connect(self.told(lambda: self.binding and self.binding.resend()))
        self.beside_view.ready.connect(self.told(lambda: self.beside and self.beside.resend()))
        self.obey(self.tools.tool_chosen, self.choose_tool)
        self.obey(self.tools.window_chosen, self._choose_window)
        self.obey(self.tools.layer_toggled, self._toggle)
        for view, name, react in (
            (self.view, "cursor", self._moved),
            (self.beside_view, "cursor", self._moved_beside),
            (self.view, "window", self._window_changed),
            (self.view, "hidden", self._hidden_changed),
        ):
            told = self.told(react)
            view.observe(lambda change, told=told: told(), name)

    def close(self) -> None:
        super().close()
        for binding in (self.binding, self.beside):
            if binding is not None:
                binding.close()
        for view in (self.view, self.beside_view):
            view.close()

    # Scans

    def show_scan(self, scan: "Scan | None") -> None:
        """Show another scan in the main view."""
        if self.beside is not None and self.beside.scan is scan:
            self.compare(None)
        before, self.binding = self.binding, None  # the old one must not hear of the new one's crosshair
        if before is not None:
            before.close()
        # Where it was left; without a place the binding starts at a telling one.
        self.view.cursor = [] if scan is None or scan.cursor_mm is None else list(scan.cursor_mm)
        self.binding = None if scan is None else ScanBinding(self.session, scan, self.view, self._courier.deliver)
        self._there = colored_results(scan)
        self._show_titles()

    def compare(self, scan: "Scan | None") -> None:
        """Show a scan beside the active one, lit up by the same clicks, its crosshair where the best match is."""
        if scan is not None and scan is self.session.scan:
            raise InputError("scan is the active one", where=scan.name, expected="another open scan")
        if scan is not None:
            self.session.link_heat(scan)
        self.session.link_cursor(scan)
        before, self.beside = self.beside, None
        if before is not None:
            before.close()
            if before.scan is not scan and before.scan in self.session.scans:
                self.session.unlink_heat(before.scan)
        if scan is not None:
            self.beside_view.cursor = []
            self.beside = ScanBinding(self.session, scan, self.beside_view, self._courier.deliver)
        self.beside_view.layout.display = "none" if scan is None else ""
        self._show_titles()

    def _show_titles(self, scan: Any = None) -> None:
        """Names by which the open scans can be told apart."""
        scans = self.session.scans
        for binding in (self.binding, self.beside):
            if binding is not None and binding.scan in scans:
                binding.view.title = unique_names(scans)[scans.index(binding.scan)]

    def _scan_gone(self, scan: "Scan") -> None:
        if self.beside is not None and self.beside.scan is scan:
            self.compare(None)

    # Where and how

    def go_to(self, position_mm: ArrayLike) -> None:
        """Put the crosshair of the main view at a world position."""
        if self.binding is not None:
            self.session.cursor_mm = self.binding.inside(position_mm)
            self.binding.go_to(position_mm)

    def _moved(self) -> None:
        if self.binding is not None and self.view.cursor:
            self.go_to(self.view.cursor)
            self.view.tell("heard")

    def _moved_beside(self) -> None:
        if self.beside is not None and self.beside_view.cursor:
            self.beside.go_to(self.beside_view.cursor)
            self.beside_view.tell("heard")

    def _cursor_set(self, position_mm: Any) -> None:
        """The session's cursor was set in code."""
        # Another scan's cursor is told of before its view is there.
        if self.binding is not None and self.binding.scan is self.session.scan and position_mm is not None:
            self.binding.go_to(position_mm)

    def _match_found(self, scan: "Scan") -> None:
        """The other scan follows to where the place under the crosshair was found in it."""
        if self.beside is not None and self.beside.scan is scan and scan.matched is not None:
            self.beside.go_to(scan.matched.position_mm)

    def choose_tool(self, tool: str) -> None:
        """What the left button does from now on."""
        self.view.tool = tool
        self.tools.show_tool(tool)

    def _choose_window(self, name: str) -> None:
        self.view.window = [WINDOWS[name].level_hu, WINDOWS[name].width_hu]

    def _window_changed(self) -> None:
        self.tools.show_window(*self.view.window)
        self.beside_view.window = list(self.view.window)

    # Layers

    def reveal(self, role: str, *others: str) -> None:
        """Show a layer that was requested, and others with it, in place of other colored ones."""
        hidden = with_marks(hidden_by(role)) & {*SHOWN}
        self.view.hidden = sorted({*self.view.hidden, *hidden} - with_marks((role, *others)))

    def reveal_result(self, job: Job | None, role: str) -> None:
        """Show the result of a job once it is there: one that fails leaves the view as it was."""
        when_done(job, partial(self.reveal, role))

    def reveal_telling(self) -> None:
        """Of the colored layers of the scan show only the most telling."""
        for role in colored_results(self.session.scan)[:1]:
            self.reveal(role)

    def shown(self) -> list[str]:
        """Roles of the layers that are not hidden."""
        return [role for role in SHOWN if role not in self.view.hidden]

    def _result_changed(self, scan: "Scan") -> None:
        """What is there for the first time is shown, whoever asked for it."""
        if scan is not self.session.scan:
            return
        before, self._there = self._there, colored_results(scan)
        for role in self._there:
            if role not in before:
                self.reveal(role)

    def _toggle(self, role: str, shown: bool) -> None:
        roles = with_marks([role])
        self.view.hidden = sorted({*self.view.hidden} - roles if shown else {*self.view.hidden} | roles)

    def _hidden_changed(self) -> None:
        self.tools.show_layers(self.view.hidden)
        self.beside_view.hidden = list(self.view.hidden)
        for binding in (self.binding, self.beside):
            if binding is not None:
                binding.refresh()
