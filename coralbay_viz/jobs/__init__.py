"""Jobs: work off the GUI thread, with progress and cancellation."""

from .progress import Progress, duration
from .runner import InlineRunner, Job, Report, Runner, Task, ThreadRunner, Work, in_turn, leave_a_core

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
    "in_turn",
    "leave_a_core",
]
