"""Table of the classes of strokes."""

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from coralbay_core.errors import CoralBayError

from ..context import Context
from ..painting import PaintedClass
from .base import PanelBase, button, table

_NAME, _PAINTED, _KEEP = range(3)
_VALUE = int(Qt.ItemDataRole.UserRole)
_SWATCH_PX = 12


class ClassTable(PanelBase):
    """Name, color and number of painted voxels of each class; a selected class is used for painting.

    A ticked *Lock* protects the voxels of the class in the segmentation.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        tip = "Select a class to paint with it; double-click its name to rename it"
        self.rows_of = table(tip, ["Class", "Painted", "Lock"], 132)
        header = self.rows_of.header()
        header.setStretchLastSection(False)  # a click beside the box is for the class
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        self.rows_of.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.rows.addWidget(self.rows_of)
        self.add = button("Add", "Add a class")
        self.rename = button("Rename", "Rename the selected class")
        self.remove = button("Remove", "Remove the selected class and its strokes (can be undone)")
        self.row(self.add, self.rename, self.remove)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.add.clicked.connect(context.notify_errors(lambda *_: context.painting.add_class()))
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
        if column != _KEEP:
            self._context.tools.mode = "look"  # a stroke is no click
            self._context.notify_errors(self._context.painting.select)(item.data(_NAME, _VALUE))

    def _edit(self, item: QTreeWidgetItem | None, column: int = _NAME) -> None:
        if item is not None and column == _NAME:
            self.rows_of.editItem(item, _NAME)

    def _changed(self, item: QTreeWidgetItem, column: int) -> None:
        if column == _NAME:
            self._context.notify_errors(self._context.painting.rename)(item.data(_NAME, _VALUE), item.text(_NAME))
            self.show_state()  # a name that was refused goes back
        elif column == _KEEP:
            self._protect()

    def _remove(self, *_: Any) -> None:
        if self.chosen is not None:
            self._context.painting.remove_class(self.chosen)

    def _protect(self) -> None:
        items = _items(self.rows_of)
        kept = [item.data(_NAME, _VALUE) for item in items if item.checkState(_KEEP) == Qt.CheckState.Checked]
        try:
            self._context.session.protect(kept)
        except CoralBayError as error:
            self._context.warn(error.brief)
            self.show_state()

    # Display

    def show_state(self) -> None:
        """Update the table in place, so that no row is lost under the mouse."""
        painting = self._context.painting
        classes = painting.classes()
        kept = self._kept()
        with QSignalBlocker(self.rows_of):
            if [item.data(_NAME, _VALUE) for item in _items(self.rows_of)] != [known.value for known in classes]:
                self.rows_of.clear()
                self.rows_of.addTopLevelItems([_row(known) for known in classes])
            for item, known in zip(_items(self.rows_of), classes, strict=True):
                item.setText(_NAME, known.name)
                item.setIcon(_NAME, _swatch(known.color))
                item.setText(_PAINTED, f"{known.voxels:,}")
                item.setCheckState(_KEEP, Qt.CheckState.Checked if known.value in kept else Qt.CheckState.Unchecked)
                if known.value == painting.selected:
                    self.rows_of.setCurrentItem(item)
        self._fit_height(len(classes))
        for column in (_PAINTED, _KEEP):
            self.rows_of.resizeColumnToContents(column)
        for made in (self.rename, self.remove):
            made.setEnabled(bool(classes))

    def _fit_height(self, count: int) -> None:
        """Fit the height to the number of rows, up to five."""
        tree = self.rows_of
        row = tree.sizeHintForRow(0) if count else tree.fontMetrics().height()
        tree.setFixedHeight(tree.header().sizeHint().height() + min(max(count, 2), 5) * row + 2 * tree.frameWidth())

    def _kept(self) -> set[int]:
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
    return item


def _swatch(color: str) -> QIcon:
    square = QPixmap(_SWATCH_PX, _SWATCH_PX)
    square.fill(QColor(color))
    return QIcon(square)
