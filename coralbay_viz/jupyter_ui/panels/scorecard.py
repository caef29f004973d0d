"""The scorecard of encoders."""

from collections.abc import Sequence
from html import escape

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, check, note, row, table


class ScorecardPanel(Panel):
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
        self.compare = button("Compare", "Measure one encoder after the other on these prompts and strokes")
        self.stop = button("Stop", "Stop measuring")
        self.live = check(False, "follow prompts and strokes")
        self.table = note()
        fields = w.VBox([self.reference, self.eva, row(self.compare, self.stop, self.live)])
        super().__init__(row(self.models, fields), self.table)
        self.compare.on_click(lambda _: self.compare_wanted.emit(tuple(self.models.value), self.reference.value))
        self._press(self.stop, self.stop_wanted)
        self._wire(self.live, self.live_chosen)
        self._wire(self.eva, self.eva_chosen)

    def show_rows(self, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
        """Show the rows of the scorecard."""
        star = "* best of the column, or within .01 or 1 mm of it" if any("*" in c for r in rows for c in r) else ""
        text = table(head, rows) + star if rows else ""
        self.table.value = text + "".join(f"<div>{escape(line)}</div>" for line in notes)
