"""Building blocks of panels."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from ...jobs import Job
    from ...model.scan import Scan
    from ..context import Context


class PanelBase(QWidget):
    """Widget with an optional heading and rows under it."""

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 6)
        self.rows.setSpacing(5)
        if title:
            self.heading(title)

    def heading(self, title: str) -> QLabel:
        """Add a heading."""
        label = QLabel(f"<b>{title}</b>")
        label.setObjectName("coralbay_heading")
        self.rows.addWidget(label)
        return label

    def row(self, *widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
        """Add a row of widgets; the one with number `stretch` takes the remaining width."""
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        for widget in widgets:
            line.addWidget(widget)
        if stretch is not None:
            line.setStretch(stretch, 1)
        self.rows.addLayout(line)
        return line


def button(text: str, tip: str, checkable: bool = False) -> QPushButton:
    """Create a button with a tooltip."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setCheckable(checkable)
    return made


def when_clicked(made: QAbstractButton, slot: Callable[[bool], Any]) -> None:
    """Connect a slot with the checked state; PySide passes it only to functions of one argument."""
    made.clicked.connect(lambda on: slot(on))


def menu_button(text: str, tip: str, entries: Sequence[tuple[str, Callable[[], Any]]]) -> QPushButton:
    """Create a button that opens a menu."""
    made = button(text, tip)
    menu = QMenu(made)
    for name, slot in entries:
        menu.addAction(name, slot)
    made.setMenu(menu)
    return made


def note(text: str = "") -> QLabel:
    """Create a small text that wraps."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setObjectName("coralbay_note")
    return label


def combo(tip: str, items: Sequence[str] = ()) -> QComboBox:
    """Create a combo box that does not widen the panel."""
    made = QComboBox()
    made.setToolTip(tip)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    made.addItems(list(items))
    return made


def fill(chooser: QComboBox, items: Sequence[str], current: int | None) -> None:
    """Replace the items of a combo box without emitting signals."""
    with QSignalBlocker(chooser):
        chooser.clear()
        chooser.addItems(list(items))
        chooser.setCurrentIndex(-1 if current is None else current)


def table(tip: str, columns: Sequence[str], height: int) -> QTreeWidget:
    """Create a table with selectable rows."""
    made = QTreeWidget()
    made.setToolTip(tip)
    made.setHeaderLabels(list(columns))
    made.setRootIsDecorated(False)
    made.setIndentation(4)
    made.setFixedHeight(height)
    return made


def fill_table(rows: QTreeWidget, content: Sequence[Sequence[str]]) -> None:
    """Replace the rows of a table without emitting signals."""
    with QSignalBlocker(rows):
        rows.clear()
        for cells in content:
            rows.addTopLevelItem(QTreeWidgetItem(list(cells)))
    for column in range(rows.columnCount()):
        rows.resizeColumnToContents(column)


class JobStatusText:
    """Status text of running jobs; the text of a job is removed when it ends.

    Parameters
    ----------
    context : Context
    changed : callable
        Called when the text may have changed.
    over : callable, optional
        Called with each job that has ended.
    """

    def __init__(
        self, context: "Context", changed: Callable[[], Any], over: Callable[["Job"], Any] = lambda job: None
    ) -> None:
        self._context = context
        self._changed = changed
        self._call_when_over = over
        self._texts: dict[Job, tuple[str, Scan | None]] = {}
        self._links: dict[Job, tuple[Any, Callable[[], Any]]] = {}

    @property
    def text(self) -> str:
        """Text of the newest job of the active scan, or of no scan; empty if there is none."""
        active = self._context.session.scan
        return next((text for text, scan in reversed(self._texts.values()) if scan in (None, active)), "")

    def show(self, job: "Job", text: str, scan: "Scan | None" = None) -> None:
        """Show a text until a job ends.

        Parameters
        ----------
        job : Job
        text : str
        scan : Scan, optional
            Show it only while this scan is active.
        """
        if job.running:
            self._texts[job] = text, scan
            self._links[job] = job.finished, partial(self._over, job)
            self._context.connect(self._links[job])
            self._changed()

    def close(self) -> None:
        """Disconnect from all jobs."""
        self._context.disconnect(*self._links.values())
        self._links.clear()

    def _over(self, job: "Job") -> None:
        del self._texts[job]
        self._context.disconnect(self._links.pop(job))
        self._call_when_over(job)
        self._changed()


class CollapsibleBox(QWidget):
    """Heading that shows and hides the widget under it.

    Parameters
    ----------
    title, tip : str
    inner : QWidget
    """

    def __init__(self, title: str, tip: str, inner: QWidget) -> None:
        super().__init__()
        self.head = QToolButton()
        self.head.setText(title)
        self.head.setToolTip(tip)
        self.head.setCheckable(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setArrowType(Qt.ArrowType.RightArrow)
        self.head.setAutoRaise(True)
        self._inner = inner
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.head)
        column.addWidget(inner)
        inner.hide()
        self.head.toggled.connect(self._unfold)

    def _unfold(self, on: bool) -> None:
        self.head.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self._inner.setVisible(on)
