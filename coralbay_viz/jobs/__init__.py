"""Jobs: work off the GUI thread, with progress and cancellation."""

from .progress import Progress, duration
from .runner import InlineRunner, Job, Report, Runner, Task, ThreadRunner, Work, exclusive, reserve_cpu_core

__all__ = [
    "InlineRunner",
    "Job",
    "Progress",
    "Report",
    "Runner",
    "Task",
    "ThreadRunner",
    "Work",
    "duration",
    "exclusive",
    "reserve_cpu_core",
]
