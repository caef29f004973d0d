"""Runners: a task goes in, its result comes back unless a newer task with the same key has replaced it.

A new task cancels the one before it with the same key and makes its result stale: each job carries a generation number,
and results of an older one are dropped. `InlineRunner` works at once in the calling thread (scripts, tests);
`thread_runner.ThreadRunner` works on a thread per task.
"""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from coralbay_core.errors import Cancelled

from .context import JobContext
from .job import Job, Task, Work


class Runner(Protocol):
    """The place where a session's work is done."""

    def submit(self, task: Task) -> Job:
        """Start a task; `Job.finished` is emitted at its end, however it ends."""

    def cancel(self, key: Hashable | None = None) -> None:
        """Stop the job with a key, or all of them; results on their way are dropped."""

    def running(self) -> tuple[Hashable, ...]:
        """Return the keys of all running jobs."""

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run a function on the session's thread after a delay; a runner that works at once does not wait.

        Returns
        -------
        callable
            Cancels the call.
        """

    def close(self) -> None:
        """Stop everything and accept nothing more."""


class RunningJobs:
    """The newest job of each key while it runs. Finished jobs and their results are not stored."""

    def __init__(self) -> None:
        self._newest: dict[Hashable, Job] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def start(self, key: Hashable) -> Job:
        """Make a job, and cancel the one before it with the same key."""
        with self._lock:
            if key in self._newest:
                self._newest[key].cancel()
            self._generation += 1
            self._newest[key] = Job(key, self._generation)
            return self._newest[key]

    def cancel(self, key: Hashable | None) -> None:
        """Cancel the job with a key, or all of them."""
        with self._lock:
            for own, job in self._newest.items():
                if key is None or key == own:
                    job.cancel()

    def running(self) -> tuple[Hashable, ...]:
        """Return the keys of all running jobs."""
        with self._lock:
            return tuple(self._newest)

    def is_current(self, job: Job) -> bool:
        """Whether results of a job are wanted."""
        return self._newest.get(job.key) is job and not job.cancelled

    def finish(self, job: Job) -> bool:
        """Remove a finished job; return whether its result is wanted."""
        with self._lock:
            if self._newest.get(job.key) is not job:
                return False
            del self._newest[job.key]
            return not job.cancelled


def finish(job: Job, task: Task, wanted: bool) -> None:
    """Set the final state of a job and hand its outcome to the task."""
    job.seconds = time.monotonic() - job.started_s
    try:
        if not wanted or isinstance(job.error, Cancelled):
            job.state, job.error, job.result = "cancelled", None, None
        elif job.error is not None:
            job.state = "failed"
            task.failed(job.error)
        else:
            job.state = "done"
            try:
                task.done(job.result)
            except Exception as error:
                job.state, job.error = "failed", error
                raise
    finally:  # views that show the job as running must get its end, also where a listener of its result raises
        job.finished.emit()


def show_early(task: Task, call: Callable[[], None]) -> None:
    """Run the function that shows an early result; its failure must not prevent the final one."""
    try:
        call()
    except Exception as error:
        task.failed(error)


class RunnerBase:
    """The part of a runner that is about its running jobs."""

    def __init__(self) -> None:
        self._jobs = RunningJobs()

    def cancel(self, key: Hashable | None = None) -> None:
        """Cancel the job with a key, or all of them."""
        self._jobs.cancel(key)

    def running(self) -> tuple[Hashable, ...]:
        """Return the keys of all running jobs."""
        return self._jobs.running()


class InlineRunner(RunnerBase):
    """Runner that works at once in the calling thread; errors are raised to the caller."""

    def submit(self, task: Task) -> Job:
        """Do a task and return its finished job."""
        job = self._jobs.start(task.key)
        task.started(job)

        def report(done: int, total: int) -> None:
            job.progress = job.progress_at(done, total)
            job.progressed.emit(job.progress)

        def deliver(call: Callable[[], None]) -> None:
            if self._jobs.is_current(job):
                show_early(task, call)

        try:
            job.result = task.work(JobContext(report, lambda: job.cancelled, deliver))
        except Cancelled as error:
            job.error = error
        except BaseException:  # Ctrl-C, too, ends it
            self._jobs.finish(job)
            job.state = "failed"
            job.end_work()
            job.finished.emit()
            raise
        job.end_work()
        finish(job, task, self._jobs.finish(job))
        return job

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run a function at once."""
        call()
        return lambda: None

    def close(self) -> None:
        """Cancel all jobs."""
        self.cancel()


def exclusive(lock: Any, work: Work) -> Work:
    """Return work that waits for a lock, and gives up if a newer job has replaced it meanwhile.

    Jobs that follow the mouse would otherwise run side by side, each slower for the others.
    """

    def waiting(context: JobContext) -> Any:
        with lock:
            context.check_cancelled()
            return work(context)

    return waiting
