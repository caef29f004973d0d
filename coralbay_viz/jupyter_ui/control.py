"""Base class of the notebook controllers: signal connections, and browser requests run on the kernel's main thread."""

from collections.abc import Callable
from typing import Any, Protocol

from ..jobs import Job
from ..session import Session
from .dispatcher import MainThreadDispatcher

Slot = Callable[..., Any]


class Status(Protocol):
    """Interface of the status line."""

    def say(self, text: str) -> None:
        """Show a text."""

    def show_error(self, error: Exception) -> None:
        """Show the error of a command."""

    def forget_error(self) -> None:
        """Remove a previous error when a new command starts."""

    def show_next_step(self, before: str = "") -> None:
        """Show the next step after another text, unless a job is shown."""


def when_done(job: Job | None, call: Callable[[], Any]) -> None:
    """Call a function once a job has succeeded: at once if it has, never if it fails or is stopped."""
    if job is None:
        return

    def ended() -> None:
        if job.state == "done":
            call()

    if job.running:
        job.finished.connect(ended)
    else:
        ended()


class Control:
    """Connections between a session, its panels, and requests from the page.

    Parameters
    ----------
    session : Session
    courier : MainThreadDispatcher
        Runs calls on the session's thread: kernels may handle widget messages on other threads, even while a cell
        runs.
    status : Status
        Shows results and errors of commands.
    """

    def __init__(self, session: Session, courier: MainThreadDispatcher, status: Status) -> None:
        self.session = session
        self._courier = courier
        self._status = status
        self._links: list[tuple[Any, Slot]] = []

    def on_event(self, signal: Any, slot: Slot) -> None:
        """Connect a signal of the session to a slot, until `close`."""
        signal.connect(slot)
        self._links.append((signal, slot))

    def on_request(self, signal: Any, command: Slot) -> None:
        """Connect a request of the page to a command; an error replaces the previous one in the status line."""

        def request(*arguments: Any) -> None:
            self._status.forget_error()
            command(*arguments)

        signal.connect(self.guarded(request))

    def guarded(self, command: Slot) -> Slot:
        """Wrap a command: it runs on the session's thread, and errors go to the status line."""

        def carry_out(arguments: tuple[Any, ...]) -> None:
            try:
                command(*arguments)
            except Exception as error:  # nobody above would show it to the user
                self._status.show_error(error)

        return lambda *arguments: self._courier.here(lambda: carry_out(arguments))

    def close(self) -> None:
        """Disconnect from the session."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links.clear()
