"""Results as files of the kernel's machine, and sessions; how far work is."""

import logging
from typing import Any

from coralbay_core.errors import CoralBayError

from ..jobs import Job
from ..keeping import AUTOSAVE_LANE
from .control import Control
from .memory import give_back
from .panels import FilePanel, StatusLine

_log = logging.getLogger(__name__)

_GIVE_BACK_EVERY = 8

# What a lane of jobs does, for people.
_DOES = {
    "open": "Reading the scan",
    "load": "Loading the session",
    "features": "Computing features",
    "pca": "Turning features into colors",
    "scatter": "Laying out points",
    "segmentation": "Fitting the probe",
    "statistics": "Measuring",
    "save": "Saving",
}


class Files(Control):
    """The panel of files."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        self.panel = FilePanel()
        self.obey(self.panel.save_wanted, self._save)
        self.obey(self.panel.load_wanted, self.session.load)

    def _save(self, kind: str, path: str) -> None:
        session = self.session
        saves = {
            "heat": session.save_heat,
            "pca": session.save_pca,
            "seg": session.save_segmentation,
            "statistics": session.save_statistics,
        }
        (saves | {"session": session.save})[kind](path)


class Progress(Control):
    """The line that says what goes on and what went wrong; knows the jobs that run.

    Attributes
    ----------
    running : dict of str to Job
        By lane.
    """

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        self.panel = StatusLine()
        self.running: dict[str, Job] = {}
        self._ends = 0
        self.obey(self.panel.cancel_wanted, self.session.cancel)
        self.hear(self.session.job_started, self._started)
        self.hear(self.session.saved, lambda path: self.panel.say(f"Saved {path}"))
        self.hear(self.session.said, self.panel.say)
        self.hear(self.session.outlook_changed, self._show_outlook)
        self.hear(self.session.failed, self.show_error)

    def show_error(self, error: Exception) -> None:
        """One line for what the user can mend; the kind of error, too, for what they cannot."""
        if not isinstance(error, CoralBayError):
            _log.error("a wish or a job failed", exc_info=error)
        text = str(error) if isinstance(error, CoralBayError) else f"{type(error).__name__}: {error}"
        self.panel.say(text, bad=True)

    def _show_outlook(self, scan: Any) -> None:
        """What is ahead, while features are computed."""
        if scan.outlook is not None:
            self.panel.say(str(scan.outlook))

    def _started(self, job: Job) -> None:
        self.running[job.lane] = job
        what = None if job.lane == AUTOSAVE_LANE else _DOES.get(job.lane.split()[0])
        job.finished.connect(lambda: self._ended(job, what))
        if what is not None:
            self.panel.show_job(job, what)
            job.progressed.connect(lambda progress: self.panel.show_job(job, what))

    def _ended(self, job: Job, what: str | None) -> None:
        if self.running.get(job.lane) is job:
            del self.running[job.lane]
        self._ends += 1
        if self._ends % _GIVE_BACK_EVERY == 0:
            give_back()
        if what is None:
            return
        self.panel.show_job(None)
        if job.state == "cancelled":
            self.panel.say(f"{what}: stopped")
        elif job.state == "done" and not job.lane.startswith("save"):
            self.panel.say(f"{what}: {job.seconds:.1f} s")
