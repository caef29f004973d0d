"""A training run: its curves and its checkpoints."""

from collections.abc import Sequence

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, check, note, row

_EMPTY = [("-", -1)]  # a slider needs an entry


class TrainingPanel(Panel):
    """Panel Train: a running or finished `coralbay pretrain`."""

    watch_wanted = Signal(str)
    refresh_wanted = Signal()
    stop_wanted = Signal()
    step_chosen = Signal(int)
    newest_chosen = Signal(bool)
    curve_chosen = Signal(str)

    def __init__(self) -> None:
        self.path = w.Text(placeholder="output folder of coralbay pretrain", layout=w.Layout(width="340px"))
        self.watch = button("Open a training run", "Output folder of `coralbay pretrain`, running or finished")
        self.refresh = button("Refresh", "Read the folder again: new checkpoints and curves")
        self.stop = button("Close", "Stop watching the run")
        self.about = note()
        self.steps = w.SelectionSlider(options=_EMPTY, description="Step", continuous_update=False)
        self.steps.tooltip = "Checkpoint; the newest is on the right"
        self.newest = check(True, "Follow the newest checkpoint")
        self.curve = w.Dropdown(options=[], description="Curve")
        self.plot = w.Image(format="png", layout=w.Layout(width="480px"))
        self._watched = w.VBox([row(self.steps, self.newest), self.curve, self.plot])
        super().__init__(row(self.path, self.watch, self.refresh, self.stop), self.about, self._watched)
        self.watch.on_click(lambda _: self.path.value.strip() and self.watch_wanted.emit(self.path.value.strip()))
        self._press(self.refresh, self.refresh_wanted)
        self._press(self.stop, self.stop_wanted)
        self._wire(self.steps, self.step_chosen)
        self._wire(self.newest, self.newest_chosen)
        self._wire(self.curve, self.curve_chosen)

    def show_state(self, about: str, *, watched: bool) -> None:
        """Show what is watched; without a run only the field for its folder."""
        self.about.value = about
        for widget in (self._watched, self.refresh, self.stop):
            widget.layout.display = "" if watched else "none"

    def show_steps(self, steps: Sequence[int], shown: int | None, *, newest: bool) -> None:
        """Show the checkpoints."""
        with self.showing():
            self.steps.options = [(str(step), step) for step in steps] or _EMPTY
            self.steps.value = shown if shown in steps else self.steps.options[-1][1]
            self.newest.value = newest

    def show_curves(self, names: Sequence[str], shown: str | None, png: bytes) -> None:
        """Show one of the curves."""
        with self.showing():
            self.curve.options = names
            self.curve.value = shown
        self.plot.value = png
