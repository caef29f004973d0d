"""Panel Similar: clicks and places similar to them."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QInputDialog, QLabel, QSlider

from ...model.palette import NEGATIVE, POSITIVE
from ...model.threshold import SLIDER_STEPS, fraction_at, in_words, slider_value
from ..actions import with_key
from ..context import NIFTI, OTHER_MAPS, Context
from ..picking import Picking
from .base import CollapsibleBox, PanelBase, button, menu_button, note
from .mixer import Mixer
from .regions import RegionTable
from .scope import ScopeChooser
from .signs import SignSwitch
from .windows import WindowsPanel

if TYPE_CHECKING:
    from ...model.scan import Scan

_HINTS = {
    "here": "Click: mark a structure. Click again to add to it; right or shift-click to take away.",
    "everywhere": "Click: find similar places. Right or shift-click: negative prompt.",
    "place": "Click: find similar places near the click. Right or shift-click: negative prompt.",
}


class SimilarPanel(PanelBase):
    """Clicks, threshold of the heat map, and the best regions.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._lay_out()
        session = context.session
        self._picking = Picking(context, context.tools, lambda: session.scan)
        context.connect(
            (context.tools.mode_changed, self._show_mode),
            (session.scan_changed, self.show_state),
            (session.features_changed, self.show_state),
            (session.clicks_changed, self.show_state),
            (session.heat_changed, self.show_state),
            (session.queries_changed, self.show_state),
            (session.weights_changed, self.show_state),
            (session.body_fraction_changed, self._show_fraction),
            (context.tools.hovered, self._hovered),
        )
        self.show_state()

    def _lay_out(self) -> None:
        tip = with_key("Click a place to find similar places, also in 3-D", "hold_to_pick", "hold {}")
        self.pick = button("Pick", tip, checkable=True)
        self.sign = SignSwitch(self._context)
        self.undo = button("Undo", with_key("Undo the last prompt", "undo_click"))
        self.redo = button("Redo", with_key("Redo the last undone prompt", "redo_click"))
        self.clear = button("Clear", "Remove all prompts")
        self.row(self.pick, self.sign, self.undo, self.redo, self.clear)
        self.scope = ScopeChooser(self._context)
        self.rows.addWidget(self.scope)
        self.hint = note()
        self.rows.addWidget(self.hint)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, SLIDER_STEPS)
        self.slider.setToolTip("Threshold of the heat map; further right: only the most similar places")
        self.threshold = note()
        self.row(QLabel("Threshold"), self.slider)
        self.rows.addWidget(self.threshold)
        self.hover = QCheckBox("Preview under the cursor")
        self.hover.setToolTip("Approximate similarity to a prompt at the cursor, while Pick is on")
        self.rows.addWidget(self.hover)
        self.mixer = Mixer(self._context)
        self.scales = CollapsibleBox("Scales", "Weights of fine detail and wide context", self.mixer)
        self.rows.addWidget(self.scales)
        self.region_table = RegionTable(self._context)
        self.regions = self.region_table.tree
        self.rows.addWidget(self.region_table)
        self.save = button("Save heat map…", "Save as NIfTI on the grid of the scan's file")
        self.queries = menu_button(
            "Queries",
            "Save these prompts as a query for other scans, or use saved queries",
            [
                ("New query from the prompts…", self._keep_query),
                ("Save a query to a file…", self._save_query),
                ("Open a query file…", self._open_query),
                ("Use a query…", self._use_queries),
                ("Rename a query…", self._rename_query),
                ("Remove a query…", self._remove_query),
            ],
        )
        self.row(self.save, self.queries)
        self.windows = WindowsPanel(self._context)
        self.rows.addWidget(
            CollapsibleBox("CT windows", "Whether the result depends on the window/level of the scan", self.windows)
        )
        self._connect()

    def _connect(self) -> None:
        guarded = self._context.notify_errors
        self.pick.clicked.connect(lambda on: setattr(self._context.tools, "mode", "pick" if on else "look"))
        self.undo.clicked.connect(guarded(lambda *_: self._context.session.undo()))
        self.redo.clicked.connect(guarded(lambda *_: self._context.session.redo()))
        self.clear.clicked.connect(guarded(self._clear))
        self.hover.toggled.connect(lambda on: self._hovered(None))
        self.slider.valueChanged.connect(
            lambda value: setattr(self._context.session, "body_fraction", fraction_at(value))
        )
        self.save.clicked.connect(self._save_heat)

    # User actions

    def _clear(self, *_: Any) -> None:
        self._context.session.clear_clicks()
        self._context.tools.negative = False  # a first click that is negative finds nothing

    def _hovered(self, position_mm: Any) -> None:
        session = self._context.session
        if session.scan is not None and (session.features is not None or session.scan.preview is not None):
            session.hover(position_mm if self.hover.isChecked() and self._context.tools.mode == "pick" else None)

    def next_region(self) -> None:
        """Select the next region, after the last the first."""
        self.region_table.go_on()

    def _save_heat(self) -> None:
        self._context.save_as("Save the heat map", "heat.nii.gz", (NIFTI, *OTHER_MAPS), self._context.session.save_heat)

    def _keep_query(self) -> None:
        name, go = QInputDialog.getText(self, "New query", "Name:")
        if go and name:
            self._context.notify_errors(self._context.session.keep_query)(name)

    def _choose_query(self, title: str) -> str | None:
        names = list(self._context.session.queries)
        if not names:
            self._context.notify("No saved query yet: click in the scan, then choose New query from the prompts.")
            return None
        name, go = QInputDialog.getItem(self, title, "Query:", names, 0, False)
        return name if go else None

    def _save_query(self) -> None:
        name = self._choose_query("Save a query")
        if name:
            session = self._context.session
            self._context.save_as(
                "Save the query", f"{name}.query", "Queries (*.query)", lambda path: session.save_query(name, path)
            )

    def _open_query(self) -> None:
        path = self._context.ask_open("Open a query", "Queries (*.query);;All files (*)")
        if path:
            self._context.notify_errors(self._open_and_use)(path)

    def _open_and_use(self, path: Any) -> None:
        session = self._context.session
        query = session.open_query(path)
        session.use_queries(*{*(q.name for q in session.scan.queries_in_use), query.name} if session.scan else ())

    def _use_queries(self) -> None:
        name = self._choose_query("Use a query")
        if name:
            self._context.notify_errors(self._context.session.use_queries)(name)

    def _rename_query(self) -> None:
        name = self._choose_query("Rename a query")
        if name:
            new, go = QInputDialog.getText(self, "Rename a query", "Name:", text=name)
            if go and new:
                self._context.notify_errors(self._context.session.rename_query)(name, new)

    def _remove_query(self) -> None:
        name = self._choose_query("Remove a query")
        if name:
            self._context.notify_errors(self._context.session.remove_query)(name)

    # Session events

    def _show_mode(self, mode: str) -> None:
        self.pick.setChecked(mode == "pick")
        self._hovered(None)

    def show_state(self, scan: "Scan | None" = None) -> None:
        """Update all widgets."""
        session = self._context.session
        scan, heat = session.scan, session.heat
        self.undo.setEnabled(bool(scan and scan.clicks.can_undo))
        self.redo.setEnabled(bool(scan and scan.clicks.can_redo))
        self.clear.setEnabled(bool(session.clicks))
        # The clicked structure has parts of its own.
        self.scales.setVisible(session.scope != "here")
        self.hint.setText(self._described())
        self.region_table.show_state()
        self.save.setEnabled(bool(heat and heat.regions))
        if heat is not None and heat.partial:
            self.hint.setText(self.hint.text() + "<br>Preliminary: features are still being computed.")
        self._show_fraction(session.body_fraction)

    def _described(self) -> str:
        session = self._context.session
        clicks, used = session.clicks, session.scan.queries_in_use if session.scan else ()
        if not clicks and not used:
            return _HINTS[session.scope]
        text = (
            f'<span style="color:{POSITIVE}">●</span> {len(clicks.positive)} positive &nbsp; '
            f'<span style="color:{NEGATIVE}">●</span> {len(clicks.negative)} negative'
        )
        text += f"<br>with {', '.join(query.name for query in used)}" if used else ""
        return text + ("" if session.features is not None else "<br>Compute features to find similar places.")

    def _show_fraction(self, fraction: float) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(slider_value(fraction))
        score = self._context.session.threshold
        self.threshold.setText(in_words(fraction, score))
        self.region_table.show_threshold(score)
