"""The app in a notebook cell: views and panels on one side, a session on the other, and wires between them."""

from collections.abc import Callable, Sequence
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import numpy as np
from numpy.typing import ArrayLike

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.volume import LabelVolume

from .. import brush, render, work
from ..colors import WINDOWS, class_color
from ..jobs import Job, ThreadRunner
from ..keeping import AUTOSAVE_LANE
from ..picture import Picture
from ..probing import has_two_classes
from ..session import Session
from .binding import ScanBinding
from .courier import Courier
from .panels import ColorPanel, FilePanel, PaintPanel, ScanPanel, SimilarPanel, StatusLine, ToolBar
from .scatter import ScatterBinding
from .view import ScatterView, SliceView

if TYPE_CHECKING:
    from ..state import Scan

# What a lane of jobs does, for people.
_DOES = {
    "open": "Reading the scan",
    "load": "Loading the session",
    "features": "Computing features",
    "pca": "Turning features into colors",
    "scatter": "Laying out points",
    "segmentation": "Fitting the probe",
    "statistics": "Measuring",
    "save": "Saving",
}
_TABS = ("Scan", "Similar", "Paint", "Colors", "Files")


def _told(command: Callable[..., Any]) -> Callable[..., Any]:
    """A wish from the page: carried out on the session's thread, and an error of it becomes a line of text.

    Kernels handle messages of widgets on threads of their own, even while a cell runs.
    """

    @wraps(command)
    def told(self: "App", *args: Any) -> None:
        def carry_out() -> None:
            try:
                command(self, *args)
            except CoralBayError as error:
                self.show_error(error)

        if self._courier.at_home:
            carry_out()
        else:
            self._courier.deliver(carry_out)

    return told


class App:
    """CoralBay in a notebook cell; `show` makes one.

    Parameters
    ----------
    session : Session, optional
        By default one of its own, which works on threads: then commands return at once and `wait` waits for them.
    settings
        Of that session, as `Session` takes them.

    Attributes
    ----------
    session : Session
        What a click does and what a line of code does are the same commands of it.
    view : SliceView
        Of the active scan; ``view.cursor`` is the crosshair in mm.
    """

    def __init__(self, session: Session | None = None, **settings: Any) -> None:
        self._courier = Courier()
        self.session = session or Session(ThreadRunner(self._courier.deliver), **settings)
        self._own = session is None
        self._jobs: dict[str, Job] = {}
        self._binding: ScanBinding | None = None
        self._beside: ScanBinding | None = None
        self._links: list[tuple[Any, Callable[..., Any]]] = []
        self.view, self.other_view, self.scatter_view = SliceView(), SliceView(), ScatterView()
        self._scatter = ScatterBinding(self.session, self.scatter_view)
        self._lay_out()
        self._connect_page()
        self._connect_session()
        self._show_scan(self.session.scan)

    # In code

    def wait(self, *jobs: Job | None, timeout_s: float | None = None) -> None:
        """Wait for jobs, by default for all that run; what they change is there when it returns.

        Interrupting the kernel stops the jobs, too.

        Raises
        ------
        TimeoutError
            If that takes longer than `timeout_s`.
        Exception
            What one of the jobs failed with.
        """
        wanted = [job for job in jobs if job is not None]

        def going_on() -> bool:
            return any(job.running for job in (wanted or self._jobs.values()))

        known = list(self._jobs.values())
        try:
            if not self._courier.wait(going_on, timeout_s):
                raise TimeoutError(f"still at work after {timeout_s:g} s")
        except KeyboardInterrupt:
            self.session.cancel()
            raise
        for job in wanted or known:
            if job.error is not None:
                raise job.error

    def plot(self, position_mm: ArrayLike | None = None, show: Sequence[str] | None = None, **settings: Any) -> Picture:
        """A still picture of what the view shows: `Session.plot` at the crosshair, in the view's gray scale."""
        place = self.view.cursor if position_mm is None and self.view.cursor else position_mm
        return self.session.plot(place, show, **{"window": tuple(self.view.window)} | settings)

    def go_to(self, position_mm: ArrayLike) -> None:
        """Put the crosshair at a world position."""
        if self._binding is not None:
            self._binding.go_to(position_mm)

    def compare(self, scan: "Scan | None") -> None:
        """Show another open scan beside the active one, lit up by the same clicks; None shows none."""
        session = self.session
        if self._beside is not None:
            before = self._beside.scan
            self._beside.close()
            self._beside = None
            if before in session.scans and before.origin is not None:
                session.answer_own(before)
        if scan is not None:
            if scan is session.scan:
                raise InputError("scan is the active one", where=scan.name, expected="another open scan")
            session.answer_in(scan)
            self.other_view.cursor = []
            self._beside = ScanBinding(session, scan, self.other_view, self._soon)
        self.other_view.layout.display = "none" if scan is None else ""
        self._show_others()

    def close(self) -> None:
        """Take the app off the page; a session of its own is closed, too."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        for binding in (self._binding, self._beside, self._scatter):
            if binding is not None:
                binding.close()
        if self._own:
            self.session.close()
        self._courier.close()
        self.widget.close()
        for view in (self.view, self.other_view, self.scatter_view):
            view.close()

    def _repr_mimebundle_(self, **settings: Any) -> Any:
        """The app; where nothing can show widgets (GitHub, nbconvert), a still picture of this moment."""
        data = dict(self.widget._repr_mimebundle_(**settings))
        data["text/plain"] = f"CoralBay: {self.session.volume.name if self.session.volume else 'no scan is open'}"
        if self.session.scan is not None:
            data["image/png"] = self.plot()._repr_png_()
        return data

    # Layout

    def _lay_out(self) -> None:
        self.tools, self.status = ToolBar(), StatusLine()
        self.scan_panel = ScanPanel(work.model_names(), self.session.model)
        self.similar_panel = SimilarPanel(self.session.share)
        self.paint_panel = PaintPanel()
        self.color_panel = ColorPanel(self.scatter_view, umap=find_spec("umap") is not None)
        self.file_panel = FilePanel()
        panels = (self.scan_panel, self.similar_panel, self.paint_panel, self.color_panel, self.file_panel)
        self.tabs = w.Tab([panel.box for panel in panels], titles=_TABS)
        for view in (self.view, self.other_view):
            view.layout = w.Layout(flex="1 1 0", min_width="0", overflow="hidden")
        self.other_view.layout.display = "none"
        views = w.HBox([self.view, self.other_view])
        self.widget = w.VBox([self.tools.box, views, self.status.box, self.tabs], layout=w.Layout(width="100%"))

    # From the page to the session

    def _connect_page(self) -> None:
        tools, scan, similar, paint = self.tools, self.scan_panel, self.similar_panel, self.paint_panel
        for signal, slot in (
            (self.view.ready, self._view_ready),
            (self.view.picked, self._picked),
            (self.view.stroked, self._stroked),
            (self.view.undo_wanted, self._undo),
            (self.other_view.ready, self._other_ready),
            (self.scatter_view.ready, self._scatter_ready),
            (self.scatter_view.lassoed, self._lassoed),
            (self.scatter_view.picked, self._point_picked),
            (tools.tool_chosen, self._choose_tool),
            (tools.window_chosen, self._choose_window),
            (tools.layer_toggled, self._toggle_layer),
            (self.status.cancel_wanted, self._cancel),
            (scan.open_wanted, self._open),
            (scan.scan_chosen, self._choose_scan),
            (scan.model_chosen, self._choose_model),
            (scan.compute_wanted, self._compute),
            (similar.undo_wanted, self._undo_click),
            (similar.clear_wanted, self._clear_clicks),
            (similar.share_chosen, self._choose_share),
            (similar.weights_chosen, self._choose_weights),
            (similar.region_chosen, self._go_to_region),
            (similar.compare_chosen, self._choose_other),
            (paint.brush_changed, self._show_brush),
            (paint.name_chosen, self._name_class),
            (paint.undo_wanted, self._undo_stroke),
            (paint.redo_wanted, self._redo_stroke),
            (paint.segment_wanted, self._segment),
            (paint.measure_wanted, self._measure),
            (self.color_panel.colors_wanted, self._want_colors),
            (self.color_panel.scatter_wanted, self._want_scatter),
            (self.color_panel.everything_wanted, self._select_everything),
            (self.file_panel.save_wanted, self._save),
            (self.file_panel.load_wanted, self._load),
        ):
            signal.connect(slot)
        self.view.observe(lambda change: self._cursor_moved(), "cursor")
        self.other_view.observe(lambda change: self._other_moved(), "cursor")
        self.view.observe(lambda change: self._window_changed(), "window")
        self.view.observe(lambda change: self._hidden_changed(), "hidden")

    @_told
    def _view_ready(self) -> None:
        if self._binding is not None:
            self._binding.resend()

    @_told
    def _other_ready(self) -> None:
        if self._beside is not None:
            self._beside.resend()

    @_told
    def _scatter_ready(self) -> None:
        self._scatter.show()

    @_told
    def _cursor_moved(self) -> None:
        if self._binding is not None and self.view.cursor:
            self._binding.go_to(self.view.cursor)
            self._scatter.show_place(self.view.cursor)

    @_told
    def _other_moved(self) -> None:
        if self._beside is not None and self.other_view.cursor:
            self._beside.go_to(self.other_view.cursor)

    @_told
    def _picked(self, position_mm: list[float], negative: bool) -> None:
        # The edge of a picture lies half a voxel beyond the last centre.
        place = self._binding.inside(position_mm)
        self.session.click(place, negative)
        self.go_to(place)
        # One colored layer at a time: a heat map over colors or labels says nothing.
        self._reveal("heat", instead_of=("pca", "segmentation"))
        if self.session.features is None:
            self.status.say("The click is kept; compute features to see what looks alike.")

    @_told
    def _stroked(self, points_mm: Any, view: str) -> None:
        session, panel = self.session, self.paint_panel
        labels = self._strokes()
        through = None if panel.ball.value else render.VIEWS.index(view)
        value = 0 if self.view.tool == "erase" else panel.label.value
        brush.paint(labels.data, labels.grid, points_mm, panel.radius.value, value, through)
        session.paint(labels)
        self._reveal("strokes", "segmentation", instead_of=("heat", "pca"))
        if panel.live.value and session.features is not None and has_two_classes(session.scan.probing.strokes.now):
            session.fit()

    def _strokes(self) -> LabelVolume:
        """A copy of what is painted on the active scan."""
        scan = self.session.scan
        if scan.probing.strokes.now is not None:
            return scan.probing.strokes.now.labels
        return LabelVolume(np.zeros(scan.label_grid.shape, np.uint8), scan.label_grid, name="strokes", names={})

    @_told
    def _undo(self) -> None:
        painting = self.view.tool in ("paint", "erase")
        (self.session.undo_strokes if painting else self.session.undo)()

    @_told
    def _undo_click(self) -> None:
        self.session.undo()

    @_told
    def _clear_clicks(self) -> None:
        self.session.clear_clicks()

    @_told
    def _undo_stroke(self) -> None:
        self.session.undo_strokes()

    @_told
    def _redo_stroke(self) -> None:
        self.session.redo_strokes()

    @_told
    def _choose_tool(self, tool: str) -> None:
        self.view.tool = tool
        if tool in ("paint", "erase"):
            self.tabs.selected_index = _TABS.index("Paint")
        elif tool == "ask":
            self.tabs.selected_index = _TABS.index("Similar")

    @_told
    def _choose_window(self, name: str) -> None:
        self.view.window = self.other_view.window = [WINDOWS[name].level_hu, WINDOWS[name].width_hu]

    @_told
    def _window_changed(self) -> None:
        self.tools.show_window(*self.view.window)
        self.other_view.window = list(self.view.window)

    @_told
    def _toggle_layer(self, role: str, shown: bool) -> None:
        self._reveal(role) if shown else self._hide(role)

    def _reveal(self, *roles: str, instead_of: Sequence[str] = ()) -> None:
        also = {"heat": "regions"}
        shown = {*roles, *(also[role] for role in roles if role in also)}
        hidden = {*self.view.hidden, *instead_of, *(also[role] for role in instead_of if role in also)}
        self.view.hidden = self.other_view.hidden = sorted(hidden - shown)

    def _hide(self, role: str) -> None:
        self._reveal(instead_of=(role,))

    @_told
    def _hidden_changed(self) -> None:
        self.tools.show_layers(self.view.hidden)
        for binding in (self._binding, self._beside):
            if binding is not None:
                binding.refresh()

    @_told
    def _cancel(self) -> None:
        self.session.cancel()

    @_told
    def _open(self, path: str) -> None:
        self.session.open(path)

    @_told
    def _choose_scan(self, number: int | None) -> None:
        if number is not None:
            self.session.activate(self.session.scans[number])

    @_told
    def _choose_model(self, name: str) -> None:
        self.session.model = name

    @_told
    def _compute(self) -> None:
        self.session.compute()

    @_told
    def _choose_share(self, share: float) -> None:
        self.session.share = share

    @_told
    def _choose_weights(self, weights: Any) -> None:
        self.session.weights = weights

    @_told
    def _go_to_region(self, number: int | None) -> None:
        heat = self.session.heat
        if number is not None and heat is not None and number < len(heat.regions):
            self.go_to(heat.regions[number].position_mm)

    @_told
    def _choose_other(self, number: int | None) -> None:
        self.compare(None if number is None else self.session.scans[number])

    @_told
    def _show_brush(self) -> None:
        self.view.brush_mm = self.paint_panel.radius.value
        self.view.brush_color = class_color(self.paint_panel.label.value)
        self._show_names()

    @_told
    def _name_class(self, name: str) -> None:
        labels = self._strokes()
        names = dict(labels.names) | {self.paint_panel.label.value: name}
        names = {value: text for value, text in names.items() if text}
        self.session.paint(LabelVolume(labels.data, labels.grid, name="strokes", names=names))

    @_told
    def _segment(self) -> None:
        self._reveal("segmentation", instead_of=("heat", "pca"))
        self.session.fit()

    @_told
    def _measure(self) -> None:
        self.session.compute_statistics()

    @_told
    def _want_colors(self, method: str) -> None:
        self._reveal("pca", instead_of=("heat", "segmentation"))
        (self.session.compute_umap if method == "umap" else self.session.compute_pca)()

    @_told
    def _want_scatter(self, method: str) -> None:
        self.session.compute_scatter(method)

    @_told
    def _select_everything(self) -> None:
        self.session.select(None)

    @_told
    def _lassoed(self, corners: Any) -> None:
        mask = self.session.lasso(corners)
        millilitres = float(np.count_nonzero(mask.data) * mask.grid.voxel_ml)
        self.status.say(f"The lasso holds {millilitres:.0f} ml of the body; colors are about them now.")

    @_told
    def _point_picked(self, at: list[float]) -> None:
        self.go_to(self.session.place_of(at))

    @_told
    def _save(self, kind: str, path: str) -> None:
        session = self.session
        saves = {"heat": session.save_heat, "pca": session.save_pca, "seg": session.save_segmentation}
        (saves | {"session": session.save})[kind](path)

    @_told
    def _load(self, path: str) -> None:
        self.session.load(path)

    # From the session to the page

    def _connect_session(self) -> None:
        session = self.session
        self._links = [
            (session.scan_changed, self._show_scan),
            (session.scan_added, lambda scan: self._show_scans()),
            (session.scan_removed, self._scan_gone),
            (session.features_changed, self._features_done),
            (session.clicks_changed, self._show_similar),
            (session.heat_changed, self._show_similar),
            (session.share_changed, self.similar_panel.show_share),
            (session.weights_changed, self.similar_panel.show_weights),
            (session.segmentation_changed, self._show_paint),
            (session.strokes_changed, self._show_paint),
            (session.statistics_changed, self._show_statistics),
            (session.model_changed, self._show_model),
            (session.job_started, self._job_started),
            (session.saved, lambda path: self.status.say(f"Saved {path}")),
            (session.failed, self.show_error),
        ]
        for signal, slot in self._links:
            signal.connect(slot)

    def _soon(self, call: Callable[[], None]) -> None:
        self._courier.deliver(call)

    def _show_scan(self, scan: "Scan | None") -> None:
        if self._beside is not None and self._beside.scan is scan:
            self.compare(None)
        if self._binding is not None:
            self._binding.close()
        self.view.cursor = []
        self._binding = None if scan is None else ScanBinding(self.session, scan, self.view, self._soon)
        self.scan_panel.show_volume(self.session.volume)
        self._show_scans()
        self._show_features()
        self._show_similar()
        self._show_paint()
        self._show_statistics()

    def _show_scans(self) -> None:
        scans = self.session.scans
        current = scans.index(self.session.scan) if self.session.scan in scans else None
        self.scan_panel.show_scans([scan.name for scan in scans], current)
        self._show_others()

    def _show_others(self) -> None:
        scans = self.session.scans
        others = [(f"{n + 1}: {scan.name}", n) for n, scan in enumerate(scans) if scan is not self.session.scan]
        beside = self._beside and self._beside.scan
        self.similar_panel.show_others(others, scans.index(beside) if beside in scans else None)

    def _scan_gone(self, scan: "Scan") -> None:
        if self._beside is not None and self._beside.scan is scan:
            self.compare(None)
        self._show_scans()

    def _show_features(self) -> None:
        scan = self.session.scan
        text = ""
        if scan is not None and scan.features is not None:
            text = f"Ready: {Path(scan.model).name}"
            text += "" if scan.model == self.session.model else " (another model is chosen)"
        self.scan_panel.show_features(text, enabled=scan is not None)

    def _features_done(self, scan: "Scan") -> None:
        self._show_features()
        self._show_similar()
        self._show_paint()
        if scan is self.session.scan and scan.features is not None and self.view.tool == "look":
            self.tools.show_tool("ask")
            self._choose_tool("ask")

    def _show_similar(self, scan: "Scan | None" = None) -> None:
        session = self.session
        can_undo = bool(session.scan and session.scan.clicks.can_undo)
        self.similar_panel.show_clicks(session.clicks, can_undo, session.features is not None)
        self.similar_panel.show_regions(session.heat.regions if session.heat else ())

    def _show_paint(self, scan: "Scan | None" = None) -> None:
        active = self.session.scan
        history = active and active.probing.strokes
        self.paint_panel.show_state(
            strokes=bool(history and has_two_classes(history.now)),
            can_undo=bool(history and history.can_undo),
            can_redo=bool(history and history.can_redo),
            features=self.session.features is not None,
            segmentation=self.session.segmentation is not None,
        )
        self._show_names()

    def _show_names(self) -> None:
        painted = self.session.scan and self.session.scan.probing.strokes.now
        self.paint_panel.show_names(dict(painted.names) if painted else {})

    def _show_statistics(self, scan: "Scan | None" = None) -> None:
        active = self.session.scan
        self.paint_panel.show_statistics(active.probing.statistics if active else ())

    def _show_model(self, model: str) -> None:
        self.scan_panel.show_model(model)
        self._show_features()

    def _job_started(self, job: Job) -> None:
        self._jobs[job.lane] = job
        what = _DOES.get(job.lane.split()[0])
        if what is None or job.lane == AUTOSAVE_LANE:
            job.finished.connect(lambda: self._job_ended(job))
            return
        self.status.show_job(job, what)
        job.progressed.connect(lambda progress: self.status.show_job(job, what))
        job.finished.connect(lambda: self._job_ended(job, what))

    def _job_ended(self, job: Job, what: str = "") -> None:
        if self._jobs.get(job.lane) is job:
            del self._jobs[job.lane]
        if not what:
            return
        self.status.show_job(None)
        if job.state == "cancelled":
            self.status.say(f"{what}: stopped")
        elif job.state == "done" and not job.lane.startswith("save"):
            self.status.say(f"{what}: {job.seconds:.1f} s")

    def show_error(self, error: Exception) -> None:
        """One line for what the user can mend; the kind of error, too, for what they cannot."""
        self.status.say(
            str(error) if isinstance(error, CoralBayError) else f"{type(error).__name__}: {error}", bad=True
        )
