"""``models list``, ``show``, ``fetch``, ``verify``, ``convert`` and ``compact``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .options import DEFAULT_STAGES, Device, Json, Stages, strides
from .output import Progress, emit, note, table

if TYPE_CHECKING:
    from ..models.download import Verified
    from ..models.model_card import ModelCard

app = typer.Typer(help="The models that can be used, and what they are.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Model, as `models list` names it.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that the package knows."""
    from ..models.cards import WITHOUT_WEIGHTS
    from ..models.loading import is_here
    from ..models.model_card import list_cards, load_card
    from ..models.names import DEFAULT_MODEL

    cards = {name: load_card(name) for name in list_cards()}
    here = {name: is_here(card) for name, card in cards.items()}
    models: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": card.summary,
            "license": card.license,
            "noncommercial": card.noncommercial,
            "here": here[name],
        }
        for name, card in cards.items()
    ]
    models += [
        {"name": name, "summary": summary, "license": "", "noncommercial": False, "here": True}
        for name, summary in WITHOUT_WEIGHTS.items()
    ]
    state = {name: "default" if name == DEFAULT_MODEL else "here" if here[name] else "to fetch" for name in cards}
    lines = [f"{m['name']:<14} {state.get(m['name'], 'built in'):<9} {m['summary']}" for m in models]
    emit("models list", as_json=as_json, inputs={}, results={"default": DEFAULT_MODEL, "models": models}, lines=lines)


@app.command("show")
def show(model: Name, as_json: Json = False) -> None:
    """Print the card of a model: what it is, what it expects, what it was trained on and how it measures."""
    from ..models.cards import WITHOUT_WEIGHTS
    from ..models.model_card import load_card
    from ..models.names import split_variant

    if model in WITHOUT_WEIGHTS:
        _show_built_in(model, as_json)
        return
    card = load_card(split_variant(model)[0])  # variants share the weights
    emit("models show", as_json=as_json, inputs={"model": model}, results=card.to_dict(), lines=_card_lines(card))


def _show_built_in(model: str, as_json: bool) -> None:
    from dataclasses import asdict

    from ..models.cards import WITHOUT_WEIGHTS
    from ..models.loading import load_encoder

    encoder = load_encoder(model, device="cpu")
    results: dict[str, Any] = {
        "name": model,
        "summary": WITHOUT_WEIGHTS[model],
        "stages": encoder.channels,
        "preprocessing": asdict(encoder.preprocessing),
        "fingerprint": encoder.fingerprint,
    }
    lines = table({key: results[key] for key in ("name", "summary", "fingerprint")})
    for section in ("stages", "preprocessing"):
        lines += _section(section, results[section])
    emit("models show", as_json=as_json, inputs={"model": model}, results=results, lines=lines)


@app.command("fetch")
def fetch(model: Name, as_json: Json = False) -> None:
    """Download the weights of a model, once, and verify them."""
    from ..models.download import fetch as fetch_weights
    from ..models.model_card import load_card

    card = load_card(model)
    if card.source is not None:
        note(f"looking for {card.file} at {card.source.page}")
    verified = fetch_weights(card)
    if card.notice:
        note(card.notice)
    emit(
        "models fetch",
        as_json=as_json,
        inputs={"model": model},
        outputs={"weights": verified.path},
        results=_checksum(verified) | {"license": card.license, "noncommercial": card.noncommercial},
        lines=[*_checksum_lines(verified), *table({"license": card.license}), *_unknown_lines(card)],
    )


@app.command("verify")
def verify(
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Model, or file of weights.")],
    card: Annotated[
        str | None, typer.Option(metavar="NAME|CARD.toml", help="What the file is said to be; its checksum must agree.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="Encoder to take, where there are several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that weights are whole, what they are, and that they can be loaded."""
    from ..models.loading import inspect_weights, is_path, verify_weights

    verified = verify_weights(model, card=card)
    found = inspect_weights(verified.path, part=part)
    if not verified.against:
        note("no checksum is known for these weights: compare the one below with what their authors publish")
    emit(
        "models verify",
        as_json=as_json,
        inputs={"path" if is_path(model) else "model": model, "card": card},
        results={"path": verified.path} | _checksum(verified) | found,
        lines=[
            *table({"weights": verified.path}),
            *_checksum_lines(verified),
            *table({"parameters": f"{found['parameters'] / 1e6:.1f} M", "prefix": found["prefix"] or None}),
            *_section("architecture", found["architecture"]),
            *_section("ignored", {name: f"{count} tensors" for name, count in found["ignored"].items()}),
        ],
    )


@app.command("convert")
def convert(
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Model, or a checkpoint of the SwinUNETR family.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.safetensors", help="File to write.")],
    merging: Annotated[
        str | None,
        typer.Option(metavar="VARIANT", help="monai<=1.4 or monai>=1.5, by the MONAI that trained the weights; or v2."),
    ] = None,
    axis_codes: Annotated[
        str | None, typer.Option(metavar="RAS", help="Axis codes of the tensors that the weights were trained on.")
    ] = None,
    spacing: Annotated[float | None, typer.Option(metavar="MM", help="Spacing of the model grid.")] = None,
    window: Annotated[str | None, typer.Option(metavar="LOW,HIGH", help="HU that become 0 and 1.")] = None,
    card: Annotated[str | None, typer.Option(metavar="NAME|CARD.toml", help="Card to take the rest from.")] = None,
    part: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="Encoder to take, where there are several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write weights to a file that says how they are used, which `--model` of all commands takes."""
    from ..models.loading import convert_weights

    if out.suffix != ".safetensors":
        raise InputError("not a name of weights", where=out, expected="a name that ends in .safetensors")
    written = convert_weights(
        model,
        out,
        card=card,
        part=part,
        merging=merging,
        axis_codes=axis_codes,
        spacing_mm=spacing,
        window_hu=None if window is None else _window(window),
    )
    if written.notice:
        note(written.notice)
    emit(
        "models convert",
        as_json=as_json,
        inputs={"model": model, "card": card},
        outputs={"weights": out},
        results=written.to_dict(),
        lines=_card_lines(written),
    )


@app.command("compact")
def compact(
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Model to make the compact form of.")],
    cts: Annotated[list[Path], typer.Argument(metavar="CT...", help="Scans to fit it on, or folders of NIfTI files.")],
    dimensions: Annotated[int, typer.Option(metavar="N", help="Numbers a cell, of all stages together.")] = 128,
    stages: Stages = DEFAULT_STAGES,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT.safetensors", help="By default beside the weights.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit the compact form of a model, which `--model NAME:compact` of all commands uses."""
    from ..extraction.compact_fit import fit_compact
    from ..io import load_volume
    from ..models.loading import basis_path, load_encoder

    paths = [file for ct in cts for file in (sorted(ct.rglob("*.nii.gz")) if ct.is_dir() else [ct])]
    encoder = load_encoder(model, device=device)
    place = out or basis_path(model)
    basis = fit_compact(
        encoder,
        (load_volume(path) for path in paths),
        dimensions=dimensions,
        strides=strides(stages),
        progress=Progress("scans"),
        total=len(paths),
    )
    channels = {stride: len(stage.directions) for stride, stage in basis.stages.items()}
    emit(
        "models compact",
        as_json=as_json,
        inputs={"model": model, "scans": basis.scans, "dimensions": dimensions},
        outputs={"basis": basis.save(place)},
        results={"channels": channels, "explained": basis.explained, "fingerprint": basis.fingerprint},
        lines=[
            f"stride {stride:<2}  {count:>3} numbers a cell, {basis.explained[stride]:.1%} of the variance"
            for stride, count in channels.items()
        ],
    )


def _window(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError("unreadable window", where="--window", found=text, expected="two HU, e.g. -175,250") from None
    return low, high


def _checksum(verified: "Verified") -> dict[str, Any]:
    return {"sha256": verified.sha256, "agrees_with": verified.against or None}


def _checksum_lines(verified: "Verified") -> list[str]:
    compared = f"agrees with {verified.against}" if verified.against else "no checksum is known to compare with"
    return table({"sha256": verified.sha256, "checksum": compared})


def _unknown_lines(card: "ModelCard") -> list[str]:
    if not card.unknown:
        return []
    return table({"unknown": f"{', '.join(card.unknown)}: say it with `coralbay models convert {card.name}`"})


def _card_lines(card: "ModelCard") -> list[str]:
    content = card.to_dict()
    source = content["source"] or {}
    lines = table(
        {
            "name": card.name,
            "summary": card.summary,
            "license": card.license,
            "note": card.notice or None,
            "source": source.get("page"),
            "file": card.file,
            "sha256": card.sha256 or None,
            "for": card.intended_use or None,
            "cite": card.citation or None,
        }
    )
    for section in ("architecture", "preprocessing", "tiling", "training", "evaluation", "provenance"):
        lines += _section(section, content[section])
    return lines + _unknown_lines(card)


def _section(title: str, values: dict[str, Any]) -> list[str]:
    return [f"{title}:"] * bool(values) + [f"  {key:<22} {_text(value)}" for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
