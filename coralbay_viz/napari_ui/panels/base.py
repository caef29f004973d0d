"""What panels are made of."""

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
    """A heading, if it has one, and what belongs under it."""

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 6)
        self.rows.setSpacing(5)
        if title:
            self.heading(title)

    def heading(self, title: str) -> QLabel:
        """A line in bold."""
        label = QLabel(f"<b>{title}</b>")
        label.setObjectName("coralbay_heading")
        self.rows.addWidget(label)
        return label

    def row(self, *widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
        """Widgets side by side; one of them may take what room is left."""
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
    """A button with an explanation."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setCheckable(checkable)
    return made


def when_clicked(made: QAbstractButton, slot: Callable[[bool], Any]) -> None:
    """Connect a slot that wants to know whether the button is down; PySide tells only functions of one argument."""
    made.clicked.connect(lambda on: slot(on))


def menu_button(text: str, tip: str, entries: Sequence[tuple[str, Callable[[], Any]]]) -> QPushButton:
    """A button that opens a menu."""
    made = button(text, tip)
    menu = QMenu(made)
    for name, slot in entries:
        menu.addAction(name, slot)
    made.setMenu(menu)
    return made


def note(text: str = "") -> QLabel:
    """Small text that wraps."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setObjectName("coralbay_note")
    return label


def combo(tip: str, items: Sequence[str] = ()) -> QComboBox:
    """A choice that does not widen the panel."""
    made = QComboBox()
    made.setToolTip(tip)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    made.addItems(list(items))
    return made


def fill(chooser: QComboBox, items: Sequence[str], current: int | None) -> None:
    """Give a choice other items without telling anyone."""
    with QSignalBlocker(chooser):
        chooser.clear()
        chooser.addItems(list(items))
        chooser.setCurrentIndex(-1 if current is None else current)


def table(tip: str, columns: Sequence[str], height: int) -> QTreeWidget:
    """A table of rows that can be chosen."""
    made = QTreeWidget()
    made.setToolTip(tip)
    made.setHeaderLabels(list(columns))
    made.setRootIsDecorated(False)
    made.setIndentation(4)
    made.setFixedHeight(height)
    return made


def fill_table(rows: QTreeWidget, content: Sequence[Sequence[str]]) -> None:
    """Give a table other rows without telling anyone."""
    with QSignalBlocker(rows):
        rows.clear()
        for cells in content:
            rows.addTopLevelItem(QTreeWidgetItem(list(cells)))
    for column in range(rows.columnCount()):
        rows.resizeColumnToContents(column)


def place_text(position_mm: Any) -> str:
    """A position in words of anatomy: ``12 R  30 P  210 S``."""
    signs = zip(position_mm, ("R", "A", "S"), ("L", "P", "I"), strict=True)
    return "  ".join(f"{abs(v):.0f} {positive if v >= 0 else negative}" for v, positive, negative in signs)


class Busy:
    """What a panel says while jobs go on; what a job says is gone once it is over, however it ended.

    Parameters
    ----------
    context : Context
    changed : callable
        Called when there may be another text.
    over : callable, optional
        Called with each job that is over.
    """

    def __init__(
        self, context: "Context", changed: Callable[[], Any], over: Callable[["Job"], Any] = lambda job: None
    ) -> None:
        self._context = context
        self._changed = changed
        self._tell_over = over
        self._texts: dict[Job, tuple[str, Scan | None]] = {}
        self._links: dict[Job, tuple[Any, Callable[[], Any]]] = {}

    @property
    def text(self) -> str:
        """Of the newest job that is about the active scan, or about none; empty where there is none."""
        active = self._context.session.scan
        return next((text for text, scan in reversed(self._texts.values()) if scan in (None, active)), "")

    def say(self, job: "Job", text: str, scan: "Scan | None" = None) -> None:
        """Say something until a job is over.

        Parameters
        ----------
        job : Job
        text : str
        scan : Scan, optional
            Only while this one is active.
        """
        if job.running:
            self._texts[job] = text, scan
            self._links[job] = job.finished, partial(self._over, job)
            self._context.connect(self._links[job])
            self._changed()

    def close(self) -> None:
        """Say nothing more."""
        self._context.disconnect(*self._links.values())
        self._links.clear()

    def _over(self, job: "Job") -> None:
        del self._texts[job]
        self._context.disconnect(self._links.pop(job))
        self._tell_over(job)
        self._changed()


class CollapsibleBox(QWidget):
    """A heading that shows and hides what is under it.

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
