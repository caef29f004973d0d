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


def deliver_until(calls: list[Callable[[], object]], condition: Callable[[], T], timeout: float = 120.0) -> T:
    """Run what threads put into a list of calls, in order and one at a time, until `condition` is true."""

    def deliver() -> None:
        if calls:
            calls.pop(0)()
        else:
            time.sleep(0.001)

    return wait_until(condition, timeout, meanwhile=deliver)
