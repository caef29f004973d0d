"""Progress of a job and its remaining time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Parameters
    ----------
    done, total : int
        In whatever unit the job counts; `total` 0 means that it cannot say.
    elapsed_s : float
    """

    done: int = 0
    total: int = 0
    elapsed_s: float = 0.0

    @property
    def fraction(self) -> float:
        """Fraction that is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Expected time left, or None while there is nothing to go by."""
        if not self.done or not self.total:
            return None
        return self.elapsed_s / self.done * (self.total - self.done)

    def __str__(self) -> str:
        left = self.remaining_s
        if left is None:
            return "starting" if not self.done else "working"
        return f"{self.fraction:.0%}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds for people: ``40 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
