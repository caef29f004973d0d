"""``models list`` and ``models show``."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json
from .output import emit, table

if TYPE_CHECKING:
    from ..card import ModelCard

app = typer.Typer(help="The models that can be used, and what they are.", rich_markup_mode=None)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that come with the package."""
    from ..card import DEFAULT_MODEL, list_cards, load_card

    cards = {name: load_card(name) for name in list_cards()}
    results = {
        "default": DEFAULT_MODEL,
        "models": [{"name": name, "summary": card.summary, "license": card.license} for name, card in cards.items()],
    }
    lines = [f"{name}{' (default)' * (name == DEFAULT_MODEL)}  {card.summary}" for name, card in cards.items()]
    emit("models list", as_json=as_json, inputs={}, results=results, lines=lines)


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="NAME", help="Model, as `models list` names it.")],
    as_json: Json = False,
) -> None:
    """Print the card of a model: what it is, what it expects, what it was trained on and how it measures."""
    from ..card import load_card

    card = load_card(model)
    emit("models show", as_json=as_json, inputs={"model": model}, results=asdict(card), lines=_card_lines(card))


def _card_lines(card: "ModelCard") -> list[str]:
    lines = table(
        {
            "name": card.name,
            "summary": card.summary,
            "license": card.license,
            "for": card.intended_use or None,
            "cite": card.citation or None,
        }
    )
    for section in ("architecture", "preprocessing", "tiling", "training", "evaluation"):
        values = asdict(card)[section]
        lines += [f"{section}:"] * bool(values) + [f"  {key:<22} {_text(value)}" for key, value in values.items()]
    return lines


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
