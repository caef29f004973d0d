"""What the parts of the app share: wires that can be cut, and wishes of the page that are carried out at home."""

from collections.abc import Callable
from typing import Any

from ..session import Session
from .courier import Courier

Slot = Callable[..., Any]


class Control:
    """Wires between a session, what the page shows of it and what the page asks for.

    Parameters
    ----------
    session : Session
    courier : Courier
        To the session's thread: kernels handle messages of widgets on threads of their own, even while a cell runs.
    tell : callable
        Gets an error of a wish, for the user to read.
    """

    def __init__(self, session: Session, courier: Courier, tell: Callable[[Exception], None]) -> None:
        self.session = session
        self._courier = courier
        self._tell = tell
        self._links: list[tuple[Any, Slot]] = []

    def hear(self, signal: Any, slot: Slot) -> None:
        """Call a function when the session says so, until `close`."""
        signal.connect(slot)
        self._links.append((signal, slot))

    def obey(self, signal: Any, command: Slot) -> None:
        """Carry out what the page wants; an error of it becomes a line of text."""
        signal.connect(self.told(command))

    def told(self, command: Slot) -> Slot:
        """The command as a wish: on the session's thread, and no error gets lost."""

        def carry_out(arguments: tuple[Any, ...]) -> None:
            try:
                command(*arguments)
            except Exception as error:  # nobody above would show it to the user
                self._tell(error)

        return lambda *arguments: self._courier.here(lambda: carry_out(arguments))

    def close(self) -> None:
        """Hear nothing more of the session."""
        for signal, slot in self._links:
            signal.disconnect(slot)
        self._links.clear()
