"""Suggested places for the next strokes, answered with one key each."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from ..actions import with_key
from ..context import Context
from ..suggestion_keys import ACCEPT, LEAVE, SKIP, SuggestionKeys
from .base import PanelBase, button, note

if TYPE_CHECKING:
    from ...model.scan import Scan


class Suggestions(PanelBase):
    """Navigation through suggestions, and their answers; new ones are computed when needed.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._suggestions = context.session.suggestions
        self._keys = SuggestionKeys(context)
        self.next = button(
            "Next suggestion", with_key("Go to the next suggested place for a stroke", "next_suggestion")
        )
        self.accept = button("Accept", f"Paint the proposed class here ({ACCEPT})")
        self.skip = button("Skip", f"Skip this suggestion and find others ({SKIP})")
        self.row(self.next, self.accept, self.skip, stretch=0)
        self.about = note()
        self.rows.addWidget(self.about)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.next.clicked.connect(lambda *_: self.go_on())
        self.accept.clicked.connect(context.notify_errors(lambda *_: self._suggestions.answer()))
        self.skip.clicked.connect(lambda *_: self.turn_down())
        session = context.session
        context.connect(
            (self._suggestions.shown_changed, self._look),
            (self._suggestions.suggestions_changed, self._arrived),
            (session.segmentation_changed, self._show),
            (session.scan_changed, self._show),
        )
        self._show()

    # User actions

    def go_on(self) -> None:
        """Go to the next suggestion."""
        self._context.notify_errors(self._suggestions.show_next)()

    def turn_down(self) -> None:
        """Skip the suggestion that is shown."""
        self._context.notify_errors(self._suggestions.skip_shown)()

    # Session events

    def _arrived(self, scan: "Scan") -> None:
        if scan is self._context.session.scan and not scan.suggestions:
            self.about.setText("No more suggestions.")

    def _look(self, scan: "Scan") -> None:
        """Go to the suggestion that is shown now."""
        self._show()
        shown = self._suggestions.shown
        if shown is not None and scan is self._context.session.scan:
            self._context.binding.go_to(shown.position_mm)
            main_window(self).setFocus()  # a button that has it would take the keys

    def _show(self, _: Any = None) -> None:
        scan, shown = self._context.session.scan, self._suggestions.shown
        self.next.setEnabled(bool(scan and scan.probe and scan.features))
        for made in (self.accept, self.skip):
            made.setEnabled(shown is not None)
        if scan is None or shown is None:
            self.about.setText("")
            return
        names = self._context.painting.names()
        first, *others = (names.get(value, f"label {value}") for value in shown.candidates)
        either = " or ".join((first, *others))
        self.about.setText(
            f"{(scan.shown_suggestion or 0) + 1} of {len(scan.suggestions)}: {either}? "
            f"Uncertainty {shown.doubt:.0%}<br>"
            f"{ACCEPT}: {first}. 1 to 9: another class of the table. {SKIP}: skip. {LEAVE}: leave."
        )


def main_window(widget: QWidget) -> QWidget:
    """Return the window at the bottom, also of a widget whose dock floats."""
    window = widget.window()
    while window.parentWidget() is not None:
        window = window.parentWidget().window()
    return window
