"""Dispatch of calls from worker threads and widget-message threads to the thread that runs cells.

Session and widgets live on the thread that runs cells. Calls from other threads are queued here and run when
the kernel's event loop is free, or while a cell waits in `wait`, so that a cell that waits for a job does not block it.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

Call = Callable[[], None]

_LOOK_EVERY_S = 0.5


class MainThreadDispatcher:
    """Queue of functions that run, in order, on the thread that created it."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._home = threading.get_ident()
        self._open = True
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None  # a script: calls are run by `wait`

    def here(self, call: Call) -> None:
        """Run `call` at once on the thread of the cells, else schedule it."""
        if threading.get_ident() == self._home:
            call()
        else:
            self.deliver(call)

    def deliver(self, call: Call) -> None:
        """Schedule `call`; from any thread."""
        self._calls.put(call)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._run_one)

    def wait(self, going_on: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Run queued calls until `going_on()` is false; return whether that happened within the time."""
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
        """Discard the calls that are still queued."""
        self._open = False

    def _run_one(self) -> None:
        """Run one call per scheduled one, so that a failing call does not block the next."""
        try:
            call = self._calls.get_nowait()
        except Empty:
            return  # a cell that waited was quicker
        if self._open:
            call()
