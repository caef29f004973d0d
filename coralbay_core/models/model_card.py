"""Model cards: description, input, origin and terms of use of a set of weights."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from ..errors import MissingFileError, WeightsError
from .cards import WITHOUT_WEIGHTS
from .encoder import Preprocessing, Tiling
from .swin3d import Swin3DConfig
from .swin3d.config import Merging

MERGINGS: tuple[str, ...] = get_args(Merging)

# Facts that no tensor's shape shows, with their table. A card states each of them or lists it under `unknown`.
_TABLE_OF = {
    "merging": "architecture",
    "axis_codes": "preprocessing",
    "spacing_mm": "preprocessing",
    "window_hu": "preprocessing",
}


@dataclass(frozen=True)
class Source:
    """Origin of weights that do not ship with the package.

    Parameters
    ----------
    page : str
        Web page for readers.
    repo, revision : str
        On the Hugging Face hub.
    url : str
        Of the file itself, where it is not on the hub.
    """

    page: str
    repo: str = ""
    revision: str = "main"
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Card of one model.

    Parameters
    ----------
    name, summary, license, intended_use, citation : str
    file : str
        Weights: beside the card, or in the source.
    architecture : Swin3DConfig
    preprocessing : Preprocessing
    tiling : Tiling
    sha256, md5 : str
        Of that file, where they are known.
    noncommercial : bool
        Whether commercial use is excluded, or could be.
    source : Source, optional
        None for weights that ship with the package.
    unknown : tuple of str
        Statements that could not be found out, among ``merging``, ``axis_codes``, ``spacing_mm`` and ``window_hu``;
        they must be given when the weights are loaded.
    provenance : dict
        Source of each statement of the card.
    training, evaluation : dict
        Training data, and measurements with the commands that print them; for readers.
    """

    name: str
    summary: str
    license: str
    file: str
    architecture: Swin3DConfig
    preprocessing: Preprocessing
    tiling: Tiling
    sha256: str = ""
    md5: str = ""
    noncommercial: bool = False
    source: Source | None = None
    unknown: tuple[str, ...] = ()
    intended_use: str = ""
    citation: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    @property
    def notice(self) -> str:
        """License notice to show to users; empty for unrestricted weights."""
        return f"{self.name}: not for commercial use (license: {self.license})" if self.noncommercial else ""

    def override(self, **statements: Any) -> "ModelCard":
        """Make a card with other statements; those that were unknown are known afterwards.

        Parameters
        ----------
        merging, axis_codes, spacing_mm, window_hu : optional
            None leaves the card as it is.
        """
        given = {key: value for key, value in statements.items() if value is not None}
        tables: dict[str, dict[str, Any]] = {"architecture": {}, "preprocessing": {}}
        for key, value in given.items():
            tables[_TABLE_OF[key]][key] = _checked(key, value)
        changes = {table: replace(getattr(self, table), **values) for table, values in tables.items()}
        return replace(self, **changes, unknown=tuple(key for key in self.unknown if key not in given))

    def to_dict(self) -> dict[str, Any]:
        """Convert the card to plain values; None where a statement is unknown."""
        content = asdict(self)
        for key in self.unknown:
            content[_TABLE_OF[key]][key] = None
        return content

    def to_toml(self) -> str:
        """Write the card as TOML, without empty statements."""
        return "\n".join(_toml(self.to_dict())) + "\n"


def _checked(key: str, value: Any) -> Any:
    """Convert a statement to the form that a card stores; raise if it is unusable."""
    if key == "axis_codes":
        codes = tuple(str(code).upper() for code in value)
        pairs = [{"R", "L"}, {"A", "P"}, {"S", "I"}]
        if len(codes) != 3 or not all(sum(code in pair for code in codes) == 1 for pair in pairs):
            raise WeightsError(
                "unusable axis codes", found="".join(codes), expected="three directions such as RAS or SPL"
            )
        return codes
    if key == "merging" and value not in MERGINGS:
        raise WeightsError("unknown merging variant", found=value, expected=f"one of {', '.join(MERGINGS)}")
    if key == "spacing_mm" and not value > 0:
        raise WeightsError("unusable spacing", found=value, expected="a number of mm above 0")
    if key == "window_hu":
        low, high = (float(hu) for hu in value)
        if not low < high:
            raise WeightsError("unusable window", found=(low, high), expected="two HU, the lower one first")
        return low, high
    return value


def _toml(values: Mapping[str, Any], table: str = "") -> Iterator[str]:
    """Lines of a TOML table, then of the tables inside it. JSON writes numbers, text and lists as TOML reads them."""
    prefix = f"{table}." if table else ""
    for key, value in values.items():
        if not isinstance(value, Mapping) and value not in (None, "", ()):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield f"\n[{prefix}{key}]"
            yield from _toml(value, f"{prefix}{key}")


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    """Make a dataclass from a TOML table; lists become tuples, unknown and missing keys are errors."""
    known = {f.name for f in fields(cls)}
    if unknown := set(values) - known:
        raise WeightsError("unknown keys in a model card", where=where, found=sorted(unknown), expected=sorted(known))
    try:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except TypeError as error:
        raise WeightsError("incomplete model card", where=where, found=error) from error


def parse_card(text: str, where: str = "card") -> ModelCard:
    """Parse a card from TOML."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError("model card is not TOML", where=where, found=error) from error
    _check_statements(values, where)
    tables = {"architecture": Swin3DConfig, "preprocessing": Preprocessing, "tiling": Tiling}
    for table, cls in tables.items():
        values[table] = _build(cls, values.get(table, {}), f"{where} [{table}]")
    if "source" in values:
        values["source"] = _build(Source, values["source"], f"{where} [source]")
    return _build(ModelCard, values, where)


def _check_statements(values: dict[str, Any], where: str) -> None:
    """Raise unless each fact that shapes do not show is either stated or listed as unknown."""
    unknown = values.get("unknown", [])
    if extra := set(unknown) - set(_TABLE_OF):
        raise WeightsError("unusable `unknown`", where=where, found=sorted(extra), expected=sorted(_TABLE_OF))
    for key, table in _TABLE_OF.items():
        stated = key in values.get(table, {})
        if stated == (key in unknown):
            found = "both stated and unknown" if stated else "neither stated nor under `unknown`"
            raise WeightsError("incomplete model card", where=f"{where} [{table}]", found=f"{key} {found}")
        if stated:
            _checked(key, values[table][key])


def list_cards() -> list[str]:
    """List the names of the models that have a card."""
    folder = files(__package__) / "cards"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_card(name: str) -> ModelCard:
    """Load the card of a model by its name."""
    if name in WITHOUT_WEIGHTS:
        raise WeightsError("has no weights and no card", where=name, hint="use it by its name: --model " + name)
    if name not in list_cards():
        raise WeightsError("unknown model", found=name, expected=f"one of {', '.join(list_cards())}, or a path")
    return parse_card((files(__package__) / "cards" / f"{name}.toml").read_text("utf-8"), name)


def open_card(name_or_path: "str | Path | ModelCard") -> ModelCard:
    """Open a card by the name of a model or from a TOML file."""
    if isinstance(name_or_path, ModelCard):
        return name_or_path
    if not str(name_or_path).endswith(".toml"):
        return load_card(str(name_or_path))
    path = Path(name_or_path)
    if not path.is_file():
        raise MissingFileError("no such model card", where=path)
    return parse_card(path.read_text("utf-8"), str(path))
