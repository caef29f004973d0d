"""Panel Train: curves of a training run, and the view of each checkpoint on the open scan."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QLabel, QSlider, QWidget

from ..context import Context
from ..delayed_call import call_later
from .base import PanelBase, button, combo, fill, note

if TYPE_CHECKING:
    from ...model.training import TrainingState

REFRESH_MS = 3000
_PLOT_HEIGHT = 180


class TrainingPanel(PanelBase):
    """Output folder of a running or finished `coralbay pretrain`.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._canvas: Any = None
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        context.connect(
            (context.session.training.changed, self.show_state), (context.viewer.events.theme, self._draw_soon)
        )
        self.show_state()

    def _lay_out(self) -> None:
        self.open = button(
            "Open a training run…",
            "Pretraining of an encoder: output folder of `coralbay pretrain`, running or finished",
        )
        self.stop = button("Close", "Stop watching the run")
        self.row(self.open, self.stop)
        self.about = note("Shows curves, and the colors and heat map of each checkpoint on the open scan.")
        self.rows.addWidget(self.about)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Checkpoint; the newest is on the right")
        self.step = QLabel()
        self.row(QLabel("Step"), self.slider, self.step, stretch=1)
        self.newest = QCheckBox("Follow the newest checkpoint")
        self.rows.addWidget(self.newest)
        self.curve = combo("Curve of the training log")
        self.row(QLabel("Curve"), self.curve, stretch=1)
        self.plot = QWidget()
        self.plot.setFixedHeight(_PLOT_HEIGHT)
        self.rows.addWidget(self.plot)
        self.open.clicked.connect(self._choose)
        self.stop.clicked.connect(lambda: self._context.session.training.stop())
        self.slider.valueChanged.connect(self._context.notify_errors(self._choose_step))
        self.newest.clicked.connect(lambda on: self._follow(on))
        self.curve.activated.connect(lambda _: self._draw())

    # User actions

    def _choose(self) -> None:
        folder = self._context.ask_folder("Output folder of a training run")
        if folder:
            self._context.notify_errors(self._context.session.training.watch)(folder)

    def _choose_step(self, number: int) -> None:
        state = self._context.session.training.state
        if state is not None and 0 <= number < len(state.steps):
            self._context.session.training.show(state.steps[number])

    def _follow(self, on: bool) -> None:
        state = self._context.session.training.state
        if state is not None:
            self._context.notify_errors(self._context.session.training.show)(None if on else state.wanted)

    def _refresh(self) -> None:
        if self._context.session.training.state is not None:
            self._context.session.training.refresh()

    # Session events

    def show_state(self) -> None:
        """Update all widgets."""
        state = self._context.session.training.state
        for widget in (self.stop, self.slider, self.newest, self.curve, self.plot):
            widget.setVisible(state is not None)
        self.step.setText("" if state is None or state.wanted is None else str(state.wanted))
        if state is None:
            self._timer.stop()
            return
        if not self._timer.isActive():
            self._timer.start()
        self.about.setText("\n".join(state.description))
        self._show_steps(state)
        names = sorted(state.curves, key=lambda name: (not name.startswith("evaluation"), name))
        chosen = self.curve.currentText()
        fill(self.curve, names, names.index(chosen) if chosen in names else (0 if names else None))
        self._draw()

    def _show_steps(self, state: "TrainingState") -> None:
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(0, len(state.steps) - 1))
            if state.wanted in state.steps:
                self.slider.setValue(state.steps.index(state.wanted))
        with QSignalBlocker(self.newest):
            self.newest.setChecked(state.chosen is None)

    def _draw_soon(self, event: Any = None) -> None:
        """Draw again after a change of theme; the colors are set after the event."""
        call_later(self, 0, self._draw)

    def _draw(self) -> None:
        state = self._context.session.training.state
        curve = None if state is None else state.curves.get(self.curve.currentText())
        if curve is None:
            return
        if self._canvas is None:
            self._canvas = _Plot(self.plot)
        self._canvas.show(curve.steps, curve.values, state.wanted)


class _Plot:
    """Line plot in a widget; matplotlib is imported on first use."""

    def __init__(self, parent: QWidget) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure
        from qtpy.QtWidgets import QVBoxLayout

        self._figure = Figure(layout="constrained", facecolor="none")
        self._axes = self._figure.add_subplot()
        self._canvas = FigureCanvasQTAgg(self._figure)
        self._canvas.setStyleSheet("background-color: transparent;")
        self._parent = parent
        column = QVBoxLayout(parent)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._canvas)

    def show(self, steps: Any, values: Any, marked: int | None) -> None:
        axes, color = self._axes, self._parent.palette().text().color().name()
        axes.clear()
        axes.set_facecolor("none")
        axes.plot(steps, values, color="#4dd0e1", marker="o" if len(steps) < 40 else "", markersize=3)
        if marked is not None:
            axes.axvline(marked, color="#ffd54f", linewidth=1)
        axes.tick_params(colors=color, labelsize=7)
        for spine in axes.spines.values():
            spine.set_color(color)
        self._canvas.draw_idle()
