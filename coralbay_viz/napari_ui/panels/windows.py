"""Comparison of the search results under several CT windows."""

from typing import TYPE_CHECKING, Any

from ...controllers.ct_windows import INSPECTED
from ...display.view_state import AGREEMENT
from ...model.places import place_text
from ..context import Context
from .base import JobStatusText, PanelBase, button, combo, fill_table, note, table

if TYPE_CHECKING:
    from ...model.scan import Scan

_NOTHING = "Nothing"


class WindowsPanel(PanelBase):
    """Results of the same clicks as if the scan were exported with a lung, a soft-tissue and a bone window.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.inspect = button("Compare", "Repeat the search under several CT windows, around the last prompt")
        self.shown = combo("Draw where the windows agree, or what is found under one of them", [AGREEMENT, _NOTHING])
        self.row(self.inspect, self.shown, stretch=1)
        columns = ["Window", "Rank corr.", "Best place (mm)"]
        self.answers = table("Rank correlation of each window with the result of the full HU range", columns, 92)
        self.rows.addWidget(self.answers)
        self.hint = note()
        self.rows.addWidget(self.hint)
        self._job_status = JobStatusText(context, self._list)
        self.inspect.clicked.connect(context.notify_errors(self._inspect))
        self.shown.textActivated.connect(self._choose)
        self.answers.currentItemChanged.connect(lambda *_: self._go())
        session = context.session
        context.connect((session.windows.changed, self._changed), (session.scan_changed, self._list))
        self._list()

    def _inspect(self, *_: Any) -> None:
        session = self._context.session
        self._job_status.show(
            session.windows.compare(windows=INSPECTED), "Computing features under each window…", session.scan
        )

    def _changed(self, scan: "Scan | None") -> None:
        if scan is self._context.session.scan:
            self._list()

    def _list(self, _: Any = None) -> None:
        scan = self._context.session.scan
        result = scan.windows if scan else None
        answers = result.comparison.answers if result else ()
        rows = [[a.name, f"{a.correlation:.2f}", place_text(a.position_mm, scan.volume.known_axes)] for a in answers]
        fill_table(self.answers, rows)
        self.answers.setVisible(bool(rows))
        chosen = self._context.binding.view.window_shown or _NOTHING
        names = [AGREEMENT, *(answer.name for answer in answers), _NOTHING]
        self.shown.clear()
        self.shown.addItems(names)
        self.shown.setCurrentText(chosen if chosen in names else AGREEMENT)
        self.shown.setEnabled(result is not None)
        chance = f"Agreement by chance: {result.comparison.chance:.2f}" if result else ""
        self.hint.setText(self._job_status.text or chance)

    def _choose(self, name: str) -> None:
        binding = self._context.binding
        binding.set_view(window_shown=None if name == _NOTHING else name)
        if binding.layer("windows") is not None:
            binding.reveal("windows")

    def _go(self) -> None:
        scan = self._context.session.scan
        number = self.answers.indexOfTopLevelItem(self.answers.currentItem())
        if scan is not None and scan.windows is not None and number >= 0:
            self._context.binding.go_to(scan.windows.comparison.answers[number].position_mm)
