"""Guard of moves that cause each other: of a view and of a session, or of two views."""

from types import TracebackType


class OneMove:
    """Context in which several parts are brought to one place: what each says of it meanwhile is no new move.

    It can be entered again from within. While it is entered it is true.
    """

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
