"""Controller of the section Windows: the same clicks under several CT windows."""

from typing import TYPE_CHECKING, Any

from ..controllers.ct_windows import INSPECTED
from ..display.view_state import AGREEMENT
from ..model.places import place_text
from .control import Control
from .panels.windows import WindowsPanel
from .views_control import ViewsControl

if TYPE_CHECKING:
    from ..model.scan import Scan

_NOTHING = "Nothing"


class WindowsControl(Control):
    """Controller of the comparison of CT windows."""

    def __init__(self, views: ViewsControl, *wires: Any) -> None:
        super().__init__(*wires)
        session, self.views = self.session, views
        self.panel = panel = WindowsPanel()
        self.on_request(panel.inspect_wanted, self._inspect)
        self.on_request(panel.shown_chosen, self._choose)
        self.on_request(panel.answer_chosen, self._go)
        self.on_event(session.windows.changed, self.show)
        self.on_event(session.scan_changed, self.show)
        self.show()

    def show(self, scan: "Scan | None" = None) -> None:
        """Update the section."""
        active = self.session.scan
        result = active.windows if active is not None else None
        answers = result.comparison.answers if result is not None else ()
        known = active.volume.known_axes if active is not None else ""
        places = [place_text(answer.position_mm, known) for answer in answers]
        lines = [
            f"{answer.name}: rank correlation {answer.correlation:.2f}, best place {place}"
            for answer, place in zip(answers, places, strict=True)
        ]
        maps = (AGREEMENT, *(answer.name for answer in answers), _NOTHING)
        binding = self.views.binding
        shown = (binding.window_shown if binding is not None else AGREEMENT) or _NOTHING
        chance = f"Agreement by chance: {result.comparison.chance:.2f}" if result is not None else ""
        self.panel.show_answers(lines, maps, shown if shown in maps else AGREEMENT, chance)

    def _inspect(self) -> None:
        self.views.reveal_result(self.session.windows.compare(windows=INSPECTED), "windows")

    def _choose(self, name: str) -> None:
        if self.views.binding is not None:
            self.views.binding.window_shown = None if name == _NOTHING else name
            self.views.reveal("windows")

    def _go(self, number: int | None) -> None:
        scan = self.session.scan
        if number is not None and scan is not None and scan.windows is not None:
            self.views.go_to(scan.windows.comparison.answers[number].position_mm)
