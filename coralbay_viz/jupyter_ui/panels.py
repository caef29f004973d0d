"""Panels below the views: widgets that show a given state and emit signals."""

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import numpy as np
from psygnal import Signal

from ..display.layer_specs import BACKGROUND
from ..model.palette import DEFAULT_WINDOW, NEGATIVE, POSITIVE, UNDECIDED, WINDOWS, class_color

if TYPE_CHECKING:
    from coralbay_core.probe import LabelStatistics
    from coralbay_core.similarity import Region
    from coralbay_core.spatial import Volume

    from ..jobs import Job
    from ..model.clicks import Clicks

STRICTEST_SHARE = 1e-3
CLASSES = 8
_ROW = w.Layout(align_items="center", flex_flow="row wrap")
_WIDE = w.Layout(width="100%")
_CUSTOM = "Custom"
_NONE = -1  # a menu shows nothing at all for an entry whose value is None
_WEIGHTS = [("equal", "equal"), ("automatic", "auto")]


def button(text: str, tip: str, wide: str = "auto") -> w.Button:
    return w.Button(description=text, tooltip=tip, layout=w.Layout(width=wide))


def check(value: bool, text: str) -> w.Checkbox:
    return w.Checkbox(value, description=text, indent=False, layout=w.Layout(width="auto"))


def row(*children: w.Widget) -> w.HBox:
    return w.HBox(list(children), layout=_ROW)


def note(text: str = "") -> w.HTML:
    return w.HTML(text)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a small HTML table of escaped texts."""
    cells = ["".join(f"<td style='padding:0 10px 0 0'>{escape(str(cell))}</td>" for cell in line) for line in rows]
    titles = "".join(f"<th style='text-align:left;padding:0 10px 0 0'>{escape(title)}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def amount(value: float | None) -> str:
    """Format a number: four digits, thousands separated; empty for None."""
    if value is None:
        return ""
    return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}") if abs(value) >= 1000 else f"{value:.4g}"


class Panel:
    """Widgets in a column; changes made inside `showing` emit no signals."""

    _telling = False

    def __init__(self, *rows: w.Widget) -> None:
        self.box = w.VBox(list(rows))

    @contextmanager
    def showing(self) -> Any:
        before, self._telling = self._telling, True
        try:
            yield
        finally:
            self._telling = before

    def _wire(self, widget: w.Widget, signal: Any, trait: str = "value") -> None:
        """Emit a signal with the value that the user chose."""

        def chosen(change: dict[str, Any]) -> None:
            if not self._telling:
                signal.emit(change["new"])

        widget.observe(chosen, trait)

    @staticmethod
    def _press(widget: w.Button, signal: Any, *content: Any) -> None:
        widget.on_click(lambda _: signal.emit(*content))


class ToolBar(Panel):
    """Tool of the mouse, gray scale, and visible layers."""

    tool_chosen = Signal(str)
    window_chosen = Signal(str)
    layer_toggled = Signal(str, bool)

    _TOOLS = (("Look", "look"), ("Pick", "ask"), ("Paint", "paint"), ("Erase", "erase"))
    _TIPS = (
        "Click and drag: move the crosshair",
        "Click: find similar places. Shift-click or Alt-click: negative click",
        "Drag: paint voxels of a class",
        "Drag: erase painted voxels",
    )
    _LAYERS = (("heat", "Similar"), ("pca", "Colors"), ("segmentation", "Labels"), ("strokes", "Strokes"))

    def __init__(self) -> None:
        self.tools = w.ToggleButtons(options=self._TOOLS, tooltips=self._TIPS, style={"button_width": "58px"})
        self.windows = w.Dropdown(options=[*WINDOWS, _CUSTOM], value=DEFAULT_WINDOW, layout=w.Layout(width="120px"))
        self.windows.tooltip = "Window/level preset; drag with the right button to adjust"
        self.layers = {
            role: w.ToggleButton(True, description=text, tooltip=f"Show layer {text}", layout=w.Layout(width="72px"))
            for role, text in self._LAYERS
        }
        super().__init__(row(self.tools, self.windows, *self.layers.values()))
        self._wire(self.tools, self.tool_chosen)
        self.windows.observe(self._window_chosen, "value")
        for role, toggle in self.layers.items():
            toggle.observe(lambda change, role=role: self._toggled(role, change["new"]), "value")

    def _window_chosen(self, change: dict[str, Any]) -> None:
        if not self._telling and change["new"] != _CUSTOM:
            self.window_chosen.emit(change["new"])

    def _toggled(self, role: str, shown: bool) -> None:
        if not self._telling:
            self.layer_toggled.emit(role, shown)

    def show_tool(self, tool: str) -> None:
        with self.showing():
            self.tools.value = tool

    def show_window(self, level: float, width: float) -> None:
        names = [name for name, window in WINDOWS.items() if (window.level_hu, window.width_hu) == (level, width)]
        with self.showing():
            self.windows.value = names[0] if names else _CUSTOM

    def show_layers(self, hidden: Sequence[str]) -> None:
        with self.showing():
            for role, toggle in self.layers.items():
                toggle.value = role not in hidden


class StatusLine(Panel):
    """Status text, progress bar and Cancel button."""

    cancel_wanted = Signal()

    def __init__(self) -> None:
        self.bar = w.FloatProgress(0, min=0, max=1, layout=w.Layout(width="180px", visibility="hidden"))
        self.cancel = button("Cancel", "Stop the running jobs")
        self.cancel.layout.visibility = "hidden"
        self.text = note()
        super().__init__(row(self.text, self.bar, self.cancel))
        self._press(self.cancel, self.cancel_wanted)

    def show_bar(self, job: "Job | None") -> None:
        busy = job is not None and job.running
        self.bar.layout.visibility = self.cancel.layout.visibility = "visible" if busy else "hidden"
        if busy:
            self.bar.value = job.progress.fraction

    def say(self, text: str, bad: bool = False) -> None:
        color = "var(--jp-error-color1, #b00020)" if bad else "inherit"
        self.text.value = f"<span role='{'alert' if bad else 'status'}' style='color:{color}'>{escape(text)}</span>"


class ScanPanel(Panel):
    """Panel Scan: open scans, choose one, compute its features."""

    open_wanted = Signal(str)
    scan_chosen = Signal(int)
    model_chosen = Signal(str)
    compute_wanted = Signal()

    def __init__(self, models: Sequence[str], model: str) -> None:
        self.path = w.Text(placeholder="scan.nii.gz or a DICOM folder", layout=w.Layout(width="340px"))
        self.open = button("Open", "Open a NIfTI file or a DICOM folder on the kernel's machine")
        self.scans = w.Dropdown(description="Scan")
        self.about = note()
        self.models = w.Combobox(value=model, options=list(models), ensure_option=False, continuous_update=False)
        self.models.tooltip = "Encoder model: a name, or a path to weights"
        self.compute = button("Compute features", "Compute the features of the scan, or load them from the cache")
        self.state = note()
        super().__init__(row(self.path, self.open, self.scans), self.about, row(self.models, self.compute, self.state))
        self.open.on_click(lambda _: self.path.value and self.open_wanted.emit(self.path.value))
        self._wire(self.scans, self.scan_chosen)
        self._wire(self.models, self.model_chosen)
        self._press(self.compute, self.compute_wanted)

    def show_scans(self, names: Sequence[str], current: int | None) -> None:
        with self.showing():
            self.scans.options = [(f"{number + 1}: {name}", number) for number, name in enumerate(names)]
            self.scans.value = current
        self.scans.layout.display = "" if len(names) > 1 else "none"

    def show_volume(self, volume: "Volume | None") -> None:
        if volume is None:
            self.about.value = "No scan is open."
            return
        size = " × ".join(str(n) for n in reversed(volume.shape))
        spacing = " × ".join(f"{mm:.3g}" for mm in reversed(volume.grid.spacing_mm))
        lines = [f"{volume.name}: {size} voxels of {spacing} mm", *volume.notes]
        self.about.value = "<br>".join(escape(line) for line in lines)

    def show_features(self, text: str, enabled: bool) -> None:
        self.state.value = escape(text)
        self.compute.disabled = not enabled

    def show_model(self, model: str) -> None:
        with self.showing():
            self.models.value = model


class SimilarPanel(Panel):
    """Panel Similar: clicks, threshold, scales, best regions, second scan."""

    undo_wanted = Signal()
    redo_wanted = Signal()
    clear_wanted = Signal()
    share_chosen = Signal(float)
    region_chosen = Signal(int)
    weights_chosen = Signal(object)
    compare_chosen = Signal(object)

    def __init__(self, share: float) -> None:
        self.clicks = note()
        self.undo = button("Undo", "Undo the last change of the clicks")
        self.redo = button("Redo", "Redo the last undone change")
        self.clear = button("Clear", "Remove all clicks")
        self.share = w.FloatLogSlider(
            share * 100,
            min=np.log10(STRICTEST_SHARE * 100),
            max=2,
            step=0.01,
            description="Best %",
            readout_format=".2g",
        )
        self.share.tooltip = "Fraction of the body that is highlighted, most similar first"
        self.weights = w.Dropdown(description="Scales")
        self.show_weights(None)
        self.regions = w.Select(options=[], rows=6, layout=w.Layout(width="330px"))
        self.regions.tooltip = "Most similar regions; select one to go there"
        heading = note(
            "<b>Best regions</b>: number, score, volume in ml, position in mm (R, A, S). Select one to go there."
            "<br>The volume does not depend on Best %."
        )
        self.other = w.Dropdown(options=[("no other scan", _NONE)], description="Second scan")
        self.other.layout.display = "none"
        self.other.tooltip = "Show another open scan with the heat map of the same clicks"
        left = w.VBox([self.clicks, row(self.undo, self.redo, self.clear), self.share, self.weights, self.other])
        super().__init__(w.HBox([left, w.VBox([heading, self.regions])], layout=w.Layout(flex_flow="row wrap")))
        self._press(self.undo, self.undo_wanted)
        self._press(self.redo, self.redo_wanted)
        self._press(self.clear, self.clear_wanted)
        self.share.observe(self._share_chosen, "value")
        self.weights.observe(self._weights_chosen, "value")
        self._wire(self.regions, self.region_chosen)
        self.other.observe(self._other_chosen, "value")

    def _other_chosen(self, change: dict[str, Any]) -> None:
        if not self._telling:
            self.compare_chosen.emit(None if change["new"] == _NONE else change["new"])

    def _share_chosen(self, change: dict[str, Any]) -> None:
        if not self._telling:
            self.share_chosen.emit(min(1.0, change["new"] / 100))

    def _weights_chosen(self, change: dict[str, Any]) -> None:
        if not self._telling and change["new"] in ("equal", "auto"):
            self.weights_chosen.emit(None if change["new"] == "equal" else "auto")

    def show_history(self, can_undo: bool, can_redo: bool) -> None:
        self.undo.disabled, self.redo.disabled = not can_undo, not can_redo

    def show_clicks(self, clicks: "Clicks", ready: bool) -> None:
        like, unlike = len(clicks.positive), len(clicks.negative)
        hint = "" if ready else " (compute features first)"
        dots = f"<b style='color:{POSITIVE}'>●</b> {like} positive, <b style='color:{NEGATIVE}'>●</b> {unlike} negative"
        self.clicks.value = dots + hint
        self.clear.disabled = not clicks

    def show_share(self, share: float) -> None:
        with self.showing():
            self.share.value = share * 100

    def show_weights(self, weights: Any) -> None:
        set_in_code = weights not in (None, "auto")
        with self.showing():
            self.weights.options = [*_WEIGHTS, ("set in code", "code")] if set_in_code else _WEIGHTS
            self.weights.value = "code" if set_in_code else weights or "equal"

    def show_regions(self, regions: "Sequence[Region]") -> None:
        lines = [
            f"{n + 1:2d}  {region.score:.2f}  {region.size_ml:6.0f} ml  "
            + ", ".join(f"{v:.0f}" for v in region.position_mm)
            for n, region in enumerate(regions)
        ]
        with self.showing():
            self.regions.options = [(line, n) for n, line in enumerate(lines)]
            self.regions.value = None

    def show_others(self, others: Sequence[tuple[str, int]], chosen: int | None) -> None:
        with self.showing():
            self.other.options = [("no other scan", _NONE), *others]
            self.other.value = _NONE if chosen is None else chosen
        self.other.layout.display = "" if others else "none"


class PaintPanel(Panel):
    """Panel Paint: brush, segmentation and statistics."""

    brush_changed = Signal()
    name_chosen = Signal(str)
    undo_wanted = Signal()
    redo_wanted = Signal()
    segment_wanted = Signal()
    measure_wanted = Signal()

    def __init__(self) -> None:
        self.label = w.Dropdown(options=[("class 1", 1)], value=1, description="Paint")
        self.chip = note()
        self.name = w.Text(placeholder="name, e.g. liver", continuous_update=False, layout=w.Layout(width="160px"))
        self.radius = w.FloatSlider(6.0, min=1.0, max=30.0, step=0.5, description="Brush mm")
        self.ball = check(False, "3-D brush")
        self.live = check(True, "segment after each stroke")
        self.undo = button("Undo", "Undo the last stroke (Ctrl+Z in a view)")
        self.redo = button("Redo", "Redo the last undone change")
        self.segment = button("Segment", "Segment the whole scan from the strokes")
        self.measure = button("Measure", "Measure volume and HU of each label")
        self.hint = note()
        self.statistics = note()
        super().__init__(
            row(self.label, self.chip, self.name, self.radius, self.ball),
            row(self.live, self.undo, self.redo, self.segment, self.measure),
            self.hint,
            self.statistics,
        )
        for widget in (self.label, self.radius, self.ball):
            widget.observe(lambda change: self.brush_changed.emit(), "value")
        self.label.observe(self._show_chip, "value")
        self._wire(self.name, self.name_chosen)
        for pressed, wanted in (
            (self.undo, self.undo_wanted),
            (self.redo, self.redo_wanted),
            (self.segment, self.segment_wanted),
            (self.measure, self.measure_wanted),
        ):
            self._press(pressed, wanted)
        self._show_chip()
        self.show_names({})

    def _show_chip(self, change: Any = None) -> None:
        color = UNDECIDED if self.label.label == BACKGROUND else class_color(self.label.value)
        self.chip.value = f"<b style='color:{color}'>■</b>"

    def show_names(self, names: dict[int, str]) -> None:
        known = {n: names.get(n) or f"class {n}" for n in range(1, CLASSES + 1)} | names
        if BACKGROUND not in names.values():
            known[max(known) + 1] = BACKGROUND
        chosen = self.label.value if self.label.value in known else 1
        with self.showing():
            self.label.options = [(text, n) for n, text in sorted(known.items())]
            self.label.value = chosen
            self.name.value = known[chosen] if chosen in names else ""
        self._show_chip()

    def show_state(
        self, *, strokes: bool, can_undo: bool, can_redo: bool, features: bool, segmentation: bool, background: bool
    ) -> None:
        self.undo.disabled, self.redo.disabled = not can_undo, not can_redo
        self.segment.disabled = not (strokes and features)
        self.measure.disabled = not segmentation
        self.hint.value = "" if background else "Paint some background (last in Paint), or the classes fill the body."

    def show_statistics(self, rows: "Sequence[LabelStatistics]") -> None:
        head = ("label", "name", "ml", "mean HU", "sd HU")
        head += ("Dice",) if any(r.dice is not None for r in rows) else ()
        lines = [
            (r.value, r.name, amount(r.volume_ml), amount(r.mean_hu), amount(r.sd_hu), amount(r.dice))[: len(head)]
            for r in rows
            if r.name != BACKGROUND
        ]
        self.statistics.value = table(head, lines) if lines else ""


class ColorPanel(Panel):
    """Panel Colors: features as colors and as a scatter plot."""

    colors_wanted = Signal(str)
    scatter_wanted = Signal(str)
    everything_wanted = Signal()

    def __init__(self, scatter: w.Widget, umap: bool) -> None:
        self.pca = button("PCA colors", "Color the scan by the three main PCA components of the features")
        self.umap = button("UMAP colors", "Color the scan by a UMAP of the features")
        self.pca_points = button("PCA points", "Scatter plot of the cells (PCA)")
        self.umap_points = button("UMAP points", "Scatter plot of the cells (UMAP)")
        self.everything = button("Whole body", "Clear the lasso: compute colors and points for the whole body")
        self.state = note()
        slow = note("UMAP takes minutes on a CPU." if umap else "")
        for widget in (self.umap, self.umap_points):
            widget.disabled = not umap
            widget.tooltip += "" if umap else " (pip install 'coralbay[umap]')"
        buttons = (row(self.pca, self.umap), row(self.pca_points, self.umap_points), slow)
        rows = (*buttons, row(self.everything), self.state)
        super().__init__(w.HBox([w.VBox(list(rows)), scatter], layout=w.Layout(flex_flow="row wrap")))
        self._press(self.pca, self.colors_wanted, "pca")
        self._press(self.umap, self.colors_wanted, "umap")
        self._press(self.pca_points, self.scatter_wanted, "pca")
        self._press(self.umap_points, self.scatter_wanted, "umap")
        self._press(self.everything, self.everything_wanted)

    def show_state(self, points: bool, lasso_ml: float | None) -> None:
        self.everything.disabled = lasso_ml is None
        if lasso_ml is not None:
            text = f"Lasso: {amount(lasso_ml)} ml. Press a button above to compute colors or points inside it."
        elif points:
            text = "Draw a lasso around points to show their positions; click a point to go there."
        else:
            text = "Press PCA points for a scatter plot of the cells of the body."
        self.state.value = text


class ScorePanel(Panel):
    """Panel Score: several encoders on the same clicks and strokes."""

    compare_wanted = Signal(object, str)
    stop_wanted = Signal()
    live_chosen = Signal(bool)
    eva_chosen = Signal(str)

    def __init__(self, models: Sequence[str], chosen: set[str]) -> None:
        known = [*models, *sorted(chosen - set(models))]
        self.models = w.SelectMultiple(options=known, value=[m for m in known if m in chosen], rows=6)
        self.models.tooltip = "Encoders to compare; missing features are computed"
        self.reference = w.Text(placeholder="reference labels, e.g. labels.nii.gz", layout=w.Layout(width="340px"))
        self.eva = w.Text(placeholder="eva results: results.json or radiology.csv", continuous_update=False)
        self.eva.layout.width = "340px"
        self.compare = button("Compare", "Measure one encoder after the other on these clicks and strokes")
        self.stop = button("Stop", "Stop measuring")
        self.live = check(False, "follow clicks and strokes")
        self.table = note()
        fields = w.VBox([self.reference, self.eva, row(self.compare, self.stop, self.live)])
        super().__init__(row(self.models, fields), self.table)
        self.compare.on_click(lambda _: self.compare_wanted.emit(tuple(self.models.value), self.reference.value))
        self._press(self.stop, self.stop_wanted)
        self._wire(self.live, self.live_chosen)
        self._wire(self.eva, self.eva_chosen)

    def show_rows(self, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
        star = "* best of the column, or within .01 or 1 mm of it" if any("*" in c for r in rows for c in r) else ""
        text = table(head, rows) + star if rows else ""
        self.table.value = text + "".join(f"<div>{escape(line)}</div>" for line in notes)


class FilePanel(Panel):
    """Panel Files: results and sessions as files on the kernel's machine."""

    save_wanted = Signal(str, str)
    load_wanted = Signal(str)

    _KINDS = (
        ("heat", "Heat map"),
        ("pca", "Colors"),
        ("seg", "Labels"),
        ("statistics", "Statistics"),
        ("session", "Session"),
    )

    def __init__(self) -> None:
        self.kind = w.Dropdown(options=[(text, kind) for kind, text in self._KINDS], description="Save")
        self.path = w.Text("heat.nii.gz", layout=w.Layout(width="340px"))
        self.save = button("Save", "Save on the grid of the scan's file")
        self.session = w.Text(placeholder="work.coralbay", layout=w.Layout(width="340px"))
        self.load = button("Load session", "Close the open scans and load a saved session")
        super().__init__(row(self.kind, self.path, self.save), row(self.session, self.load))
        self.kind.observe(self._name, "value")
        self.save.on_click(lambda _: self.save_wanted.emit(self.kind.value, self.path.value))
        self.load.on_click(lambda _: self.session.value and self.load_wanted.emit(self.session.value))

    def _name(self, change: dict[str, Any]) -> None:
        kind = change["new"]
        names = {"session": "work.coralbay", "statistics": "statistics.csv"}
        self.path.value = names.get(kind, f"{kind}.nii.gz")
