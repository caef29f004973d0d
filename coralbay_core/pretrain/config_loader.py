"""Parser of configuration files and ``key=value`` overrides; it reports all problems at once."""

import difflib
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import InputError, MissingFileError
from .config import PretrainConfig
from .loss_terms import TERMS

RENAMED = {"places": "batch_size"}
"""Former names of settings of the top level. They are accepted for one version, with a warning."""


class ConfigError(InputError):
    """A configuration that cannot be used.

    Parameters
    ----------
    problems : list of str
        All problems, one line each.
    """

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))

    def __reduce__(self):
        return type(self), (self.problems,)


def packaged() -> list[str]:
    """List the configurations of the package."""
    folder = files(__package__) / "configs"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_config(
    name_or_path: str | Path, overrides: Sequence[str] = (), *, warn: Callable[[str], None] | None = None
) -> PretrainConfig:
    """Read a configuration.

    Parameters
    ----------
    name_or_path : str or Path
        A TOML file, or the name of a packaged configuration.
    overrides : sequence of str
        ``key=value``, keys of tables with dots, e.g. ``objective.dino.weight=0.5``. Values as in TOML; text needs no
        quotes.
    warn : callable, optional
        Receives one line per setting that is written under its former name; by default ``warnings.warn``.

    Raises
    ------
    ConfigError
        With one line per problem.
    """
    values = _load(name_or_path)
    problems: list[str] = []
    warn = warn or (lambda text: warnings.warn(text, FutureWarning, stacklevel=4))
    values = _renamed(values, warn)
    _choose_budget(values, overrides)
    for override in overrides:
        _apply(values, _renamed_override(override, warn), problems)
    config = _build(PretrainConfig, values, "", problems)
    if problems:
        raise ConfigError(problems)
    return config


def config_from(tables: Mapping[str, Any]) -> PretrainConfig:
    """Make a configuration from nested tables, as `resolve.as_tables` gives them and ``run.json`` holds them.

    Raises
    ------
    ConfigError
        With one line per problem.
    """
    problems: list[str] = []
    config: PretrainConfig = _build(PretrainConfig, _renamed(tables), "", problems)
    if problems:
        raise ConfigError(problems)
    return config


def _load(name_or_path: str | Path) -> dict[str, Any]:
    name = str(name_or_path)
    if name in packaged():
        text = (files(__package__) / "configs" / f"{name}.toml").read_text("utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text("utf-8")
    else:
        raise MissingFileError(
            "no such configuration", where=name, expected=f"the path of a TOML file, or one of {', '.join(packaged())}"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError("configuration is not valid TOML", where=name, found=error) from error


def _renamed(values: Mapping[str, Any], warn: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Replace former names of settings; a value under the present name takes precedence."""
    found = dict(values)
    for former, present in RENAMED.items():
        if former in found:
            warn(_renaming(former))
            value = found.pop(former)
            found.setdefault(present, value)
    return found


def _renamed_override(override: str, warn: Callable[[str], None]) -> str:
    key, equals, value = override.partition("=")
    if key.strip() not in RENAMED:
        return override
    warn(_renaming(key.strip()))
    return f"{RENAMED[key.strip()]}{equals}{value}"


def _renaming(former: str) -> str:
    return f"setting {former} is now called {RENAMED[former]}; the old name will not be accepted by the next version"


def _choose_budget(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Let an override of steps or minutes replace the other one in the file."""
    given = {override.partition("=")[0].strip() for override in overrides} & {"steps", "minutes"}
    if len(given) == 1:
        values.pop({"steps": "minutes", "minutes": "steps"}[given.pop()], None)


def _apply(values: dict[str, Any], override: str, problems: list[str]) -> None:
    """Put one ``key=value`` into nested tables."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        problems.append(f"not a setting: {override} - expected key=value")
        return
    *tables, last = key.strip().split(".")
    for table in tables:
        inner: Any = values.setdefault(table, {})
        if not isinstance(inner, dict):
            problems.append(f"{table} is not a table - in {override}")
            return
        values = inner
    values[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _build(cls: type, values: dict[str, Any], where: str, problems: list[str]) -> Any:
    """Make a dataclass from a table; problems are added to `problems`."""
    known = {f.name: f for f in fields(cls)}
    hints = get_type_hints(cls)
    made = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else key
        if key not in known:
            problems.append(f"unknown setting {path}{_suggestion(key, known)}")
        elif path == "objective":
            made[key] = _objective(value, problems)
        elif is_dataclass(hints[key]):
            made[key] = _table(hints[key], value, path, problems)  # type: ignore[arg-type]
        else:
            converted, expected = _convert(value, hints[key])
            if expected:
                problems.append(f"{path} is {value!r}, expected {expected}")
            else:
                made[key] = converted
    try:
        return cls(**made)
    except InputError as error:
        problems.append(f"{where}: {error}")
        return cls()


def _table(cls: type, value: Any, path: str, problems: list[str]) -> Any:
    if isinstance(value, dict):
        return _build(cls, value, path, problems)
    problems.append(f"{path} is {value!r}, expected a table with {', '.join(f.name for f in fields(cls))}")
    return cls()


def _objective(value: Any, problems: list[str]) -> dict[str, Any]:
    """Settings of each term in the table."""
    made: dict[str, Any] = {}
    if not isinstance(value, dict):
        problems.append(f"objective is {value!r}, expected tables such as [objective.dino]")
        return made
    for name, table in value.items():
        if name in TERMS:
            made[name] = _table(TERMS[name].Settings, table, f"objective.{name}", problems)
        else:
            problems.append(f"unknown term objective.{name}{_suggestion(name, TERMS)}")
    return made


def _suggestion(key: str, known: Any) -> str:
    near = difflib.get_close_matches(key, list(known), n=1)
    return f" - did you mean {near[0]}?" if near else f" - known: {', '.join(known)}"


def _convert(value: Any, hint: Any) -> tuple[Any, str]:
    """Convert a value to the type of a setting; on failure return a description of the expected value."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        tried = [_convert(value, argument) for argument in arguments]
        good = [converted for converted, expected in tried if not expected]
        return (good[0], "") if good else (None, " or ".join(expected for _, expected in tried))
    if origin is Literal:
        return (value, "") if value in arguments else (None, " or ".join(map(repr, arguments)))
    if origin is tuple:
        return _convert_tuple(value, arguments)
    if hint is bool or isinstance(value, bool):
        return (value, "") if hint is bool and isinstance(value, bool) else (None, _NAMES.get(hint, "another value"))
    if hint is float and isinstance(value, (int, float)):
        return float(value), ""
    return (value, "") if isinstance(value, hint) else (None, _NAMES.get(hint, str(hint)))


_NAMES: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _convert_tuple(value: Any, arguments: tuple) -> tuple[Any, str]:
    many = len(arguments) == 2 and arguments[1] is Ellipsis
    expected = f"a list of {'' if many else f'{len(arguments)} times '}{_NAMES.get(arguments[0], 'values')}"
    if not isinstance(value, (list, tuple)) or not (many or len(value) == len(arguments)):
        return None, expected
    parts = [_convert(item, arguments[0]) for item in value]
    wrong = any(problem for _, problem in parts)
    return (None, expected) if wrong else (tuple(converted for converted, _ in parts), "")
