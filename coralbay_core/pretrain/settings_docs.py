"""Tables of all settings for docs/reference/pretraining-settings.md, generated from the dataclasses' docstrings.

``python -m coralbay_core.pretrain.settings_docs PAGE`` updates the part of a documentation page between its two marks.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from .config import PretrainConfig
from .loss_terms import TERMS

BEGIN, END = "<!-- settings: made by coralbay_core.pretrain.settings_docs -->", "<!-- end of settings -->"


@dataclass(frozen=True)
class SettingRow:
    """One setting: name, default in TOML, meaning."""

    name: str
    default: str
    meaning: str


def tables() -> dict[str, list[SettingRow]]:
    """Collect the settings by the name of their table, which is empty for the top level."""
    found = {"": _rows(PretrainConfig)}
    for field, hint in get_type_hints(PretrainConfig).items():
        if is_dataclass(hint):
            found[field] = _rows(hint)  # type: ignore[arg-type]
    return found | {f"objective.{name}": _rows(term.Settings) for name, term in TERMS.items()}


def _rows(cls: type) -> list[SettingRow]:
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meanings |= _meanings(base.__doc__ or "")
    hints = get_type_hints(cls)
    return [
        SettingRow(f.name, _default(f), meanings.get(f.name, ""))
        for f in fields(cls)
        if not is_dataclass(hints[f.name]) and f.name != "objective"
    ]


def _default(field: Any) -> str:
    if field.default is MISSING:
        return ""
    return json.dumps(list(field.default) if isinstance(field.default, tuple) else field.default)


def _meanings(docstring: str) -> dict[str, str]:
    """Parse the meaning of each parameter in a numpy docstring; without a text it is the type."""
    _, _, text = inspect.cleandoc(docstring).partition("Parameters\n----------\n")
    meanings: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text.split("\n\n")[0]):
        head, _, body = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        meaning = " ".join(body.split()) or kind
        meanings |= {name.strip(): meaning for name in names.split(",") if name.strip()}
    return meanings


def markdown() -> str:
    """Format the tables in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for table, rows in tables().items():
        yield f"\n### `[{table}]`\n" if table else "\n### Top level\n"
        if table.startswith("objective."):
            yield f"{(TERMS[table.partition('.')[2]].Settings.__doc__ or '').splitlines()[0]}\n"
        yield "| setting | default | |"
        yield "|---|---|---|"
        for row in rows:
            meaning = row.meaning.replace("``", "`").replace("|", "\\|")
            yield f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {meaning} |"


def renewed(page: str) -> str:
    """Return a page with the current tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown()}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> None:
    """Update the tables of a page."""
    (name,) = arguments
    path = Path(name)
    path.write_text(renewed(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
