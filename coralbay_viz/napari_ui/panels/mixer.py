"""How much each scale counts: a slider a stage."""

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from ..context import Context
from .base import when_clicked


class Mixer(QWidget):
    """Sliders that fold away; equal weights until one is moved.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.sliders: dict[int, QSlider] = {}
        self.fold = QToolButton()
        self.fold.setText("Scales")
        self.fold.setToolTip("How much detail counts against surroundings")
        self.fold.setCheckable(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setArrowType(Qt.ArrowType.RightArrow)
        self.fold.setAutoRaise(True)
        self.auto = QCheckBox("Choose from the clicks")
        self._inner = QWidget()
        self._grid = QGridLayout(self._inner)
        self._grid.setContentsMargins(8, 0, 0, 0)
        self._grid.addWidget(self.auto, 0, 0, 1, 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.fold)
        column.addWidget(self._inner)
        self._inner.hide()
        self.fold.toggled.connect(self._unfold)
        when_clicked(self.auto, context.told(lambda on: setattr(context.session, "weights", "auto" if on else None)))
        context.connect(
            (context.session.features_changed, self.show_state),
            (context.session.scan_changed, self.show_state),
            (context.session.weights_changed, self.show_state),
        )
        self.show_state()

    def _unfold(self, on: bool) -> None:
        self.fold.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self._inner.setVisible(on)

    def show_state(self, _: Any = None) -> None:
        """Sliders for the stages that the active scan has, at the weights of the session."""
        session = self._context.session
        strides = () if session.features is None else session.features.strides
        if tuple(self.sliders) != tuple(strides):
            self._rebuild(strides)
        weights = session.weights
        with QSignalBlocker(self.auto):
            self.auto.setChecked(weights == "auto")
        highest = max(weights.values()) if isinstance(weights, dict) else 1.0
        for stride, slider in self.sliders.items():
            share = weights.get(stride, 0.0) / highest if isinstance(weights, dict) else 1.0
            slider.setEnabled(weights != "auto")
            with QSignalBlocker(slider):
                slider.setValue(round(100 * share))

    def _rebuild(self, strides: Any) -> None:
        while self._grid.count() > 1:
            self._grid.takeAt(1).widget().deleteLater()
        self.sliders = {}
        spacing = self._context.session.features.grid.spacing_mm.min() if strides else 1.0
        for row, stride in enumerate(strides, 1):
            slider = QSlider(Qt.Orientation.Horizontal)
            slider.setRange(0, 100)
            slider.setToolTip(f"Weight of the features at stride {stride}")
            slider.valueChanged.connect(self._context.told(self._mix))
            self.sliders[stride] = slider
            self._grid.addWidget(QLabel(f"{spacing * stride:.3g} mm"), row, 0)
            self._grid.addWidget(slider, row, 1)

    def _mix(self, _: int) -> None:
        values = {stride: slider.value() / 100 for stride, slider in self.sliders.items()}
        if any(values.values()):
            self._context.session.weights = values
