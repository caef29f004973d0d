"""Results of the same clicks under several CT windows."""

from collections.abc import Sequence

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, note, row


class WindowsPanel(Panel):
    """Section Windows: whether the result depends on the CT window."""

    inspect_wanted = Signal()
    shown_chosen = Signal(str)
    answer_chosen = Signal(int)

    def __init__(self) -> None:
        self.inspect = button("Inspect", "Repeat the search with several CT windows, around the last click")
        self.shown = w.Dropdown(options=[], layout=w.Layout(width="160px"))
        self.shown.tooltip = "Where the windows agree, or what one of them finds"
        self.answers = w.Select(options=[], rows=4, layout=w.Layout(width="420px"))
        self.answers.tooltip = (
            "Rank correlation of each window with the result of the full HU range; select one to go there"
        )
        self.hint = note()
        super().__init__(row(self.inspect, self.shown), self.answers, self.hint)
        self._press(self.inspect, self.inspect_wanted)
        self._wire(self.shown, self.shown_chosen)
        self._wire(self.answers, self.answer_chosen)

    def show_answers(self, answers: Sequence[str], maps: Sequence[str], shown: str, hint: str) -> None:
        """List the windows with their answers, and the maps that can be shown."""
        with self.showing():
            self.answers.options = [(line, number) for number, line in enumerate(answers)]
            self.answers.value = None
            self.shown.options = maps
            self.shown.value = shown
        self.shown.disabled = not answers
        self.answers.layout.display = "" if answers else "none"
        self.hint.value = hint
