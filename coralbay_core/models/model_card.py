"""Model cards: description, input, origin and terms of use of a set of weights."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..errors import MissingFileError, WeightsError
from .cards import ADAPTED, INSTALLABLE, WITHOUT_CARD
from .encoder import Preprocessing, Tiling
from .swin3d import Swin3DConfig
from .swin3d.config import Merging

MERGINGS: tuple[str, ...] = get_args(Merging)

# A model grid that is finer or coarser fits no memory or no body.
_SMALLEST_MM, _LARGEST_MM = 0.1, 100.0
_LARGEST_NUMBER = 1e9

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
        if not isinstance(value, str | list | tuple):
            raise WeightsError("unusable axis codes", found=value, expected="three directions such as RAS or SPL")
        codes = tuple(str(code).upper() for code in value)
        pairs = [{"R", "L"}, {"A", "P"}, {"S", "I"}]
        if len(codes) != 3 or not all(sum(code in pair for code in codes) == 1 for pair in pairs):
            raise WeightsError(
                "unusable axis codes", found="".join(codes), expected="three directions such as RAS or SPL"
            )
        return codes
    if key == "merging" and value not in MERGINGS:
        raise WeightsError("unknown merging variant", found=value, expected=f"one of {', '.join(MERGINGS)}")
    if key == "spacing_mm" and not (_fits(value, float) and _SMALLEST_MM <= value <= _LARGEST_MM):
        raise WeightsError(
            "unusable spacing", found=repr(value), expected=f"a number of mm from {_SMALLEST_MM} to {_LARGEST_MM}"
        )
    if key == "window_hu":
        pair = tuple(value) if isinstance(value, list | tuple) else ()
        if not _fits(pair, tuple[float, float]) or not pair[0] < pair[1]:
            raise WeightsError("unusable window", found=value, expected="two HU, the lower one first")
        low, high = map(float, pair)
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
    if not isinstance(values, dict):
        raise WeightsError("malformed model card", where=where, found=repr(values)[:60], expected="a table")
    if unknown := set(values) - known:
        raise WeightsError("unknown keys in a model card", where=where, found=sorted(unknown), expected=sorted(known))
    hints = get_type_hints(cls)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    for key, value in values.items():
        if not _fits(value, hints[key]):
            raise WeightsError(
                "malformed model card", where=where, found=f"{key} = {value!r}"[:80], expected=_words(hints[key])
            )
    try:
        return cls(**values)
    except TypeError as error:
        raise WeightsError("incomplete model card", where=where, found=error) from error


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of TOML is of the type of a field; numbers must be finite and not absurdly large."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        parts = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is ... else inner
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if origin is Literal:
        return value in inner
    if origin is dict:
        return isinstance(value, dict)
    if inner:
        return any(_fits(value, part) for part in inner)
    if hint in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return (whole or (hint is float and isinstance(value, float))) and abs(value) <= _LARGEST_NUMBER
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def parse_card(text: str, where: str = "card") -> ModelCard:
    """Parse a card from TOML."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise WeightsError("model card is not TOML", where=where, found=error) from error
    for table in ("architecture", "preprocessing"):
        if not isinstance(values.get(table, {}), dict):
            raise WeightsError("malformed model card", where=where, found=f"{table} is no table", expected="a table")
    _check_statements(values, where)
    tables = {"architecture": Swin3DConfig, "preprocessing": Preprocessing, "tiling": Tiling}
    for table, cls in tables.items():
        values[table] = _build(cls, values.get(table, {}), f"{where} [{table}]")
    if "source" in values:
        values["source"] = _build(Source, values["source"], f"{where} [source]")
    card: ModelCard = _build(ModelCard, values, where)
    if min(card.tiling.tile, card.tiling.step) < 1:
        raise WeightsError("unusable sizes", where=where, found=card.tiling, expected="sizes of 1 or more")
    return card


def _check_statements(values: dict[str, Any], where: str) -> None:
    """Raise unless each fact that shapes do not show is either stated or listed as unknown."""
    unknown = values.get("unknown", [])
    if not isinstance(unknown, list) or not all(isinstance(key, str) for key in unknown):
        raise WeightsError("unusable `unknown`", where=where, found=unknown, expected=sorted(_TABLE_OF))
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
    if name in WITHOUT_CARD:
        raise WeightsError("has no card", where=name, hint="use it by its name: --model " + name)
    if name not in list_cards():
        raise WeightsError(
            "unknown model",
            found=name,
            expected=f"one of {', '.join([*list_cards(), *INSTALLABLE, *ADAPTED])}, or a path",
        )
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
    try:
        return parse_card(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError("model card is not TOML", where=path, found=error) from error
