"""Settings of controllers as attributes of the session."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from . import Controllers

T = TypeVar("T")


class Setting(Generic[T]):
    """An attribute of the session that reads and writes the attribute of a controller.

    Parameters
    ----------
    path : str
        Controller and attribute, such as ``similarity.weights``.
    doc : str
    """

    def __init__(self, path: str, doc: str) -> None:
        self._controller, self._name = path.split(".")
        self.__doc__ = doc
        self._read = attrgetter(path)

    def __get__(self, session: Any, owner: type | None = None) -> T:
        """Return the value; the setting itself for the class."""
        if session is None:
            return self  # type: ignore[return-value]  # documentation tools look at the class
        controllers: Controllers = session.controllers
        return self._read(controllers)

    def __set__(self, session: Any, value: T) -> None:
        """Set the value; the controller validates it."""
        setattr(getattr(session.controllers, self._controller), self._name, value)
