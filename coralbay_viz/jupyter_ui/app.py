"""The app in a notebook cell: creates the panels and connects them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from numpy.typing import ArrayLike

from ..jobs import Job, ThreadRunner
from ..session import Session
from .colors_control import ColorsControl
from .dispatcher import MainThreadDispatcher
from .files_control import FilesControl
from .library_control import LibraryControl
from .paint_control import PaintControl
from .scan_control import ScanControl
from .scorecard_control import ScorecardControl
from .similar_control import SimilarControl
from .status import StatusLine
from .training_control import TrainingControl
from .view import SliceView
from .views_control import ViewsControl
from .windows_control import WindowsControl

if TYPE_CHECKING:
    from ..display.figures import Picture
    from ..model.scan import Scan

_TABS = ("Scan", "Similar", "Colors", "Segment", "Library", "Score", "Train", "Files")
_TAB_OF_TOOL = {"ask": "Similar", "paint": "Segment", "erase": "Segment"}


class App:
    """CoralBay in a notebook cell; `coralbay_viz.show` makes one.

    Parameters
    ----------
    session : Session, optional
        By default a new one that works on threads: commands return at once, and `wait` waits for their jobs.
    settings
        Arguments of that `Session`.

    Attributes
    ----------
    session : Session
        Clicks and code call the same commands.
    """

    def __init__(self, session: Session | None = None, **settings: Any) -> None:
        self._courier = MainThreadDispatcher()
        self._own = session is None
        self.session = session or Session(ThreadRunner(self._courier.deliver), **settings)
        if session is None:
            self.session.scope = "here"  # who clicks in a view means what lies under the pointer
        self.status = StatusLine(self.session, self._courier)
        wires = (self.session, self._courier, self.status)
        self.views = ViewsControl(*wires)
        self.scans = ScanControl(*wires)
        self.windows = WindowsControl(self.views, *wires)
        self.similar = SimilarControl(self.views, self.windows.panel, *wires)
        self.paint = PaintControl(self.views, *wires)
        self.colors = ColorsControl(self.views, *wires)
        self.library = LibraryControl(*wires)
        self.scorecard = ScorecardControl(*wires)
        self.training = TrainingControl(*wires)
        self.files = FilesControl(*wires)
        for view in (self.views.view, self.views.second_view, self.colors.view):
            view.carry_out = self._courier.here
        self._panels = (
            self.scans, self.similar, self.colors, self.paint, self.library, self.scorecard, self.training, self.files,
        )  # fmt: skip
        self._parts = (self.status, self.views, self.windows, *self._panels)
        self._lay_out()
        self.status.on_event(self.session.features_changed, self._features_done)
        self.status.restored.connect(self.views.reveal_most_informative)
        self.views.view.observe(lambda change: self._show_tab_of(change["new"]), "tool")
        for part in (self.scans, self.similar, self.paint):
            part.show()
        self.views.show_scan(self.session.scan)
        self.views.reveal_most_informative()
        self.status.show_next_step()

    def _lay_out(self) -> None:
        self.tabs = w.Tab([part.panel.box for part in self._panels], titles=_TABS)
        rows = [self.views.box, self.status.panel.box, self.tabs]
        self.widget = w.VBox(rows, layout=w.Layout(width="100%"))

    def _features_done(self, scan: "Scan") -> None:
        """Select the tool Pick when features become available."""
        if scan is self.session.scan and scan.features is not None and self.view.tool == "look":
            self.views.choose_tool("ask")

    def _show_tab_of(self, tool: str) -> None:
        if tool in _TAB_OF_TOOL:
            self.show_tab(_TAB_OF_TOOL[tool])

    # In code

    @property
    def view(self) -> SliceView:
        """The view of the active scan: ``cursor`` in mm, ``window`` as level and width in HU, ``tool``."""
        return self.views.view

    def wait(self, *jobs: Job | None, timeout_s: float | None = None) -> None:
        """Wait for jobs, by default for all running ones; their results are available when it returns.

        Interrupting the kernel also stops the jobs.

        Raises
        ------
        TimeoutError
            If that takes longer than `timeout_s`.
        Exception
            The error of a failed job.
        """
        wanted = [job for job in jobs if job is not None]
        seen = wanted or list(self.status.running.values())

        def going_on() -> bool:
            # A job may start another one: loading a session asks all its questions again.
            new = [] if wanted else [job for job in self.status.running.values() if job not in seen]
            seen.extend(new)
            return any(job.running for job in seen)

        try:
            if not self._courier.wait(going_on, timeout_s):
                raise TimeoutError(f"jobs are still running after {timeout_s:g} s")
        except KeyboardInterrupt:
            self.session.cancel()
            raise
        for job in seen:
            if job.error is not None:
                raise job.error

    def plot(
        self, position_mm: ArrayLike | None = None, show: Sequence[str] | None = None, **settings: Any
    ) -> "Picture":
        """Draw a still picture of the view: `Session.plot` at the crosshair, in the view's gray scale."""
        show = self.views.shown() if show is None else show
        place = self.view.cursor if position_mm is None and self.view.cursor else position_mm
        return self.session.plot(place, show, **{"window": tuple(self.view.window)} | settings)

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front, such as ``Segment``."""
        self.tabs.selected_index = _TABS.index(name)

    def go_to(self, position_mm: ArrayLike) -> None:
        """Put the crosshair at a world position."""
        self.views.go_to(position_mm)

    def compare(self, scan: "Scan | None") -> None:
        """Show a second open scan with the heat map of the same clicks; None closes it."""
        self.views.compare(scan)
        self.similar.show_others()

    def close(self) -> None:
        """Remove the app from the page; close its session unless it was passed in."""
        for part in self._parts:
            part.close()
        if self._own:
            self.session.close()
        self._courier.close()
        self.widget.close()

    def _repr_mimebundle_(self, **settings: Any) -> Any:
        """Return the app with a still picture, for places without widgets (GitHub, nbconvert)."""
        data = dict(self.widget._repr_mimebundle_(**settings))
        # Without its name, which often is a patient's: notebooks are saved with their output, and passed on.
        data["text/plain"] = f"CoralBay: {'a scan' if self.session.volume else 'no scan'} is open"
        if self.session.scan is not None:
            data["image/png"] = self.plot()._repr_png_()
        return data
