"""Opening of a session whose scans or weights are elsewhere on this machine: the window asks for them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..persistence.save_load import MissingModelError, MissingScanError
from .panels.features import WEIGHTS

if TYPE_CHECKING:
    from .context import Context


def load_session(context: "Context", load: Callable[..., Any], what: Any) -> None:
    """Load a session; ask for what it needs and does not find, until it is found or the user cancels.

    Parameters
    ----------
    context : Context
    load : callable
        `Session.load` or `Session.recover`.
    what : Path or RecoverableSession
    """
    needs: dict[str, Any] = {"scans": (), "model": None}
    while True:
        try:
            load(what, **needs)
            return
        except MissingModelError as error:
            missing = f"weights {error.name}"
            path = needs["model"] = context.ask_open(f"Choose the file of the {missing}", WEIGHTS)
        except MissingScanError as error:
            missing = error.name
            path = context.ask_folder(f"Choose the folder with this scan of the session: {missing}")
            needs["scans"] = (*needs["scans"], path)
        if path is None:
            context.warn(f"Session not opened: {missing} was not found.")
            return
