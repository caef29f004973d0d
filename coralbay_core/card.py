"""Model cards: what a set of weights is, what it expects, and where it may be used."""

import tomllib
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any

from .encoder import Preprocessing, Tiling
from .errors import WeightsError
from .swin3d import Swin3DConfig

DEFAULT_MODEL = "coralbay-mini"


@dataclass(frozen=True)
class ModelCard:
    """One model.

    Parameters
    ----------
    name, summary, license, intended_use, citation : str
    file : str
        Weights beside the card.
    sha256 : str
        Of that file.
    architecture : Swin3DConfig
    preprocessing : Preprocessing
    tiling : Tiling
    training, evaluation : dict
        What it was trained on, and measurements with the commands that print them; for people.
    """

    name: str
    summary: str
    license: str
    file: str
    sha256: str
    architecture: Swin3DConfig
    preprocessing: Preprocessing
    tiling: Tiling
    intended_use: str = ""
    citation: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    """A dataclass from a TOML table; lists become tuples, unknown and missing keys are errors."""
    known = {f.name for f in fields(cls)}
    if unknown := set(values) - known:
        raise WeightsError("unknown keys in a model card", where=where, found=sorted(unknown), expected=sorted(known))
    try:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except TypeError as error:
        raise WeightsError("incomplete model card", where=where, found=error) from error


def parse_card(text: str, where: str = "card") -> ModelCard:
    """A card from TOML."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError("model card is not TOML", where=where, found=error) from error
    tables = {"architecture": Swin3DConfig, "preprocessing": Preprocessing, "tiling": Tiling}
    for table, cls in tables.items():
        values[table] = _build(cls, values.get(table, {}), f"{where} [{table}]")
    return _build(ModelCard, values, where)


def list_cards() -> list[str]:
    """Names of the models that the package knows."""
    folder = files(__package__) / "cards"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_card(name: str) -> ModelCard:
    """The card of a model by its name."""
    if name not in list_cards():
        raise WeightsError("unknown model", found=name, expected=f"one of {', '.join(list_cards())}, or a path")
    return parse_card((files(__package__) / "cards" / f"{name}.toml").read_text("utf-8"), name)
