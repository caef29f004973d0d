"""Panel Score: several encoders on the same clicks and strokes."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QCheckBox, QLabel, QListWidget, QListWidgetItem, QTreeWidgetItem

from ...model.scorecard import EVA_TITLE, best_models, shown_columns
from ...tasks import encoders as encoders_tasks
from ..context import Context
from .base import PanelBase, button, note, table, when_clicked
from .reference import ReferenceChooser

if TYPE_CHECKING:
    from ...model.scorecard import Scorecard

_SHOWN_MODELS = 5
_RESULTS = "Results of eva (*.json *.csv)"


class ScorecardPanel(PanelBase):
    """Table of the scores of several encoders on the clicks and strokes.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._lay_out()
        session = context.session
        context.connect(
            (session.scorecard.changed, self._show_card),
            (session.scan_changed, self.show_state),
            (session.clicks_changed, self.show_state),
            (session.strokes_changed, self.show_state),
        )
        self.show_state()
        self._show_card(session.scorecard.card)

    def _lay_out(self) -> None:
        self.rows.addWidget(note("Compare encoders on the same prompts and strokes."))
        self.models = QListWidget()
        self.models.setToolTip("Encoders to compare; missing features are computed")
        chosen = {self._context.session.model, "hu-patch", "random"}
        for name in sorted(encoders_tasks.model_names(), key=lambda name: name not in chosen):
            item = QListWidgetItem(name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if name in chosen else Qt.CheckState.Unchecked)
            item.setToolTip(encoders_tasks.about_model(name)[0])
            self.models.addItem(item)
        self.models.setFixedHeight(_SHOWN_MODELS * self.models.sizeHintForRow(0) + 2 * self.models.frameWidth())
        self.rows.addWidget(self.models)
        self.reference = ReferenceChooser(self._context)
        self.row(QLabel("Reference"), self.reference.native, stretch=1)
        self.compare = button("Compare", "Measure one encoder after the other")
        self.stop = button("Stop", "Stop measuring")
        self.eva = button("eva…", "Add results of eva, or its published table, as a column")
        self.row(self.compare, self.stop, self.eva)
        self.progress = note()
        self.rows.addWidget(self.progress)
        self.live = QCheckBox("Follow prompts and strokes")
        self.rows.addWidget(self.live)
        self.table = table("Bold: best value of the column", ["Model"], 150)
        self.rows.addWidget(self.table)
        guarded = self._context.notify_errors
        self.compare.clicked.connect(guarded(self._compare))
        self.stop.clicked.connect(lambda: self._context.session.scorecard.stop())
        self.eva.clicked.connect(self._choose_eva)
        when_clicked(self.live, guarded(lambda on: setattr(self._context.session, "scorecard_live", on)))

    # User actions

    def chosen(self) -> list[str]:
        """Names of the ticked encoders."""
        items = (self.models.item(number) for number in range(self.models.count()))
        return [item.text() for item in items if item.checkState() == Qt.CheckState.Checked]

    def _compare(self, *_: Any) -> None:
        self._context.session.scorecard.measure(self.chosen(), self.reference.labels())

    def _choose_eva(self) -> None:
        path = self._context.ask_open("Results of eva", _RESULTS)
        if path:
            self._context.notify_errors(lambda: setattr(self._context.session, "eva_results", path))()

    # Session events

    def show_state(self, _: Any = None) -> None:
        """Update the buttons."""
        scan = self._context.session.scan
        self.compare.setEnabled(scan is not None and bool(scan.clicks.now.positive or scan.strokes.now))

    def _show_card(self, card: "Scorecard | None") -> None:
        """Update the table; previous numbers stay until new ones arrive."""
        rows = card.shown if card is not None else ()
        columns = shown_columns(rows)
        eva = any(row.eva for row in rows)
        titles = ["Model", *(column.title for column in columns), *([EVA_TITLE] if eva else [])]
        self.table.clear()
        self.table.setColumnCount(len(titles))
        self.table.setHeaderLabels(titles)
        for number, column in enumerate(columns, 1):
            self.table.headerItem().setToolTip(number, column.hint)
        for row in rows:
            cells = [row.model, *(row.cell(column) for column in columns), *([row.eva_text] if eva else [])]
            item = QTreeWidgetItem(cells)
            item.setToolTip(0, row.problem)
            if eva:
                item.setToolTip(len(cells) - 1, "\n".join(row.eva_sources))
            for number, column in enumerate(columns, 1):
                _embolden(item, number, row.model in best_models(rows, column))
            self.table.addTopLevelItem(item)
        for number in range(len(titles)):
            self.table.resizeColumnToContents(number)
        self.table.setVisible(card is not None)
        waiting = "" if card is None or card.is_done else f"{len(card.rows)} of {len(card.models)} encoders"
        self.progress.setText(waiting)
        self.stop.setEnabled(bool(waiting))


def _embolden(item: QTreeWidgetItem, column: int, best: bool) -> None:
    font = QFont(item.font(column))
    font.setBold(best)
    item.setFont(column, font)
