"""Brush, classes, and volumes of labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from psygnal import Signal

from ...display.layer_specs import BACKGROUND
from ...model.palette import UNDECIDED, class_color
from .base import Panel, amount, button, check, note, row, table

if TYPE_CHECKING:
    from coralbay_core.probe import LabelStatistics

CLASSES = 8


class PaintPanel(Panel):
    """Panel Paint: brush, segmentation and statistics."""

    brush_changed = Signal()
    name_chosen = Signal(str)
    undo_wanted = Signal()
    redo_wanted = Signal()
    segment_wanted = Signal()
    measure_wanted = Signal()

    def __init__(self) -> None:
        self._colors: dict[int, str] = {}
        self.label = w.Dropdown(options=[("class 1", 1)], value=1, description="Paint")
        self.chip = note()
        self.name = w.Text(placeholder="name, e.g. liver", continuous_update=False, layout=w.Layout(width="160px"))
        self.radius = w.FloatSlider(6.0, min=1.0, max=30.0, step=0.5, description="Brush mm")
        self.ball = check(False, "3-D brush")
        self.live = check(True, "train after each stroke")
        self.undo = button("Undo", "Undo the last stroke (Ctrl+Z in a view)")
        self.redo = button("Redo", "Redo the last undone change")
        self.segment = button("Segment", "Train the probe on the strokes and predict the whole scan")
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
        color = UNDECIDED if self.label.label == BACKGROUND else class_color(self.label.value, self._colors)
        self.chip.value = f"<b style='color:{color}'>■</b>"

    def show_names(self, names: dict[int, str], colors: dict[int, str] | None = None) -> None:
        """Show the names of the classes, and use the colors that were chosen for them."""
        self._colors = colors or {}
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
        self, *, classes: int, can_undo: bool, can_redo: bool, features: bool, segmentation: bool, background: bool
    ) -> None:
        """Show the state of the buttons and hints."""
        self.undo.disabled, self.redo.disabled = not can_undo, not can_redo
        self.segment.disabled = classes < 2 or not features
        self.measure.disabled = not segmentation
        self.hint.value = _hint(classes, background)

    def show_statistics(self, rows: "Sequence[LabelStatistics]") -> None:
        """Show the statistics of the labels as a table."""
        head = ("label", "name", "ml", "mean HU", "sd HU")
        head += ("Dice",) if any(r.dice is not None for r in rows) else ()
        lines = [
            (r.value, r.name, amount(r.volume_ml), amount(r.mean_hu), amount(r.sd_hu), amount(r.dice))[: len(head)]
            for r in rows
            if r.name != BACKGROUND
        ]
        self.statistics.value = table(head, lines) if lines else ""


def _hint(classes: int, background: bool) -> str:
    """Describe the strokes that are still needed; empty if none are."""
    if not classes:
        return "Paint a few strokes of each class, including background (last in Paint)."
    if classes == 1:
        return f"Paint a second class{'' if background else ', best background (last in Paint)'}: a probe needs two."
    return "" if background else "Paint some background (last in Paint), or the classes fill the body."
