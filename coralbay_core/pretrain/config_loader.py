"""Configuration files and ``key=value`` to a `PretrainConfig`, or to all that is wrong with them."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import InputError, MissingFileError
from .config import PretrainConfig
from .loss_terms import TERMS


class ConfigError(InputError):
    """A configuration that cannot be used.

    Parameters
    ----------
    problems : list of str
        All of them, a line each.
    """

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))

    def __reduce__(self):
        return type(self), (self.problems,)


def packaged() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = files(__package__) / "configs"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> PretrainConfig:
    """A configuration.

    Parameters
    ----------
    name_or_path : str or Path
        A TOML file, or the name of a packaged configuration.
    overrides : sequence of str
        ``key=value``, keys of tables with dots, e.g. ``objective.dino.weight=0.5``. Values as in TOML; text needs no
        quotes.

    Raises
    ------
    ConfigError
        With a line for each thing that is wrong.
    """
    values = _load(name_or_path)
    problems: list[str] = []
    _choose_budget(values, overrides)
    for override in overrides:
        _apply(values, override, problems)
    config = _build(PretrainConfig, values, "", problems)
    if problems:
        raise ConfigError(problems)
    return config


def config_from(tables: Mapping[str, Any]) -> PretrainConfig:
    """A configuration from nested tables, as `resolve.as_tables` gives them and JSON keeps them.

    Raises
    ------
    ConfigError
        With a line for each thing that is wrong.
    """
    problems: list[str] = []
    config: PretrainConfig = _build(PretrainConfig, dict(tables), "", problems)
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
            "no such configuration", where=name, expected=f"a TOML file, or one of {', '.join(packaged())}"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError("configuration is not TOML", where=name, found=error) from error


def _choose_budget(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """A budget of steps or minutes that is said on top replaces the other kind in the file."""
    said = {override.partition("=")[0].strip() for override in overrides} & {"steps", "minutes"}
    if len(said) == 1:
        values.pop({"steps": "minutes", "minutes": "steps"}[said.pop()], None)


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
            problems.append(f"{table} is no table - in {override}")
            return
        values = inner
    values[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _build(cls: type, values: dict[str, Any], where: str, problems: list[str]) -> Any:
    """A dataclass from a table; what is wrong is added to `problems`."""
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
    """Settings of each term that is named."""
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
    """The value in the type of a setting, or what was expected."""
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
