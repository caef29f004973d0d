"""The sections of the dock widget: each shows state that it is given, emits what the user wants, decides nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSlider,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..colors import DEFAULT_WINDOW, NEGATIVE, POSITIVE, WINDOWS
from .views import AXIAL, VIEWS

if TYPE_CHECKING:
    from coralbay_core.similarity import Region
    from coralbay_core.volume import Volume

    from ..jobs import Progress
    from ..state import Clicks

_STRICTEST_SHARE = 1e-3


class Section(QWidget):
    """A heading and what belongs under it."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 6)
        self.rows.setSpacing(5)
        heading = QLabel(f"<b>{title}</b>")
        heading.setObjectName("coralbay_heading")
        self.rows.addWidget(heading)

    def row(self, *widgets: QWidget) -> QHBoxLayout:
        """Add widgets side by side."""
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        for widget in widgets:
            line.addWidget(widget)
        self.rows.addLayout(line)
        return line


def _button(text: str, tip: str, checkable: bool = False) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    return button


def _note(text: str = "") -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setObjectName("coralbay_note")
    return label


def _combo(tip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tip)
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo


class ScanPanel(Section):
    """Open a scan, and how to look at it."""

    file_wanted = Signal()
    folder_wanted = Signal()
    scan_chosen = Signal(int)
    view_chosen = Signal(str)
    window_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__("Scan")
        self.open_file = _button("Open file…", "A NIfTI file, or one file of a DICOM series")
        self.open_folder = _button("Open folder…", "A folder that holds a DICOM series")
        self.row(self.open_file, self.open_folder)
        self.scans = _combo("The scan that the buttons below are about")
        self.rows.addWidget(self.scans)
        self.about = _note("Drop a NIfTI file or a DICOM folder on the window, or open one here.")
        self.rows.addWidget(self.about)
        self.views = QButtonGroup(self)
        buttons = [_button(name, f"{name} view, patient's left on the right", checkable=True) for name in VIEWS]
        for number, button in enumerate(buttons):
            self.views.addButton(button, number)
        buttons[VIEWS.index(AXIAL)].setChecked(True)
        self.row(*buttons)
        self.windows = _combo("Gray scale of the scan in slices")
        self.windows.addItems(list(WINDOWS))
        self.windows.setCurrentText(DEFAULT_WINDOW)
        self.row(QLabel("Window"), self.windows).setStretch(1, 1)
        self.open_file.clicked.connect(self.file_wanted)
        self.open_folder.clicked.connect(self.folder_wanted)
        self.scans.activated.connect(self.scan_chosen)
        self.views.idClicked.connect(lambda number: self.view_chosen.emit(VIEWS[number]))
        self.windows.textActivated.connect(self.window_chosen)
        self.show_scans([], None)

    def show_scans(self, names: Sequence[str], current: int | None) -> None:
        with QSignalBlocker(self.scans):
            self.scans.clear()
            self.scans.addItems(list(names))
            if current is not None:
                self.scans.setCurrentIndex(current)
        self.scans.setVisible(len(names) > 1)

    def show_volume(self, volume: "Volume | None") -> None:
        if volume is None:
            self.about.setText("Drop a NIfTI file or a DICOM folder on the window, or open one here.")
            return
        size = " × ".join(str(n) for n in reversed(volume.shape))
        spacing = " × ".join(f"{mm:.3g}" for mm in reversed(volume.grid.spacing_mm))
        self.about.setText("\n".join([volume.name, f"{size} voxels of {spacing} mm", *volume.notes]))

    def show_view(self, view: str | None) -> None:
        self.views.setExclusive(False)
        for number, name in enumerate(VIEWS):
            self.views.button(number).setChecked(name == view)
        self.views.setExclusive(True)


class FeaturePanel(Section):
    """Compute features, and see them as colors."""

    compute_wanted = Signal()
    cancel_wanted = Signal()
    model_chosen = Signal(str)
    browse_wanted = Signal()
    pca_wanted = Signal(bool)

    def __init__(self, models: Sequence[str], model: str) -> None:
        super().__init__("Features")
        self.models = _combo("The model whose eyes are borrowed")
        self.models.addItems(list(models))
        self.browse = _button("…", "Use weights from a file")
        self.browse.setFixedWidth(30)
        self.row(QLabel("Model"), self.models, self.browse).setStretch(1, 1)
        self.compute = _button("Compute features", "Once for a scan and model: they are kept on disk")
        self.cancel = _button("Cancel", "Stop; nothing is written")
        self.row(self.compute, self.cancel)
        self.bar = QProgressBar()
        self.rows.addWidget(self.bar)
        self.status = _note()
        self.rows.addWidget(self.status)
        self.pca = QCheckBox("PCA overlay")
        self.pca.setToolTip("The three main directions of the features as red, green and blue")
        self.rows.addWidget(self.pca)
        self.compute.clicked.connect(self.compute_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self.models.textActivated.connect(self.model_chosen)
        self.browse.clicked.connect(self.browse_wanted)
        self.pca.clicked.connect(self.pca_wanted)
        self.show_model(model)
        self.show_idle("", scan=False, features=False)

    def show_model(self, model: str) -> None:
        with QSignalBlocker(self.models):
            if self.models.findText(model) < 0:
                self.models.addItem(model)
            self.models.setCurrentText(model)

    def show_idle(self, status: str, *, scan: bool, features: bool) -> None:
        self.bar.hide()
        self.cancel.hide()
        self.compute.show()
        self.compute.setEnabled(scan)
        self.pca.setEnabled(features)
        self.status.setText(status)
        self.status.setVisible(bool(status))

    def show_progress(self, progress: "Progress") -> None:
        self.compute.hide()
        self.cancel.show()
        self.bar.show()
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.status.setText(str(progress))
        self.status.show()

    def show_pca(self, shown: bool) -> None:
        with QSignalBlocker(self.pca):
            self.pca.setChecked(shown)


class SimilarPanel(Section):
    """Click, and see where else it looks like that."""

    pick_toggled = Signal(bool)
    undo_wanted = Signal()
    clear_wanted = Signal()
    share_chosen = Signal(float)
    region_chosen = Signal(int)
    save_wanted = Signal()

    def __init__(self, share: float) -> None:
        super().__init__("Similar places")
        self.pick = _button("Pick", "Click in a slice: where else does it look like this?", checkable=True)
        self.undo = _button("Undo", "Take the last click back")
        self.clear = _button("Clear", "Take all clicks away")
        self.row(self.pick, self.undo, self.clear)
        self.hint = _note()
        self.rows.addWidget(self.hint)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 1000)
        self.slider.setToolTip("Threshold of the heat map: to the right, only the most similar places stay")
        self.threshold = _note()
        self.row(QLabel("Threshold"), self.slider)
        self.rows.addWidget(self.threshold)
        self.regions = QTreeWidget()
        self.regions.setToolTip("Most similar regions: choose one to go there")
        self.regions.setHeaderLabels(["", "Score", "Size", "Place (mm)"])
        self.regions.setRootIsDecorated(False)
        self.regions.setIndentation(4)
        self.regions.setFixedHeight(158)
        self.rows.addWidget(self.regions)
        self.save = _button("Save heat map…", "NIfTI on the grid of the scan's file")
        self.rows.addWidget(self.save)
        self.pick.toggled.connect(self.pick_toggled)
        self.undo.clicked.connect(self.undo_wanted)
        self.clear.clicked.connect(self.clear_wanted)
        self.slider.valueChanged.connect(lambda value: self.share_chosen.emit(_share(value)))
        self.regions.currentItemChanged.connect(
            lambda item, _: self.region_chosen.emit(self.regions.indexOfTopLevelItem(item))
        )
        self.save.clicked.connect(self.save_wanted)
        self.show_share(share, None)
        self.show_regions(())

    def show_clicks(self, clicks: "Clicks", can_undo: bool, features: bool) -> None:
        self.undo.setEnabled(can_undo)
        self.clear.setEnabled(bool(clicks))
        if not clicks:
            text = "Click = like this, Shift-click = unlike this."
        else:
            text = (
                f'<span style="color:{POSITIVE}">●</span> {len(clicks.positive)} like this &nbsp; '
                f'<span style="color:{NEGATIVE}">●</span> {len(clicks.negative)} unlike'
            )
            text += "" if features else "<br>Compute features to see similar places."
        self.hint.setText(text)

    def show_share(self, share: float, score: float | None) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(_slider_value(share))
        text = f"best {share:.1%} of the body" if share < 0.1 else f"best {share:.0%} of the body"
        self.threshold.setText(text + ("" if score is None else f", score ≥ {score:.3f}"))

    def show_regions(self, regions: "Sequence[Region]") -> None:
        with QSignalBlocker(self.regions):
            self.regions.clear()
            for number, region in enumerate(regions, 1):
                self.regions.addTopLevelItem(QTreeWidgetItem(_describe(number, region)))
        for column in range(self.regions.columnCount()):
            self.regions.resizeColumnToContents(column)
        self.regions.setVisible(bool(regions))
        self.save.setEnabled(bool(regions))


class SegmentPanel(Section):
    """From a few strokes to a segmentation."""

    strokes_wanted = Signal()
    segment_wanted = Signal()
    save_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("Segment from strokes")
        self.strokes = _button("New strokes", "A label layer to paint on: a few voxels of each class, background too")
        self.segment = _button("Segment", "Spread the strokes over the whole scan")
        self.row(self.strokes, self.segment)
        self.save = _button("Save segmentation…", "NIfTI on the grid of the scan's file, with the painted values")
        self.rows.addWidget(self.save)
        self.strokes.clicked.connect(self.strokes_wanted)
        self.segment.clicked.connect(self.segment_wanted)
        self.save.clicked.connect(self.save_wanted)
        self.show_state(features=False, strokes=False, segmentation=False)

    def show_state(self, *, features: bool, strokes: bool, segmentation: bool) -> None:
        self.strokes.setEnabled(features)
        self.segment.setEnabled(features and strokes)
        self.save.setEnabled(segmentation)


def _share(value: int) -> float:
    """Slider position to share of the body, evenly spaced in orders of magnitude."""
    return float(_STRICTEST_SHARE ** (value / 1000))


def _slider_value(share: float) -> int:
    return round(1000 * np.log(max(share, _STRICTEST_SHARE)) / np.log(_STRICTEST_SHARE))


def _describe(number: int, region: "Region") -> list[str]:
    size = f"{region.size_ml:.0f} ml" if region.size_ml >= 10 else f"{region.size_ml:.1f} ml"
    signs = zip(region.position_mm, ("R", "A", "S"), ("L", "P", "I"), strict=True)
    place = "  ".join(f"{abs(v):.0f} {positive if v >= 0 else negative}" for v, positive, negative in signs)
    return [str(number), f"{region.score:.2f}", size, place]
