"""Question about an image layer that became a scan: directions, spacing and meaning of its values."""

from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from coralbay_core.errors import InputError
from coralbay_core.spatial import SourceGrid

from ..display.layer_geometry import DIRECTIONS, PRESETS, Answers, Placement, place
from .foreign_layers import Facts, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHOOSE, _UNKNOWN = "choose…", "not known"
_VALUES: dict[Values, str] = {
    "hu": "Hounsfield units (air is -1000)",
    "offset": "CT values from 0 on (air is 24): subtract 1024",
    "other": "no Hounsfield units",
}
_SIDE = 170
# Edges of an axial and a coronal picture, and the world axis that each letter is of.
_PICTURES = {"axial": (("A", "P", "R", "L"), "A"), "coronal": (("S", "I", "R", "L"), "S")}


class LayerQuestion(QDialog):
    """Dialog with what an image layer does not state; nothing about the patient is filled in.

    Parameters
    ----------
    facts : Facts
    sample : (z, y, x) array
        Some voxels of the layer, evenly taken.
    parent : QWidget, optional
    """

    answered = Signal(object, str)  # Answers, and meaning of the values
    from_file = Signal()

    def __init__(self, facts: Facts, sample: NDArray, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Use {facts.name} as a scan")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._facts, self._sample = facts, sample
        self._rows = QVBoxLayout(self)
        self._rows.addWidget(QLabel("The layer does not state how it lies in the patient. Which way does it run?"))
        self._lay_out_axes()
        self._lay_out_values()
        self._lay_out_pictures()
        self._lay_out_buttons()
        self._show_state()

    def _lay_out_axes(self) -> None:
        self.preset = QComboBox()
        self.preset.addItems([_CHOOSE, *PRESETS])
        self.preset.setToolTip("Frequent orders of axes")
        row = QHBoxLayout()
        row.addWidget(QLabel("Stored as"))
        row.addWidget(self.preset, stretch=1)
        self._rows.addLayout(row)
        self.directions, self.spacings = [], []
        grid = QGridLayout()
        for column, title in enumerate(("Array axis", "grows towards", "Spacing")):
            grid.addWidget(QLabel(title), 0, column)
        known = self._facts.directions or (None, None, None)
        for axis in range(3):
            grid.addWidget(QLabel(f"{axis}, {self._facts.shape[axis]} voxels"), axis + 1, 0)
            chooser = QComboBox()
            chooser.addItems([_CHOOSE, *DIRECTIONS.values(), _UNKNOWN])
            chooser.setCurrentText(_CHOOSE if known[axis] is None else DIRECTIONS[known[axis]])
            spacing = QDoubleSpinBox()
            spacing.setRange(0, 100)
            spacing.setDecimals(4)
            spacing.setSuffix(" mm")
            spacing.setSpecialValueText("spacing?")  # of 0
            spacing.setValue(self._facts.spacing[axis] if self._facts.has_spacing else 0)
            grid.addWidget(chooser, axis + 1, 1)
            grid.addWidget(spacing, axis + 1, 2)
            chooser.currentTextChanged.connect(self._show_state)
            spacing.valueChanged.connect(self._show_state)
            self.directions.append(chooser)
            self.spacings.append(spacing)
        self._rows.addLayout(grid)
        self.preset.currentTextChanged.connect(self._take_preset)

    def _lay_out_values(self) -> None:
        self.values = QComboBox()
        self.values.addItems([_CHOOSE, *_VALUES.values()])
        if self._facts.values is not None:
            self.values.setCurrentText(_VALUES[self._facts.values])
        self.values.currentTextChanged.connect(self._show_state)
        row = QHBoxLayout()
        low, high = float(self._sample.min(initial=0)), float(self._sample.max(initial=0))
        row.addWidget(QLabel(f"Values from {low:g} to {high:g} are"))
        row.addWidget(self.values, stretch=1)
        self._rows.addLayout(row)

    def _lay_out_pictures(self) -> None:
        self.pictures = {name: QLabel() for name in _PICTURES}
        row = QHBoxLayout()
        for label in self.pictures.values():
            label.setFixedSize(_SIDE, _SIDE)
            row.addWidget(label)
        self._rows.addLayout(row)
        self.saying = QLabel()
        self.saying.setWordWrap(True)
        self._rows.addWidget(self.saying)

    def _lay_out_buttons(self) -> None:
        self.buttons = QDialogButtonBox()
        self.use = self.buttons.addButton("Use as scan", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)
        if self._facts.path is not None:
            self.read = self.buttons.addButton("Read its file instead", QDialogButtonBox.ButtonRole.ActionRole)
            self.read.setToolTip(f"Directions, spacing and values as the header states them: {self._facts.path}")
            self.read.clicked.connect(self._read_file)
        self._rows.addWidget(self.buttons)

    # User actions

    def _take_preset(self, name: str) -> None:
        for chooser, code in zip(self.directions, PRESETS.get(name, ()), strict=False):
            chooser.setCurrentText(_UNKNOWN if code is None else DIRECTIONS[code])

    def _accept(self) -> None:
        answers, values = self.answers(), self._chosen_values()
        if answers is not None and values is not None:
            self.answered.emit(answers, values)
            self.accept()

    def _read_file(self) -> None:
        self.from_file.emit()
        self.accept()

    # State

    def answers(self) -> Answers | None:
        """Answers so far; None while a direction or a spacing is open."""
        chosen = [chooser.currentText() for chooser in self.directions]
        if _CHOOSE in chosen or not all(spacing.value() for spacing in self.spacings):
            return None
        codes = {text: code for code, text in DIRECTIONS.items()}
        first, second, third = (codes.get(text) for text in chosen)
        z, y, x = (spacing.value() for spacing in self.spacings)
        ratio = np.array([z, y, x]) / self._facts.spacing
        # One factor for all axes measures the world anew; others belong to the voxels alone.
        unit = float(ratio[0]) if np.allclose(ratio, ratio[0], rtol=1e-3) else 1.0
        return Answers((first, second, third), (z, y, x), unit)

    def _chosen_values(self) -> Values | None:
        number = self.values.currentIndex() - 1
        return get_args(Values)[number] if number >= 0 else None

    def _show_state(self, *_: object) -> None:
        """Show the layer as it would lie in the patient."""
        answers, problem, placed = self.answers(), "", None
        try:
            placed = None if answers is None else place(self._facts.data_to_world, answers)
        except InputError as error:
            problem = error.brief
        if placed is None:
            self.saying.setText(
                problem or "Choose a direction for each axis (it may be not known) and the spacing of the voxels."
            )
            for label in self.pictures.values():
                label.clear()
        else:
            self._draw(placed)
            left = "" if "R" in placed.known_axes else "Left and right are not known: no letters will name them. "
            self.saying.setText(f"{left}Check the pictures: they must look like the patient.")
        self.use.setEnabled(placed is not None and self._chosen_values() is not None)

    def _draw(self, placed: Placement) -> None:
        turned = SourceGrid.of(self._sample.shape, placed.affine)
        data = turned.from_file(self._sample)
        steps = np.array(self._facts.shape) / self._sample.shape
        z, y, x = (np.array([s.value() for s in self.spacings]) * steps)[list(turned.order)]
        axial = data[data.shape[0] // 2]
        coronal = data[::-1, data.shape[1] // 2]
        for name, cut, size in (("axial", axial, (y, x)), ("coronal", coronal, (z, x))):
            letters, up = _PICTURES[name]
            shown = [
                *(letters[:2] if up in placed.known_axes else "  "),
                *(letters[2:] if "R" in placed.known_axes else "  "),
            ]
            self.pictures[name].setPixmap(_picture(cut, size, shown))


def _picture(cut: NDArray, spacing: tuple[float, float], letters: "Sequence[str]") -> QPixmap:
    """Picture of a slice, in its gray scale, with letters at the top, bottom, left and right."""
    low, high = np.percentile(cut, (2, 99.5))
    gray = np.clip((cut - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    gray = np.ascontiguousarray(gray)
    rows, columns = gray.shape
    image = QImage(gray.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    extent = np.array([rows * spacing[0], columns * spacing[1]])
    height, width = np.maximum(1, extent / extent.max() * _SIDE).astype(int).tolist()
    canvas = QPixmap(_SIDE, _SIDE)
    canvas.fill(QColor("black"))
    painter = QPainter(canvas)
    mode = Qt.TransformationMode.SmoothTransformation
    scaled = image.scaled(width, height, Qt.AspectRatioMode.IgnoreAspectRatio, mode)
    painter.drawImage((_SIDE - width) // 2, (_SIDE - height) // 2, scaled)
    painter.setPen(QColor("#ffb74d"))
    middle, low_edge = _SIDE // 2, _SIDE - 4
    for letter, (x, y) in zip(
        letters, ((middle, 14), (middle, low_edge), (3, middle), (_SIDE - 12, middle)), strict=True
    ):
        painter.drawText(x, y, letter)
    painter.end()
    return canvas
