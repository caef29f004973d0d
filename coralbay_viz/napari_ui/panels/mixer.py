"""Sliders for the weights of the stages."""

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QWidget

from ..context import Context
from .base import when_clicked


class Mixer(QWidget):
    """One slider per stage; equal weights until one is moved.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.sliders: dict[int, QSlider] = {}
        self.auto = QCheckBox("Automatic, from the prompts")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(8, 0, 0, 0)
        self._grid.addWidget(self.auto, 0, 0, 1, 3)
        when_clicked(
            self.auto, context.notify_errors(lambda on: setattr(context.session, "weights", "auto" if on else None))
        )
        context.connect(
            (context.session.features_changed, self.show_state),
            (context.session.scan_changed, self.show_state),
            (context.session.weights_changed, self.show_state),
        )
        self.show_state()

    def show_state(self, _: Any = None) -> None:
        """Update the sliders to the stages of the active scan and the weights of the session."""
        session = self._context.session
        strides = () if session.features is None else session.features.strides
        if tuple(self.sliders) != tuple(strides):
            self._rebuild(strides)
        weights = session.weights
        with QSignalBlocker(self.auto):
            self.auto.setChecked(weights == "auto")
        highest = max(weights.values()) if isinstance(weights, dict) else 1.0
        for stride, slider in self.sliders.items():
            fraction = weights.get(stride, 0.0) / highest if isinstance(weights, dict) else 1.0
            slider.setEnabled(weights != "auto")
            with QSignalBlocker(slider):
                slider.setValue(round(100 * fraction))

    def _rebuild(self, strides: Any) -> None:
        while self._grid.count() > 1:
            self._grid.takeAt(1).widget().deleteLater()
        self.sliders = {}
        spacing = self._context.session.features.grid.spacing_mm.min() if strides else 1.0
        for row, stride in enumerate(strides, 1):
            slider = QSlider(Qt.Orientation.Horizontal)
            slider.setRange(0, 100)
            slider.setToolTip(f"Weight of the features whose voxels are {spacing * stride:.3g} mm wide")
            slider.valueChanged.connect(self._context.notify_errors(self._mix))
            self.sliders[stride] = slider
            self._grid.addWidget(QLabel(f"{spacing * stride:.3g} mm"), row, 0)
            self._grid.addWidget(slider, row, 1)

    def _mix(self, _: int) -> None:
        values = {stride: slider.value() / 100 for stride, slider in self.sliders.items()}
        if any(values.values()):
            self._context.session.weights = values
        else:  # no weights at all are refused: show those that still apply
            self.show_state()
