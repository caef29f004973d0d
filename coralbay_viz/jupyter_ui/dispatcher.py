"""From worker threads, and from the threads that a kernel handles widget messages on, to the thread of the cells.

Session and widgets live on the thread that runs cells. What other threads have for them is queued here and run when
the kernel's event loop is free, or while a cell waits in `wait`: a cell that waits for a job does not keep it from
ending.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

Call = Callable[[], None]

_LOOK_EVERY_S = 0.5


class MainThreadDispatcher:
    """Runs functions on the thread that made it, in the order in which they were handed in."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._home = threading.get_ident()
        self._open = True
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None  # a script: calls are run by `wait`

    def here(self, call: Call) -> None:
        """Run `call` at once where the calling thread is the one of the cells, else soon."""
        if threading.get_ident() == self._home:
            call()
        else:
            self.deliver(call)

    def deliver(self, call: Call) -> None:
        """Run `call` soon; from any thread."""
        self._calls.put(call)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._run_one)

    def wait(self, going_on: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Run what arrives until `going_on()` is false; whether that came within the time."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while going_on():
            left = _LOOK_EVERY_S if end is None else min(_LOOK_EVERY_S, end - time.monotonic())
            if left <= 0:
                return False
            try:
                call = self._calls.get(timeout=left)
            except Empty:
                continue
            if self._open:
                call()
        return True

    def close(self) -> None:
        """Run nothing that is still on its way."""
        self._open = False

    def _run_one(self) -> None:
        """One call for each that was handed in, so that one that fails does not hold up the next."""
        try:
            call = self._calls.get_nowait()
        except Empty:
            return  # a cell that waited was quicker
        if self._open:
            call()
