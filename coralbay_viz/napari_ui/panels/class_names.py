"""Field for the name of a class, with completion from the names of structures."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter, QLineEdit, QStyledItemDelegate, QWidget

from coralbay_core.io.structure_names import structure_names

_TAKEN = "coralbay_taken"


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
        editor.returnPressed.connect(lambda: self._entered(editor))
        return editor

    def _entered(self, editor: QLineEdit) -> None:
        """Take the name while others are proposed: the key reaches the field then, but not the table."""
        proposed = editor.completer().popup()
        if proposed.isVisible():
            chosen = proposed.currentIndex()
            self._take(editor, chosen.data() if chosen.isValid() else editor.text())

    def _take(self, editor: QLineEdit, name: str) -> None:
        if editor.property(_TAKEN):
            return
        editor.setProperty(_TAKEN, True)
        editor.setText(name)
        self.commitData.emit(editor)
        self.closeEditor.emit(editor)
