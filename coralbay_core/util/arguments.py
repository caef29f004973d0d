"""Check of the arguments of public functions against their annotations.

A script that passes a path where labels are expected should read one line that names the argument, and not a traceback
from the depth of the package. Only types are checked; ranges and relations are the functions' own matter.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import InputError

P = ParamSpec("P")
T = TypeVar("T")

_MOST_SHOWN = 60
_POSITIONS = ("position_mm", "points_mm")
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "the name of a file or folder",
    NoneType: "None",
}


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function: an argument of another type than its annotation says is an `InputError`.

    Annotations that cannot be resolved, literals, arrays and protocols are not checked.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # the call itself raises it
        hints = _hints(function)
        for name, value in given.items():
            if name in hints and not _fits_parameter(value, hints[name], signature.parameters[name].kind):
                raise _wrong(function, name, value, hints[name])
        return function(*args, **kwargs)

    return wrapper


def as_path(path: str | Path) -> Path:
    """Return a path, or raise `InputError` for what cannot be one."""
    if not _fits(path, str | Path):
        raise InputError("not a path", found=_shown(path), expected=_WORDS[Path])
    return Path(path)


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by parameter, without those that name what is not imported."""
    found = {}
    for name, hint in inspect.get_annotations(function).items():
        holder = type("holder", (), {"__annotations__": {name: hint}})
        try:
            found[name] = get_type_hints(holder, vars(inspect.getmodule(function)))[name]
        except NameError:  # imported for type checkers alone
            continue
    found.pop("return", None)
    # What becomes of a position is checked where it is used, in words about positions.
    return {name: hint for name, hint in found.items() if name not in _POSITIONS}


def _wrong(function: Callable[..., Any], name: str, value: Any, hint: Any) -> InputError:
    is_path = Path in get_args(hint)
    return InputError(
        "not a path" if is_path else "argument of another type",
        where=f"{name} of {function.__name__}",
        found=_shown(value),
        expected=_expected(hint),
    )


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, str | int | float | bytes | Path):
        return f"{value!r:.{_MOST_SHOWN}}"
    return f"an object of type {type(value).__name__}"


def _expected(hint: Any) -> str:
    """Name of a type in words; of a union without None, which is a way to leave an argument out."""
    options = [part for part in get_args(hint) if part is not NoneType] if _is_union(hint) else [hint]
    if Path in options:
        options = [part for part in options if part is not str]
    return " or ".join(_name(part) for part in options)


def _name(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    inner = [part for part in get_args(hint) if part is not ...]
    if inner and _is_collection(hint):
        return f"several of: {_expected(inner[-1])}"
    name = getattr(get_origin(hint) or hint, "__name__", str(hint))
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _is_collection(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Iterable) and origin is not np.ndarray


def _fits_parameter(value: Any, hint: Any, kind: Any) -> bool:
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return all(_fits(part, hint) for part in value)
    return kind is inspect.Parameter.VAR_KEYWORD or _fits(value, hint)


def _fits(value: Any, hint: Any) -> bool:
    if _is_union(hint):
        if Path in get_args(hint) and isinstance(value, str):  # no text is a path
            return _fits(value, Path)
        return any(_fits(value, part) for part in get_args(hint))
    if hint is Path:
        return isinstance(value, os.PathLike) or (isinstance(value, str) and bool(value) and "\0" not in value)
    if hint is str:
        return isinstance(value, str) and "\0" not in value
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool | np.bool_)
    if _is_collection(hint):
        return _fits_collection(value, get_origin(hint), get_args(hint))
    if (
        hint is Any
        or not isinstance(hint, type)
        or hint is bool
        or get_args(hint)
        or getattr(hint, "_is_protocol", False)
    ):
        return True
    return isinstance(value, hint)


def _fits_collection(value: Any, origin: type, inner: tuple[Any, ...]) -> bool:
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    # Iterators are not consumed; the types of a tuple stand one by one.
    parts = value if isinstance(value, list | tuple) else ()
    if origin is tuple and inner[-1] is not ...:
        return len(parts) == len(inner) and all(map(_fits, parts, inner))
    return all(_fits(part, inner[0]) for part in parts)
