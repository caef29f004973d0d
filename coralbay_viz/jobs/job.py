"""A job: one piece of work with its state, progress and signals."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from psygnal import Signal

from .context import JobContext
from .progress import Progress

_REPORT_EVERY_S = 0.05

Work = Callable[[JobContext], Any]


@dataclass(frozen=True)
class Task:
    """Work for a runner, and the functions that receive its outcome.

    Parameters
    ----------
    key : hashable
        Identity, usually a `JobKey`; a newer task with the same key replaces an older one.
    work : callable
        ``work(context) -> result``. It reports progress, and raises `Cancelled` soon after ``context.cancelled()``
        turns true. It owns its input: nobody changes that meanwhile.
    done, failed : callable
        Exactly one is called, with the result or the exception; neither if the job was cancelled or replaced.
    started : callable
        Called with the job before the work begins.
    torch : bool
        Whether the work computes with torch.
    """

    key: Hashable
    work: Work
    done: Callable[[Any], Any]
    failed: Callable[[Exception], Any]
    started: "Callable[[Job], Any]" = lambda job: None
    torch: bool = False


class Job:
    """One piece of work. Its signals are emitted on the session's thread.

    Attributes
    ----------
    key : hashable
        As of its `Task`.
    state : str
        ``running``, then one of ``done``, ``failed``, ``cancelled``.
    """

    progressed = Signal(Progress)
    finished = Signal()

    def __init__(self, key: Hashable, generation: int) -> None:
        self.key = key
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

    @property
    def kind(self) -> str:
        """Kind of the result, as of its `JobKey`."""
        return str(self.key)

    @property
    def owner(self) -> Any:
        """Scan or path that the result belongs to; None if there is none."""
        return getattr(self.key, "owner", None)

    def cancel(self) -> None:
        """Request that the work stops; its result will not be used."""
        self._cancel.set()

    def wait(self, seconds: float) -> bool:
        """Block until the work is over or the time is up; return whether it is over. Its result may be on its way."""
        return self._over.wait(seconds)

    def end_work(self) -> None:
        """Release those who `wait`; called by the runner."""
        self._over.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancel.is_set()

    @property
    def running(self) -> bool:
        """Whether the job has not ended yet."""
        return self.state == "running"

    def should_report(self, done: int, total: int) -> bool:
        """Whether a progress report is passed on: thousands per second would block a GUI."""
        now = time.monotonic()
        if done < total and now - self._reported_s < _REPORT_EVERY_S:
            return False
        self._reported_s = now
        return True

    def progress_at(self, done: int, total: int) -> Progress:
        """Return the progress at this moment."""
        return Progress(done, total, time.monotonic() - self.started_s)
