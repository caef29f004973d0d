"""Table of the classes of strokes."""

from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QColorDialog, QHeaderView, QTreeWidget, QTreeWidgetItem

from coralbay_core.errors import CoralBayError

from ..context import Context
from ..painting import PaintedClass
from .base import PanelBase, button, menu_button, table
from .class_names import NameField
from .signs import plain_icon

_NAME, _PAINTED, _LOCK, _COLOR = range(4)
_VALUE = int(Qt.ItemDataRole.UserRole)
_SWATCH_PX = 14
_FILES = "Names and colors (*.json *.txt)"


class ClassTable(PanelBase):
    """Color, name and number of painted voxels of each class; a selected class is used for painting.

    A ticked *Lock* protects the voxels of the class in the segmentation. The number beside the color is the key that
    answers a suggestion with the class.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        tip = "Select a class to paint with it; double-click its name to rename it, click its color to choose another"
        self.rows_of = table(tip, ["Class", "Painted", "Lock", ""], 132)
        self.rows_of.setItemDelegateForColumn(_NAME, NameField(self.rows_of))
        header = self.rows_of.header()
        header.moveSection(_COLOR, 0)
        header.setStretchLastSection(False)  # a click beside the box is for the class
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        self.rows_of.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.rows.addWidget(self.rows_of)
        self.add = button("Add", "Add a class and type its name")
        self.rename = button("Rename", "Rename the selected class")
        self.remove = button("Remove", "Remove the selected class and its strokes (can be undone)")
        self.files = menu_button(
            "Names",
            "Import or export names and colors of classes",
            [("Import names and colors…", self._import), ("Export names and colors…", self._export)],
        )
        self.row(self.add, self.rename, self.remove, self.files)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.add.clicked.connect(context.notify_errors(self._add))
        self.rename.clicked.connect(lambda *_: self._edit(self.rows_of.currentItem()))
        self.remove.clicked.connect(context.notify_errors(self._remove))
        self.rows_of.itemClicked.connect(lambda item, column: self._choose(item, column))
        self.rows_of.itemDoubleClicked.connect(lambda item, column: self._edit(item, column))
        self.rows_of.itemChanged.connect(lambda item, column: self._changed(item, column))

    @property
    def chosen(self) -> int | None:
        """Value of the selected class."""
        item = self.rows_of.currentItem()
        return None if item is None else int(item.data(_NAME, _VALUE))

    # User actions

    def _choose(self, item: QTreeWidgetItem, column: int) -> None:
        value = int(item.data(_NAME, _VALUE))
        if column == _COLOR:
            self._ask_color(value)
        elif column != _LOCK:
            self._context.tools.mode = "look"  # a stroke is no click
            self._context.notify_errors(self._context.painting.select)(value)

    def _add(self, *_: Any) -> None:
        self._context.tools.mode = "look"  # a stroke is no click
        value = self._context.painting.add_class()
        item = next(item for item in _items(self.rows_of) if item.data(_NAME, _VALUE) == value)
        self.rows_of.setCurrentItem(item)
        self._edit(item)

    def _edit(self, item: QTreeWidgetItem | None, column: int = _NAME) -> None:
        if item is not None and column == _NAME:
            self.rows_of.editItem(item, _NAME)

    def _changed(self, item: QTreeWidgetItem, column: int) -> None:
        if column == _NAME:
            self._context.notify_errors(self._context.painting.rename)(item.data(_NAME, _VALUE), item.text(_NAME))
            self.show_state()  # a name that was refused goes back
        elif column == _LOCK:
            self._protect()

    def _remove(self, *_: Any) -> None:
        if self.chosen is not None:
            self._context.painting.remove_class(self.chosen)

    def _protect(self) -> None:
        items = _items(self.rows_of)
        locked = [item.data(_NAME, _VALUE) for item in items if item.checkState(_LOCK) == Qt.CheckState.Checked]
        try:
            self._context.session.protect(locked)
        except CoralBayError as error:
            self._context.warn(error.brief)
            self.show_state()

    def _ask_color(self, value: int) -> None:
        known = next(known for known in self._context.painting.classes() if known.value == value)
        dialog = QColorDialog(QColor(known.color), self)
        dialog.setWindowTitle(f"Color of {known.name}")
        dialog.setOption(QColorDialog.ColorDialogOption.DontUseNativeDialog)  # it looks the same everywhere
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        set_color = self._context.notify_errors(self._context.session.set_class_color)
        dialog.colorSelected.connect(lambda color: set_color(value, color.name()))
        dialog.open()

    def _import(self) -> None:
        path = self._context.ask_open("Import names and colors", f"{_FILES};;All files (*)")
        if path:
            self._context.notify_errors(self._context.session.import_classes)(path)

    def _export(self) -> None:
        self._context.save_as("Export names and colors", "labels.json", _FILES, self._write)

    def _write(self, path: Path) -> None:
        self._context.session.export_classes(path)
        self._context.notify(f"Saved {path}")

    # Display

    def show_state(self) -> None:
        """Update the table in place, so that no row is lost under the mouse."""
        painting = self._context.painting
        classes = painting.classes()
        locked = self._locked()
        with QSignalBlocker(self.rows_of):
            if [item.data(_NAME, _VALUE) for item in _items(self.rows_of)] != [known.value for known in classes]:
                self.rows_of.clear()
                self.rows_of.addTopLevelItems([_row(known) for known in classes])
            for number, (item, known) in enumerate(zip(_items(self.rows_of), classes, strict=True), 1):
                item.setText(_NAME, known.name)
                item.setIcon(_COLOR, _swatch(known.color))
                item.setText(_COLOR, str(number))
                item.setText(_PAINTED, f"{known.voxels:,}")
                item.setCheckState(_LOCK, Qt.CheckState.Checked if known.value in locked else Qt.CheckState.Unchecked)
                if known.value == painting.selected:
                    self.rows_of.setCurrentItem(item)
        self._fit_height(len(classes))
        for column in (_PAINTED, _LOCK, _COLOR):
            self.rows_of.resizeColumnToContents(column)
        for made in (self.rename, self.remove):
            made.setEnabled(bool(classes))

    def _fit_height(self, count: int) -> None:
        """Fit the height to the number of rows, up to five."""
        tree = self.rows_of
        row = tree.sizeHintForRow(0) if count else tree.fontMetrics().height()
        tree.setFixedHeight(tree.header().sizeHint().height() + min(max(count, 2), 5) * row + 2 * tree.frameWidth())

    def _locked(self) -> set[int]:
        scan = self._context.session.scan
        protected = scan.protected if scan else None
        if protected is None:
            return set()
        return {known.value for known in self._context.painting.classes() if (protected.data == known.value).any()}


def _items(tree: QTreeWidget) -> list[QTreeWidgetItem]:
    return [tree.topLevelItem(number) for number in range(tree.topLevelItemCount())]


def _row(known: PaintedClass) -> QTreeWidgetItem:
    item = QTreeWidgetItem()
    item.setData(_NAME, _VALUE, known.value)
    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable | Qt.ItemFlag.ItemIsUserCheckable)
    item.setToolTip(_NAME, f"Label value {known.value}")
    item.setToolTip(_COLOR, "Choose the color of this class")
    return item


def _swatch(color: str) -> QIcon:
    square = QPixmap(_SWATCH_PX, _SWATCH_PX)
    square.fill(QColor(color))
    return plain_icon(square)
