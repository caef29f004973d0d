"""Controller of the panel Train: curves of a training run, and its checkpoints on the active scan."""

import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .control import Control
from .panels.training import TrainingPanel

if TYPE_CHECKING:
    from coralbay_core.pretrain.run_folder import Curve

    from ..model.training import TrainingState

_HINT = "Shows curves, and the colors and heat map of each checkpoint on the open scan."
_LINE, _MARK, _TEXT = "#0b8fa3", "#e69f00", "#808080"  # readable on light and on dark pages


class TrainingControl(Control):
    """Controller of a watched training run."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        training = self.session.training
        self.panel = panel = TrainingPanel()
        self._curve: str | None = None
        self.on_request(panel.watch_wanted, lambda folder: training.watch(Path(folder).expanduser()))
        self.on_request(panel.refresh_wanted, training.refresh)
        self.on_request(panel.stop_wanted, training.stop)
        self.on_request(panel.step_chosen, training.show)
        self.on_request(panel.newest_chosen, self._follow)
        self.on_request(panel.curve_chosen, self._choose_curve)
        self.on_event(training.changed, self.show)
        self.show()

    def show(self) -> None:
        """Update the panel."""
        state = self.session.training.state
        self.panel.show_state(
            _HINT if state is None else "<br>".join(escape(line) for line in state.description),
            watched=state is not None,
        )
        if state is not None:
            self.panel.show_steps(state.steps, state.wanted, newest=state.chosen is None)
            self._show_curve(state)

    def _show_curve(self, state: "TrainingState") -> None:
        names = sorted(state.curves, key=lambda name: (not name.startswith("evaluation"), name))
        shown = self._curve if self._curve in names else next(iter(names), None)
        png = b"" if shown is None else _plotted(state.curves[shown], state.wanted)
        self.panel.show_curves(names, shown, png)

    def _choose_curve(self, name: str) -> None:
        self._curve = name
        self.show()

    def _follow(self, newest: bool) -> None:
        state = self.session.training.state
        if state is not None:
            self.session.training.show(None if newest else state.wanted)


def _plotted(curve: "Curve", marked: int | None) -> bytes:
    """Draw a curve as PNG; matplotlib is imported on first use."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 2.0), layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.plot(curve.steps, curve.values, color=_LINE, marker="o" if len(curve.steps) < 40 else "", markersize=3)
    if marked is not None:
        axes.axvline(marked, color=_MARK, linewidth=1)
    axes.tick_params(colors=_TEXT, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color(_TEXT)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=200)
    return out.getvalue()
