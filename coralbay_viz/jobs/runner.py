"""Work off the GUI thread: a frozen request goes in, a result comes back unless something newer has replaced it.

A *lane* names what a job produces ("features", "heat", ...). A new job in a lane cancels the one before it and makes
its result stale: each job carries a generation number, and what arrives with an older one is dropped.
Two runners share this: `InlineRunner` works at once in the calling thread (scripts, tests), `ThreadRunner` on a thread
and hands everything that others see to `deliver`, which a GUI implements by posting to its own thread. Work that has
something to show before its end says so by `Report.tell`, which takes the same way.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from psygnal import Signal

from coralbay_core.errors import Cancelled

from .progress import Progress

_REPORT_EVERY_S = 0.05


@dataclass(frozen=True)
class Report:
    """What work is given to speak through: ``report(done, total)`` and ``report.tell(call, *values)``.

    Parameters
    ----------
    progress : callable
        Takes the numbers done and in all.
    deliver : callable
        Runs a function where the session lives, soon and in order, unless the job is stale by then.
    """

    progress: Callable[[int, int], None]
    deliver: Callable[[Callable[[], None]], None]

    def __call__(self, done: int, total: int) -> None:
        self.progress(done, total)

    def tell(self, call: Callable[..., Any], *values: Any) -> None:
        """Hand on what is ready before the end: ``call(*values)`` runs where `Task.done` would."""
        self.deliver(lambda: call(*values))


class Job:
    """One piece of work; its signals are emitted where the runner delivers.

    Attributes
    ----------
    state : str
        ``running``, then one of ``done``, ``failed``, ``cancelled``.
    """

    progressed = Signal(Progress)
    finished = Signal()

    def __init__(self, lane: str, generation: int) -> None:
        self.lane = lane
        self.generation = generation
        self.state = "running"
        self.progress = Progress()
        self.result: Any = None
        self.error: Exception | None = None
        self.started_s = time.monotonic()
        self.seconds = 0.0
        self._cancel = threading.Event()
        self._over = threading.Event()
        self._reported_s = 0.0

    def cancel(self) -> None:
        """Ask the work to stop; its result will not be used."""
        self._cancel.set()

    def wait(self, seconds: float) -> bool:
        """Block for so long, or until the work itself is over; whether it is. Its result may be on its way then."""
        return self._over.wait(seconds)

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()

    @property
    def running(self) -> bool:
        return self.state == "running"

    def should_report(self, done: int, total: int) -> bool:
        """Whether a report is worth passing on: a GUI that gets thousands a second has no time for the mouse."""
        now = time.monotonic()
        if done < total and now - self._reported_s < _REPORT_EVERY_S:
            return False
        self._reported_s = now
        return True

    def progress_at(self, done: int, total: int) -> Progress:
        return Progress(done, total, time.monotonic() - self.started_s)


Work = Callable[[Report, Callable[[], bool]], Any]


@dataclass(frozen=True)
class Task:
    """What a runner is asked to do.

    Parameters
    ----------
    lane : str
        What it produces; a newer task in the same lane replaces it.
    work : callable
        ``work(report, cancelled) -> result``; calls ``report(done, total)`` now and then (see `Report`) and raises
        `Cancelled` soon after ``cancelled()`` turns true. It must own what it reads: nobody changes that meanwhile.
    done, failed : callable
        Exactly one is called, with the result or the exception; none if the job was cancelled or replaced.
    started : callable
        Called with the job before the work begins.
    torch : bool
        Whether the work computes with torch.
    """

    lane: str
    work: Work
    done: Callable[[Any], Any]
    failed: Callable[[Exception], Any]
    started: Callable[[Job], Any] = lambda job: None
    torch: bool = False


class Runner(Protocol):
    """Where a session's work happens."""

    def submit(self, task: Task) -> Job:
        """Start a task; `Job.finished` is emitted at its end, however it ends."""

    def cancel(self, lane: str | None = None) -> None:
        """Stop the work in one lane, or all of it; results on their way are dropped."""

    def lanes(self) -> tuple[str, ...]:
        """Those in which work goes on."""

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run a function where the session lives after so long; a runner that works at once does not wait.

        What is returned keeps the function from being run.
        """

    def close(self) -> None:
        """Stop everything and accept nothing more."""


class _Lanes:
    """The newest job of each lane, while it runs: what is over is not kept, nor is its result."""

    def __init__(self) -> None:
        self._newest: dict[str, Job] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def start(self, lane: str) -> Job:
        with self._lock:
            if lane in self._newest:
                self._newest[lane].cancel()
            self._generation += 1
            self._newest[lane] = Job(lane, self._generation)
            return self._newest[lane]

    def cancel(self, lane: str | None) -> None:
        with self._lock:
            for name, job in self._newest.items():
                if lane in (None, name):
                    job.cancel()

    def names(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._newest)

    def wants(self, job: Job) -> bool:
        return self._newest.get(job.lane) is job and not job.cancelled

    def leave(self, job: Job) -> bool:
        """Let go of a job that is over; whether its result is wanted."""
        with self._lock:
            if self._newest.get(job.lane) is not job:
                return False
            del self._newest[job.lane]
            return not job.cancelled


def _finish(job: Job, task: Task, wanted: bool) -> None:
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
    finally:  # whoever shows that it runs must hear of its end, also where a listener of its result raises
        job.finished.emit()


def _show_early(task: Task, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception as error:  # what cannot be shown early must not keep the result from coming
        task.failed(error)


class InlineRunner:
    """Does the work at once, in the calling thread; errors are raised to the caller."""

    def __init__(self) -> None:
        self._lanes = _Lanes()

    def submit(self, task: Task) -> Job:
        job = self._lanes.start(task.lane)
        task.started(job)

        def report(done: int, total: int) -> None:
            job.progress = job.progress_at(done, total)
            job.progressed.emit(job.progress)

        def deliver(call: Callable[[], None]) -> None:
            if self._lanes.wants(job):
                _show_early(task, call)

        try:
            job.result = task.work(Report(report, deliver), lambda: job.cancelled)
        except Cancelled as error:
            job.error = error
        except BaseException:  # Ctrl-C, too, ends it
            self._lanes.leave(job)
            job.state = "failed"
            job._over.set()
            job.finished.emit()
            raise
        job._over.set()
        _finish(job, task, self._lanes.leave(job))
        return job

    def cancel(self, lane: str | None = None) -> None:
        self._lanes.cancel(lane)

    def lanes(self) -> tuple[str, ...]:
        return self._lanes.names()

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        call()
        return lambda: None

    def close(self) -> None:
        self.cancel()


class ThreadRunner:
    """Does each task on a thread of its own.

    Parameters
    ----------
    deliver : callable
        Runs a function where the session lives (the GUI thread), soon and in order. The default calls it from the
        worker thread, which is right only where nothing else touches the session.
    """

    def __init__(self, deliver: Callable[[Callable[[], None]], None] = lambda call: call()) -> None:
        self._deliver = deliver
        self._lanes = _Lanes()
        self._closed = False

    def submit(self, task: Task) -> Job:
        job = self._lanes.start(task.lane)
        if self._closed:
            job.cancel()
        task.started(job)
        threading.Thread(target=self._run, args=(job, task), name=f"coralbay {task.lane}", daemon=True).start()
        return job

    def cancel(self, lane: str | None = None) -> None:
        self._lanes.cancel(lane)

    def lanes(self) -> tuple[str, ...]:
        return self._lanes.names()

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        timer = threading.Timer(seconds, self._deliver, [lambda: None if self._closed else call()])
        timer.daemon = True
        timer.start()
        return timer.cancel

    def close(self) -> None:
        self._closed = True
        self.cancel()

    def _run(self, job: Job, task: Task) -> None:
        def report(done: int, total: int) -> None:
            if job.should_report(done, total) and not job.cancelled:
                progress = job.progress_at(done, total)
                self._deliver(lambda: self._show(job, progress))

        def tell(call: Callable[[], None]) -> None:
            if not job.cancelled:
                self._deliver(lambda: self._tell(job, task, call))

        try:
            if job.cancelled:
                raise Cancelled("stopped before it began")
            if task.torch:
                reserve_cpu_core()
            job.result = task.work(Report(report, tell), lambda: job.cancelled)
        except Exception as error:  # whatever happens in a thread must reach the user, not die with it
            job.error = error
        self._deliver(lambda: self._end(job, task))
        job._over.set()

    def _end(self, job: Job, task: Task) -> None:
        wanted = self._lanes.leave(job)
        if self._closed:
            job.state, job.result, job.error = "cancelled", None, None  # nobody is left to be told
        else:
            _finish(job, task, wanted)

    def _tell(self, job: Job, task: Task, call: Callable[[], None]) -> None:
        if not self._closed and self._lanes.wants(job):
            _show_early(task, call)

    def _show(self, job: Job, progress: Progress) -> None:
        if self._lanes.wants(job) and job.running:
            job.progress = progress
            job.progressed.emit(progress)


def exclusive(lock: Any, work: Work) -> Work:
    """Work that waits for its turn, and gives up if something newer has replaced it meanwhile.

    For what follows the mouse: jobs of one lane would else run side by side, each slower for the others.
    """

    def waiting(report: Report, cancelled: Callable[[], bool]) -> Any:
        with lock:
            if cancelled():
                raise Cancelled("something newer came before it began")
            return work(report, cancelled)

    return waiting


def reserve_cpu_core() -> None:
    """Keep torch on this thread from taking every core: the window needs one to stay alive."""
    import torch  # here, because jobs are the first to need it and it takes over a second to import

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
