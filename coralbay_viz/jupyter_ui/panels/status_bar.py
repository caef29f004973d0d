"""The line below the views: progress, errors and hints."""

from html import escape
from typing import TYPE_CHECKING

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, note, row

if TYPE_CHECKING:
    from ...jobs import Job


class StatusBar(Panel):
    """Status text, progress bar and Cancel button."""

    cancel_wanted = Signal()

    def __init__(self) -> None:
        self.bar = w.FloatProgress(0, min=0, max=1, layout=w.Layout(width="180px", visibility="hidden"))
        self.cancel = button("Cancel", "Stop the running jobs")
        self.cancel.layout.visibility = "hidden"
        self.text = note()
        super().__init__(row(self.text, self.bar, self.cancel))
        self._press(self.cancel, self.cancel_wanted)

    def show_bar(self, job: "Job | None") -> None:
        """Show the progress of a job; None hides the bar."""
        busy = job is not None and job.running
        self.bar.layout.visibility = self.cancel.layout.visibility = "visible" if busy else "hidden"
        if busy:
            self.bar.value = job.progress.fraction

    def say(self, text: str, bad: bool = False) -> None:
        """Show a line of text."""
        color = "var(--jp-error-color1, #b00020)" if bad else "inherit"
        self.text.value = f"<span role='{'alert' if bad else 'status'}' style='color:{color}'>{escape(text)}</span>"
