"""What the parts of the app share: wires that can be cut, and wishes of the page that are carried out at home."""

from collections.abc import Callable
from typing import Any, Protocol

from ..jobs import Job
from ..session import Session
from .dispatcher import MainThreadDispatcher

Slot = Callable[..., Any]


class Status(Protocol):
    """The line that says what happened."""

    def say(self, text: str) -> None: ...

    def show_error(self, error: Exception) -> None:
        """An error of a wish, for the user to read."""

    def forget_error(self) -> None:
        """A new wish is carried out."""

    def show_next_step(self, before: str = "") -> None:
        """Say what comes next, behind another text, unless work goes on that is shown."""


def when_done(job: Job | None, call: Callable[[], Any]) -> None:
    """Call a function once a job has ended well: at once if it has, never if it fails or is stopped."""
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
    """Wires between a session, what the page shows of it and what the page asks for.

    Parameters
    ----------
    session : Session
    courier : MainThreadDispatcher
        To the session's thread: kernels handle messages of widgets on threads of their own, even while a cell runs.
    status : Status
        Says what came of a wish.
    """

    def __init__(self, session: Session, courier: MainThreadDispatcher, status: Status) -> None:
        self.session = session
        self._courier = courier
        self._status = status
        self._links: list[tuple[Any, Slot]] = []

    def hear(self, signal: Any, slot: Slot) -> None:
        """Call a function when the session says so, until `close`."""
        signal.connect(slot)
        self._links.append((signal, slot))

    def obey(self, signal: Any, command: Slot) -> None:
        """Carry out what the page wants; an error of it becomes a line of text, in the place of an older one."""

        def wish(*arguments: Any) -> None:
            self._status.forget_error()
            command(*arguments)

        signal.connect(self.told(wish))

    def told(self, command: Slot) -> Slot:
        """The command as a wish: on the session's thread, and no error gets lost."""

        def carry_out(arguments: tuple[Any, ...]) -> None:
            try:
                command(*arguments)
            except Exception as error:  # nobody above would show it to the user
                self._status.show_error(error)

        return lambda *arguments: self._courier.here(lambda: carry_out(arguments))

    def close(self) -> None:
        """Hear nothing more of the session."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links.clear()
