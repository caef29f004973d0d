"""Dialog for a job on a worker thread whose result napari waits for."""

from typing import Any

from qtpy.QtCore import QEventLoop, Qt
from qtpy.QtWidgets import QApplication, QProgressDialog

from coralbay_core.errors import Cancelled

from ..jobs import InlineRunner, Job, Progress, Task, ThreadRunner, Work
from .dispatcher import MainThreadDispatcher

# Jobs that end sooner need no dialog.
_GRACE_S = 0.3


def result_of(work: Work, title: str) -> Any:
    """Run work on a thread and return its result; a dialog shows progress and a Cancel button meanwhile.

    Raises
    ------
    Cancelled
        If the user cancels.
    """
    if QApplication.instance() is None:
        return InlineRunner().submit(_task(work, title)).result
    courier = MainThreadDispatcher()
    runner = ThreadRunner(courier.deliver)
    job = runner.submit(_task(work, title))
    dialog = None if job.wait(_GRACE_S) else _dialog(job, title)
    loop = QEventLoop()
    job.finished.connect(lambda: loop.quit())
    loop.exec()  # calls from threads run in it, the end of the job too
    if dialog is not None:
        dialog.close()
        dialog.deleteLater()
    if job.state == "cancelled":
        raise Cancelled("stopped", where=title)
    if job.error is not None:
        raise job.error
    return job.result


def _task(work: Work, title: str) -> Task:
    return Task(title, work, lambda result: None, lambda error: None)


def _dialog(job: Job, title: str) -> QProgressDialog:
    dialog = QProgressDialog(f"{title}…", "Cancel", 0, 0, QApplication.activeWindow())
    dialog.setWindowTitle("CoralBay")
    dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)

    def show(progress: Progress) -> None:
        dialog.setMaximum(progress.total)
        dialog.setValue(progress.done)

    job.progressed.connect(show)
    dialog.canceled.connect(job.cancel)
    dialog.show()
    return dialog
