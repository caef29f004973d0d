"""First steps: how to begin while no scan is open, and progress while one is opened."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QProgressBar

from ...demo import samples
from ...jobs import Job, JobKey, Progress
from ..context import Context
from .base import PanelBase, button, note

if TYPE_CHECKING:
    from .scan import ScanPanel

_STEPS = (
    "<b>1.</b> Open a CT: a NIfTI file or a DICOM folder, or drop it on the window.",
    "<b>2.</b> Press <i>Compute features</i>, once per scan.",
    "<b>3.</b> Click a structure to find it and what looks alike, or paint strokes to segment.",
)


class WelcomePanel(PanelBase):
    """Three steps and two buttons, for as long as no scan is open.

    Parameters
    ----------
    context : Context
    scan_panel : ScanPanel
        Its buttons and its session menu are offered here, too.
    """

    def __init__(self, context: Context, scan_panel: "ScanPanel") -> None:
        super().__init__("CoralBay")
        self._context = context
        for text in _STEPS:
            line = QLabel(text)
            line.setWordWrap(True)
            self.rows.addWidget(line)
        self.open = button("Open…", "Open a CT, a saved session, or a session that was lost in a crash")
        self.sample = button("Sample CT", "Open a public chest CT (25 MB, downloaded once); offline, a synthetic torso")
        self.row(self.open, self.sample)
        self._fill_menu(scan_panel)
        self.sample.clicked.connect(self._open_sample)

    def _fill_menu(self, scan_panel: "ScanPanel") -> None:
        from qtpy.QtWidgets import QMenu

        menu = QMenu(self.open)
        menu.addAction("File…", scan_panel.open_file.click)
        menu.addAction("DICOM folder…", scan_panel.open_folder.click)
        menu.addSeparator()
        menu.addActions(scan_panel.session_menu.menu().actions())
        self.open.setMenu(menu)

    def _open_sample(self) -> None:
        session = self._context.session
        session.run(JobKey("open", "sample CT"), partial(samples.sample_ct, session.message.emit), session.add)


class OpeningBar(PanelBase):
    """What is being opened, with progress and a button to stop it.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._jobs: list[Job] = []
        self.text = note()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.cancel = button("Cancel", "Do not open it")
        self.row(self.bar, self.cancel, stretch=0)
        self.rows.insertWidget(0, self.text)
        self.cancel.clicked.connect(lambda *_: self._stop())
        context.connect((context.session.job_started, self._job_started))
        self._show()

    def _job_started(self, job: Job) -> None:
        if job.kind not in ("open", "load session") or not job.running:
            return

        def over() -> None:
            self._context.disconnect(*links)
            self._jobs.remove(job)
            self._show()

        links = ((job.progressed, self._progressed), (job.finished, over))
        self._context.connect(*links)
        self._jobs.append(job)
        self._progressed(Progress())
        self._show()

    def _progressed(self, progress: Progress) -> None:
        """Show how far it is; without numbers there is no bar: one that moves draws the window again and again."""
        self.bar.setVisible(progress.total > 0)
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)

    def _stop(self) -> None:
        for job in self._jobs:
            job.cancel()

    def _show(self) -> None:
        names = ", ".join(Path(str(job.owner)).name if job.owner is not None else "the session" for job in self._jobs)
        self.text.setText(f"Opening {names}…")
        self.setVisible(bool(self._jobs))
