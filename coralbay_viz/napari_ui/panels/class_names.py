"""Field for the name of a class, with completion from the names of structures."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter, QLineEdit, QStyledItemDelegate, QWidget

from coralbay_core.io.structure_names import structure_names


class NameField(QStyledItemDelegate):
    """Editor of a table cell that proposes names; a chosen one is taken at once."""

    def createEditor(self, parent: QWidget, option: Any, index: Any) -> QWidget:
        """Return the field."""
        editor = QLineEdit(parent)
        editor.setStyleSheet("QLineEdit {padding: 0; margin: 0; border-radius: 0;}")  # as high as its row
        completer = QCompleter(structure_names(), editor)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        editor.setCompleter(completer)
        completer.activated.connect(lambda text: self._take(editor, text))
        return editor

    def _take(self, editor: QLineEdit, name: str) -> None:
        editor.setText(name)
        self.commitData.emit(editor)
        self.closeEditor.emit(editor)
