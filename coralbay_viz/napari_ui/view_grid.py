"""Two by two views: the main canvas and one beside it above, a dock with two others below; one at a time fills all."""

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QLayout, QMainWindow, QWidget

from .delayed_call import call_later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.clicks import Clicks
    from ..model.history import History
    from .context import Context
    from .docks import Docked
    from .linked_layers import TwinView

# After this time the sizes of all views have settled.
_SETTLED_MS = 200
_WAITING = "The projection is rendered …"


class ViewGrid:
    """Places of the views.

    Parameters
    ----------
    dock : Docked
        Gets the lower row.
    planes : sequence of TwinView
        The first goes beside the main canvas, the others below.
    context : Context
    """

    def __init__(self, dock: "Docked", planes: "Sequence[TwinView]", context: "Context") -> None:
        self._dock, self._context = dock, context
        self._beside, *self._below = planes
        self._row = QHBoxLayout(dock)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._cells: list[QWidget] = [*planes]
        for view in planes:
            self._row.addWidget(view)
        self._waiting = QLabel(_WAITING)
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._row.addWidget(self._waiting)
        for number in range(self._row.count()):
            self._row.setStretch(number, 1)
        self._center: QLayout | None = None  # of the main canvas
        self._large: QWidget | None = None
        self._links: list[Any] = []
        self._before: tuple[History[Clicks], Clicks] | None = None  # clicks when the mouse was pressed last
        for view in planes:
            self._listen(view.tools.navigation, view)
        dock.gone.connect(self._clear)
        call_later(dock, 0, self._enter)

    def add(self, view: "TwinView") -> None:
        """Add the last view, in place of the note that it is awaited."""
        self._waiting.hide()
        self._below.append(view)
        self._cells.append(view)
        self._row.addWidget(view, 1)
        self._listen(view.tools.navigation, view)

    def close(self) -> None:
        """Let a double click on the main canvas be napari's again."""
        self._context.disconnect(*self._links)
        self._context.tools.navigation.enlarges = False

    def toggle(self, cell: QWidget) -> None:
        """Enlarge a view, or show all again if it is large; the click that this began with is no prompt."""
        self._take_back()
        if self._center is None:
            return
        self._large = None if self._large is cell else cell
        if cell in self._below:
            self._move(cell)
        frame = _dock_of(self._dock)
        if frame is not None:
            frame.setVisible(self._large is None)
        for number in range(self._center.count()):
            widget = self._center.itemAt(number).widget()
            widget.setVisible(self._large in (None, widget))
        call_later(self._dock, _SETTLED_MS, self._context.binding.fit)

    def _note_clicks(self) -> None:
        scan = self._context.session.scan
        self._before = None if scan is None else (scan.clicks, scan.clicks.now)

    def _take_back(self) -> None:
        """Undo what the last click has added, if it has."""
        session, before = self._context.session, self._before
        self._before = None
        if before is None or session.scan is None or session.scan.clicks is not before[0]:
            return
        if session.clicks is not before[1]:
            session.undo()

    def _move(self, cell: QWidget) -> None:
        """Bring a view of the lower row into the middle of the window, or back."""
        if self._large is cell:
            self._center.addWidget(cell, 1)
        else:
            self._center.removeWidget(cell)
            self._row.insertWidget(self._below.index(cell), cell, 1)
            cell.show()

    def _enter(self) -> None:
        """Put the first view beside the main canvas; in another kind of window it stays below."""
        main = self._dock.window()
        central = main.centralWidget() if isinstance(main, QMainWindow) else None
        layout = None if central is None else central.layout()
        if layout is None or layout.count() == 0 or not self._cells:
            return
        self._center = layout
        layout.addWidget(self._beside, 1)
        layout.setStretch(0, 1)
        own = layout.itemAt(0).widget()
        self._listen(self._context.tools.navigation, own)
        frame = _dock_of(self._dock)
        if frame is not None:
            main.resizeDocks([frame], [(central.height() + frame.height()) // 2], Qt.Orientation.Vertical)
        call_later(self._dock, _SETTLED_MS, self._context.binding.fit)

    def _listen(self, navigation: Any, cell: QWidget) -> None:
        navigation.enlarges = True
        links = [(navigation.double_clicked, partial(self.toggle, cell)), (navigation.pressed, self._note_clicks)]
        self._context.connect(*links)
        self._links.extend(links)

    def _clear(self) -> None:
        """Leave the middle of the window as it was."""
        if self._center is None:
            return
        own = self._center.itemAt(0).widget()
        for cell in self._cells:
            if cell.parent() is not self._dock:
                self._center.removeWidget(cell)
                cell.hide()
                cell.deleteLater()
        own.show()


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
