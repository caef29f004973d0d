"""Suggested places for the next strokes."""

from typing import TYPE_CHECKING, Any

from ..context import Context
from .base import PanelBase, button, note

if TYPE_CHECKING:
    from coralbay_core.probe import Suggestion

    from ...model.scan import Scan

COUNT = 5


class Suggestions(PanelBase):
    """Navigation through suggestions; new ones are computed when needed.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._number: int | None = None  # of the one that is looked at
        self.next = button("Next suggestion", "Go to the next suggested place for a stroke")
        self.skip = button("Skip", "Skip this suggestion and compute new ones")
        self.row(self.next, self.skip, stretch=0)
        self.about = note()
        self.rows.addWidget(self.about)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.next.clicked.connect(lambda *_: self.go_on())
        self.skip.clicked.connect(lambda *_: self.turn_down())
        session = context.session
        context.connect(
            (session.suggestions_changed, self._arrived),
            (session.segmentation_changed, self._forget),
            (session.scan_changed, self._forget),
        )
        self._forget()

    # User actions

    def go_on(self) -> None:
        """Go to the next suggestion."""
        found = self._found()
        if not found:
            self._context.notify_errors(self._context.session.suggest)(COUNT)
        else:
            self._look_at(0 if self._number is None else (self._number + 1) % len(found))

    def turn_down(self) -> None:
        """Skip the current suggestion."""
        if self._found():
            self._context.notify_errors(self._context.session.skip)(self._number or 0)
        else:
            self._context.notify("No suggestion to skip: press Next suggestion first.")

    # Session events

    def _found(self) -> "tuple[Suggestion, ...]":
        scan = self._context.session.scan
        return scan.suggestions if scan else ()

    def _arrived(self, scan: "Scan") -> None:
        if scan is not self._context.session.scan:
            return
        if self._found():
            self._look_at(0)
        else:
            self._number = None
            self.about.setText("No more suggestions.")
            self.skip.setEnabled(False)

    def _forget(self, _: Any = None) -> None:
        scan = self._context.session.scan
        self._number = None
        self.next.setEnabled(bool(scan and scan.probe and scan.features))
        self.skip.setEnabled(bool(self._found()))
        self.about.setText("")

    def _look_at(self, number: int) -> None:
        found = self._found()
        self._number = number
        self.skip.setEnabled(True)
        self._context.binding.go_to(found[number].position_mm)
        names = self._context.painting.names()
        either = " or ".join(names.get(value, f"label {value}") for value in found[number].candidates)
        self.about.setText(f"{number + 1} of {len(found)}: {either}? Uncertainty {found[number].doubt:.0%}")
