"""The one way in which tests wait: for a condition, with a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], timeout: float = 60.0, *, meanwhile: Callable[[], object] | None = None
) -> T:
    """Return what `condition` returns as soon as it is true.

    Parameters
    ----------
    condition : callable
    timeout : float
        Seconds after which the test fails. Nothing is gained by a tight one: a condition that is met ends the wait.
    meanwhile : callable, optional
        Called between two looks at the condition, to run an event loop or to deliver the results of threads; without
        one the thread sleeps.
    """
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout:g} s: {getattr(condition, '__qualname__', condition)}"
        if meanwhile is None:
            time.sleep(0.005)
        else:
            meanwhile()
    return value


class Mailbox:
    """Stands for the thread of a user interface: calls that other threads deliver run when the test lets them."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def deliver(self, call: Callable[[], object]) -> None:
        """Take a call, from whatever thread."""
        self.calls.append(call)

    def step(self) -> None:
        """Run the next call, when there is one."""
        wait_until(lambda: self.calls)
        self.calls.pop(0)()

    def run_until(self, condition: Callable[[], T], timeout: float = 120.0) -> T:
        """Run calls in their order, and no more of them than it takes for `condition` to be true."""
        return wait_until(condition, timeout, meanwhile=self._run_one)

    def open(self, until: Callable[[], object] = lambda: True, timeout: float = 60.0) -> None:
        """Run all calls, and wait for others until a condition is true."""
        wait_until(lambda: not self.calls and until(), timeout, meanwhile=self._run_one)

    def _run_one(self) -> None:
        if self.calls:
            self.calls.pop(0)()
        else:
            time.sleep(0.001)
