"""Packages of optional extras, asked for before the work that needs them."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import MissingExtraError


def require_extra(extra: str, *modules: str, need: str, instead: str = "") -> None:
    """Raise unless all modules can be found; none is imported.

    Parameters
    ----------
    extra : str
        Of ``pip install "coralbay[extra]"``.
    *modules : str
        Top-level modules.
    need : str
        Beginning of the message: ``libraries need``.
    instead : str
        What can be done without the extra: the end of the message.

    Raises
    ------
    MissingExtraError
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtraError(f"{need} {', '.join(missing)}", hint=_hint(extra, instead))


def import_extra(extra: str, module: str, *, need: str, instead: str = "") -> Any:
    """Import a module of an extra; parameters and errors as of `require_extra`, also for a package that is broken."""
    require_extra(extra, module, need=need, instead=instead)
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{need} {module}", found=error, hint=_hint(extra, instead)) from error


def _hint(extra: str, instead: str) -> str:
    return f'pip install "coralbay[{extra}]"' + (f", {instead}" if instead else "")
