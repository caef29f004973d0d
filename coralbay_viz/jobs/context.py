"""The context of a job: progress, cancellation and early results."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coralbay_core.errors import Cancelled


@dataclass(frozen=True)
class JobContext:
    """Connection of running work to its job.

    Parameters
    ----------
    progress : callable
        ``progress(done, total)`` reports how far the work is.
    cancelled : callable
        Returns whether the result is not wanted any more.
    deliver : callable
        Runs a function on the session's thread, in order, unless the job has been cancelled or replaced by then.
    """

    progress: Callable[[int, int], None]
    cancelled: Callable[[], bool]
    deliver: Callable[[Callable[[], None]], None]

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if the result is not wanted any more."""
        if self.cancelled():
            raise Cancelled("the result is not wanted any more")

    def post(self, call: Callable[..., Any], *values: Any) -> None:
        """Run ``call(*values)`` on the session's thread: an early result or a message."""
        self.deliver(lambda: call(*values))


def without_context(work: Callable[[], Any]) -> Callable[[JobContext], Any]:
    """Return work for a runner from a function that needs neither progress nor cancellation."""
    return lambda context: work()
