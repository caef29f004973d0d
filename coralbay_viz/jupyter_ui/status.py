"""The status line: what goes on, what went wrong and what comes next."""

import logging
from collections.abc import Hashable
from typing import Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError

from ..jobs import Job
from ..session import Session
from .control import Control
from .dispatcher import MainThreadDispatcher
from .memory import give_back
from .panels.status_bar import StatusBar

_log = logging.getLogger(__name__)

_GIVE_BACK_EVERY = 8
_LOADING = "load session"

# Description of each kind of job that the user waits for.
_DOES = {
    "open": "Reading the scan",
    "load session": "Loading the session",
    "features": "Computing features",
    "pca": "Computing colors",
    "alignment": "Aligning the scans",
    "transfer": "Copying labels",
    "warp": "Bringing the second scan to this one",
    "scatter": "Computing the scatter plot",
    "windows": "Computing features under each window",
    "library": "Adding the scan to the library",
    "library search": "Searching the library",
    "training": "Computing colors of the checkpoint",
    "segmentation": "Segmenting",
    "statistics": "Measuring labels",
    "scorecard": "Comparing encoders",
    "save": "Saving",
}
_FIRST_STEPS = ("open", "features")
_SAY_MORE = ("save", "scorecard")  # elsewhere, than that they are over


class StatusLine(Control):
    """Controller of the status line: running jobs, errors and the next step.

    Attributes
    ----------
    running : dict of key to Job
        Running jobs by key.
    restoring : bool
        Whether a session is being loaded or its results are still being computed.
    """

    restored = Signal()

    def __init__(self, session: Session, courier: MainThreadDispatcher) -> None:
        super().__init__(session, courier, self)
        self.panel = StatusBar()
        self.running: dict[Hashable, Job] = {}
        self.restoring = False
        self._bad = False
        self._ends = 0
        self.on_request(self.panel.cancel_wanted, self._cancel)
        self.on_event(session.job_started, self._started)
        self.on_event(session.saved, lambda path: self.say(f"Saved {path}"))
        self.on_event(session.message, self.say)
        self.on_event(session.outlook_changed, self._show_outlook)
        self.on_event(session.scan_changed, lambda scan: self.show_next_step())
        self.on_event(session.failed, self.show_error)

    # Messages

    def say(self, text: str) -> None:
        """Show one line, unless a session is being restored."""
        if not self.restoring:
            self._write(text)

    def show_error(self, error: Exception) -> None:
        """Show an error as one line; with its type if the user cannot fix it."""
        if not isinstance(error, CoralBayError):
            _log.error("a command or a job failed", exc_info=error)
        text = str(error) if isinstance(error, CoralBayError) else f"{type(error).__name__}: {error}"
        self._bad = True
        self.panel.say(text, bad=True)

    def forget_error(self) -> None:
        """Remove the previous error."""
        if self._bad:
            self._write("")

    def show_next_step(self, before: str = "") -> None:
        """Show the next step after another text, if no job is running."""
        if not any(_does(other) for other in self.running.values()):
            self.say(f"{before} {self._next_step()}".strip())

    def _write(self, text: str) -> None:
        self._bad = False
        self.panel.say(text)

    def _next_step(self) -> str:
        session = self.session
        if session.scan is None:
            return "Next: open a scan (tab Scan)."
        if session.features is None:
            return "Next: press Compute features (tab Scan)."
        return "" if session.clicks else "Next: click in a view with Pick."

    def _show_outlook(self, scan: Any) -> None:
        """Show the estimate while features are computed."""
        if scan.outlook is not None:
            self.say(str(scan.outlook))

    # Jobs

    def _started(self, job: Job) -> None:
        self.running[job.key] = job
        self.restoring |= job.kind == _LOADING
        job.finished.connect(lambda: self._ended(job))
        if _does(job):
            self._bad = False
            self._show(job)
            job.progressed.connect(lambda progress: self._show(job))

    def _show(self, job: Job) -> None:
        self.panel.show_bar(job)
        if not self._bad:  # the work of another wish, meanwhile
            before = "Restoring the session: " if self.restoring and job.kind != _LOADING else ""
            self._write(f"{before}{_does(job)}: {job.progress}")

    def _cancel(self) -> None:
        self.session.cancel()
        what = [does for job in self.running.values() if (does := _does(job))]
        if what:
            self.say(f"{what[0]}: stopping ...")

    def _ended(self, job: Job) -> None:
        if self.running.get(job.key) is job:
            del self.running[job.key]
        self._ends += 1
        if self._ends % _GIVE_BACK_EVERY == 0:
            give_back()
        if what := _does(job):
            self.panel.show_bar(next((other for other in self.running.values() if _does(other)), None))
            self._show_end(job, what)
        if self.restoring:
            self._check_restored(job)

    def _show_end(self, job: Job, what: str) -> None:
        if self._bad:
            return
        if job.state == "cancelled":
            self.say(f"{what}: stopped")
        elif job.state == "done" and job.kind not in _SAY_MORE:
            self.say(f"{what}: {job.seconds:.1f} s. {self._next_step() if job.kind in _FIRST_STEPS else ''}")

    def _check_restored(self, job: Job) -> None:
        """Check whether a session is restored: jobs start their successors before they end, so none is running then."""
        if any(other.kind != "autosave" for other in self.running.values()):
            return
        failed = job.kind == _LOADING and job.state != "done"
        self.restoring = False
        if not failed:
            self.restored.emit()
        if not self._bad:
            self._write("" if failed else f"Session restored. {self._next_step()}")


def _does(job: Job) -> str | None:
    """Describe a job for the user; None for one that the user does not wait for."""
    return _DOES.get(job.kind)
