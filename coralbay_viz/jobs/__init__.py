"""Jobs: work off the GUI thread, with progress and cancellation."""

from .context import JobContext, without_context
from .job import Job, Task, Work
from .keys import JobKey, Kind
from .progress import Progress, duration
from .runner import InlineRunner, Runner, exclusive
from .thread_runner import ThreadRunner

__all__ = [
    "InlineRunner",
    "Job",
    "JobContext",
    "JobKey",
    "Kind",
    "Progress",
    "Runner",
    "Task",
    "ThreadRunner",
    "Work",
    "duration",
    "exclusive",
    "without_context",
]
