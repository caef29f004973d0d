"""Graceful stop of a run on the signals that a cluster sends before it ends a job."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Request to stop the run; true after a signal.

    Attributes
    ----------
    name : str
        Name of the signal; empty without a request.
    """

    name: str = ""

    def __bool__(self) -> bool:
        return bool(self.name)


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGUSR1 (SLURM's ``--signal``) into a request that the run checks after each step."""
    request = StopRequest()

    def received(number: int, frame: object) -> None:
        request.name = signal.Signals(number).name

    numbers = [signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # Python gives signals to the main thread only
    before = {number: signal.signal(number, received) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
