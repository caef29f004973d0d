"""Comparison of the search results under several CT windows."""

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ...controllers.ct_windows import INSPECTED
from ...display.layer_specs import share_spec
from ..context import Context
from .base import JobStatusText, PanelBase, button, combo, fill_table, note, place_text, table

if TYPE_CHECKING:
    from ...model.scan import Scan

_AGREEMENT, _NOTHING = "Agreement", "Nothing"


class WindowsPanel(PanelBase):
    """Results of the same clicks as if the scan were exported with a lung, a soft-tissue and a bone window.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.inspect = button("Inspect", "Repeat the search with several CT windows, around the last click")
        self.shown = combo("Show where the windows agree, or the result of one window", [_AGREEMENT, _NOTHING])
        self.row(self.inspect, self.shown, stretch=1)
        columns = ["Window", "Rank corr.", "Best place (mm)"]
        self.answers = table("Rank correlation of each window with the result of the full HU range", columns, 92)
        self.rows.addWidget(self.answers)
        self.hint = note()
        self.rows.addWidget(self.hint)
        self._job_status = JobStatusText(context, self._list)
        self._unseen: WeakSet[Scan] = WeakSet()  # whose results changed while another scan was active
        self.inspect.clicked.connect(context.notify_errors(self._inspect))
        self.shown.textActivated.connect(lambda _: self._show_layer())
        self.answers.currentItemChanged.connect(lambda *_: self._go())
        session = context.session
        context.connect((session.windows.changed, self._changed), (session.scan_changed, self._scan_changed))
        self._changed(session.scan)

    def _inspect(self, *_: Any) -> None:
        session = self._context.session
        self._job_status.show(
            session.windows.compare(windows=INSPECTED), "Computing features under each window…", session.scan
        )

    def _changed(self, scan: "Scan | None") -> None:
        if scan is self._context.session.scan:
            self._list()
            self._show_layer()
        else:
            self._unseen.add(scan)

    def _scan_changed(self, scan: "Scan | None") -> None:
        self._list()
        if scan in self._unseen:
            self._unseen.remove(scan)
            self._show_layer()

    def _list(self) -> None:
        scan = self._context.session.scan
        result = scan.windows if scan else None
        answers = result.comparison.answers if result else ()
        rows = [[a.name, f"{a.correlation:.2f}", place_text(a.position_mm)] for a in answers]
        fill_table(self.answers, rows)
        self.answers.setVisible(bool(rows))
        chosen = self.shown.currentText()
        names = [_AGREEMENT, *(answer.name for answer in answers), _NOTHING]
        self.shown.clear()
        self.shown.addItems(names)
        self.shown.setCurrentText(chosen if chosen in names else _AGREEMENT)
        self.shown.setEnabled(result is not None)
        chance = f"Agreement by chance: {result.comparison.chance:.2f}" if result else ""
        self.hint.setText(self._job_status.text or chance)

    def _show_layer(self) -> None:
        scan = self._context.session.scan
        if scan is None:
            return
        name = self.shown.currentText()
        if scan.windows is None or name == _NOTHING:
            self._context.binding.drop(scan, "windows")
            return
        data = scan.windows.stability if name == _AGREEMENT else scan.windows.shown[name]
        layer = self._context.binding.show(scan, share_spec(data, scan.windows.grid, "windows", "windows"))
        layer.name = f"windows: {name.lower()} - {scan.name}"
        self._context.binding.set_visible("heat", False)

    def _go(self) -> None:
        scan = self._context.session.scan
        number = self.answers.indexOfTopLevelItem(self.answers.currentItem())
        if scan is not None and scan.windows is not None and number >= 0:
            self._context.binding.go_to(scan.windows.comparison.answers[number].position_mm)
