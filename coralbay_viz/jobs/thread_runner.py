"""A runner that does each task on a thread of its own."""

import os
import threading
from collections.abc import Callable

from coralbay_core.errors import Cancelled

from .context import JobContext
from .job import Job, Task
from .progress import Progress
from .runner import RunnerBase, finish, show_early


class ThreadRunner(RunnerBase):
    """Runner that does each task on a thread of its own.

    Parameters
    ----------
    deliver : callable
        Runs a function on the session's thread (the GUI thread), soon and in order. The default calls it on the worker
        thread, which is right only where nothing else uses the session.
    """

    def __init__(self, deliver: Callable[[Callable[[], None]], None] = lambda call: call()) -> None:
        super().__init__()
        self._deliver = deliver
        self._closed = False

    def submit(self, task: Task) -> Job:
        """Start a task on a new thread."""
        job = self._jobs.start(task.key)
        if self._closed:
            job.cancel()
        task.started(job)
        threading.Thread(target=self._run, args=(job, task), name=f"coralbay {task.key}", daemon=True).start()
        return job

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run a function on the session's thread after a delay; the returned function cancels the call."""
        timer = threading.Timer(seconds, self._deliver, [lambda: None if self._closed else call()])
        timer.daemon = True
        timer.start()
        return timer.cancel

    def close(self) -> None:
        """Cancel all jobs and deliver nothing more."""
        self._closed = True
        self.cancel()

    def _run(self, job: Job, task: Task) -> None:
        def report(done: int, total: int) -> None:
            if job.should_report(done, total) and not job.cancelled:
                progress = job.progress_at(done, total)
                self._deliver(lambda: self._show(job, progress))

        def deliver(call: Callable[[], None]) -> None:
            if not job.cancelled:
                self._deliver(lambda: self._show_early(job, task, call))

        try:
            if job.cancelled:
                raise Cancelled("stopped before it began")
            if task.torch:
                reserve_cpu_core()
            job.result = task.work(JobContext(report, lambda: job.cancelled, deliver))
        except Exception as error:  # an error on a thread must reach the user
            job.error = error
        self._deliver(lambda: self._end(job, task))
        job.end_work()

    def _end(self, job: Job, task: Task) -> None:
        wanted = self._jobs.finish(job)
        if self._closed:
            job.state, job.result, job.error = "cancelled", None, None
        else:
            finish(job, task, wanted)

    def _show_early(self, job: Job, task: Task, call: Callable[[], None]) -> None:
        if not self._closed and self._jobs.is_current(job):
            show_early(task, call)

    def _show(self, job: Job, progress: Progress) -> None:
        if self._jobs.is_current(job) and job.running:
            job.progress = progress
            job.progressed.emit(progress)


def reserve_cpu_core() -> None:
    """Leave one core to the window: torch on this thread would take all of them."""
    import torch  # here, because jobs are the first to need it and it takes over a second to import

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
