"""The command group ``models``: list, show, download, verify and convert models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from . import options
from .command_line import CommandLine
from .common import require_outputs
from .options import Device, Json, Stages, model_names, strides
from .output import Progress, emit, note, table
from .scans import scans_in

if TYPE_CHECKING:
    from ..models.download import Verified
    from ..models.model_card import ModelCard

app = CommandLine(help="List, download, verify and convert models.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=model_names, help="Name of a model from `coralbay models list`.")
]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List all known models and whether their weights are downloaded."""
    from ..models.adapted import ADAPTED_MODELS
    from ..models.cards import INSTALLABLE, WITHOUT_WEIGHTS
    from ..models.download import locate
    from ..models.i3resnet_encoder import LICENSE, is_installed
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
    models += [
        {"name": name, "summary": summary, "license": LICENSE, "noncommercial": False, "here": is_installed(name)}
        for name, summary in INSTALLABLE.items()
    ]
    fetched = {name: locate(model) is not None for name, model in ADAPTED_MODELS.items()}
    models += [
        {
            "name": name,
            "summary": model.summary,
            "license": model.license,
            "noncommercial": model.noncommercial,
            "here": fetched[name],
        }
        for name, model in ADAPTED_MODELS.items()
    ]
    state = {name: "default" if name == DEFAULT_MODEL else "local" if here[name] else "to fetch" for name in cards}
    state |= {name: "local" if is_installed(name) else "to install" for name in INSTALLABLE}
    state |= {name: "local" if here else "to fetch" for name, here in fetched.items()}
    lines = [f"{m['name']:<14} {state.get(m['name'], 'built in'):<10} {m['summary']}" for m in models]
    emit("models list", as_json=as_json, inputs={}, results={"default": DEFAULT_MODEL, "models": models}, lines=lines)


@app.command("show")
def show(model: Name, as_json: Json = False) -> None:
    """Print the card of a model.

    It states license, architecture, preprocessing, training data and measured quality.
    """
    from ..models.cards import WITHOUT_CARD
    from ..models.model_card import load_card
    from ..models.names import split_variant

    if model in WITHOUT_CARD:
        _show_without_card(model, as_json)
        return
    card = load_card(split_variant(model)[0])  # variants share the weights
    emit("models show", as_json=as_json, inputs={"model": model}, results=card.to_dict(), lines=_card_lines(card))


def _show_without_card(model: str, as_json: bool) -> None:
    from dataclasses import asdict

    from ..models.cards import WITHOUT_CARD
    from ..models.loading import load_encoder

    encoder = load_encoder(model, device="cpu")
    results: dict[str, Any] = {
        "name": model,
        "summary": WITHOUT_CARD[model],
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
    """Download the weights of a model and verify them."""
    from ..models.adapted import ADAPTED_MODELS
    from ..models.download import fetch as fetch_weights
    from ..models.model_card import load_card

    card = ADAPTED_MODELS.get(model) or load_card(model)
    if card.source is not None:
        note(f"downloading {card.file} from {card.source.page} unless it is in the local cache")
    verified = fetch_weights(card)
    if card.notice:
        note(card.notice)
    emit(
        "models fetch",
        as_json=as_json,
        inputs={"model": model},
        outputs={"weights": verified.path},
        results=_checksum(verified) | {"license": card.license, "noncommercial": card.noncommercial},
        lines=[*_checksum_lines(verified), *table({"license": card.license}), *_unknown_lines(card.name, card.unknown)],
    )


@app.command("verify")
def verify(
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Model name, or path of a weights file.")],
    card: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|CARD.toml", help="Model card that the file must agree with, including its checksum."
        ),
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="Prefix of the encoder to use if the checkpoint has several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check weights and print their architecture.

    The checksum is compared with the model card, and the weights are loaded.
    """
    from ..models.loading import inspect_weights, is_path, verify_weights

    verified = verify_weights(model, card=card)
    found = inspect_weights(verified.path, part=part)
    if not verified.against:
        note("no known checksum for these weights: compare the one below with the value that their authors publish")
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
    model: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="Model name, or path of a SwinUNETR-type checkpoint.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.safetensors", help="File to write.")],
    merging: Annotated[
        str | None,
        typer.Option(
            metavar="VARIANT",
            help="Patch merging of the weights: monai<=1.4 or monai>=1.5 (MONAI version used for training), or v2.",
        ),
    ] = None,
    axis_codes: Annotated[
        str | None, typer.Option(metavar="RAS", help="Orientation of the training images, as axis codes.")
    ] = None,
    spacing: Annotated[float | None, typer.Option(metavar="MM", help="Voxel size of the training images.")] = None,
    window: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="HU values that the training mapped to 0 and 1.")
    ] = None,
    card: Annotated[
        str | None, typer.Option(metavar="NAME|CARD.toml", help="Model card that supplies all other properties.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="Prefix of the encoder to use if the checkpoint has several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert weights to a file of this package.

    The file also holds the preprocessing, and can be used as --model of every command.
    """
    from ..models.loading import convert_weights

    if out.suffix != ".safetensors":
        raise InputError("not a weights file name", where=out, expected="a name that ends in .safetensors")
    require_outputs([out], *(Path(text) for text in (model, card) if text))
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
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Model name or path of a weights file.")],
    cts: Annotated[list[Path], typer.Argument(metavar="CT|FOLDER", help="CT scans to fit on, or folders of scans.")],
    dimensions: Annotated[
        int, typer.Option(metavar="N", help="Feature numbers per cell, summed over all stages.")
    ] = 128,
    stages: Stages = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT.safetensors", help="File to write.  [default: next to the weights]"),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit the compact variant of a model.

    It is used as --model NAME:compact of every command.
    """
    from ..extraction.compact_fit import fit_compact
    from ..io import load_volume
    from ..models.loading import basis_path, load_encoder

    options.require_safetensors(out, "basis")
    paths = [source.path for ct in cts for source in scans_in(ct).sources]
    encoder = load_encoder(model, device=device)
    place = out or basis_path(model)
    require_outputs([place], Path(model), *cts, *paths)
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
            f"stride {stride:<2}  {count:>3} numbers per cell, {basis.explained[stride]:.1%} of the variance"
            for stride, count in channels.items()
        ],
    )


@app.command("export")
def export(
    model: Annotated[
        str,
        typer.Argument(metavar="NAME|PATH", autocompletion=model_names, help="Model name or path of a weights file."),
    ],
    onnx: Annotated[Path, typer.Option(metavar="OUT.onnx", help="File to write.")],
    tile: Annotated[
        int | None,
        typer.Option(metavar="N", help="Edge length of a tile in voxels, a multiple of 32.  [default: the model's]"),
    ] = None,
    stages: Stages = None,
    as_json: Json = False,
) -> None:
    """Write a model as ONNX, for tiles of one size.

    The maps of ONNX Runtime are compared with those of the model. Needs the extra `onnx`.
    """
    import torch

    from ..models.encoder import check_strides
    from ..models.exporting import export_onnx, require_onnx
    from ..models.loading import load_encoder

    require_onnx()
    require_outputs([onnx], Path(model))
    encoder = load_encoder(model, device="cpu", precision=torch.float32)
    chosen = check_strides(encoder, strides(stages))
    difference = export_onnx(encoder, onnx, tile=tile, strides=chosen)
    emit(
        "models export",
        as_json=as_json,
        inputs={"model": model, "tile": tile, "stages": chosen},
        outputs={"onnx": onnx},
        results={"difference": difference},
        lines=[f"maps differ by at most {difference:.1g} of their largest value"],
    )


def _window(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            "not a window", where="--window", found=text, expected="two HU values, e.g. -175,250"
        ) from None
    return low, high


def _checksum(verified: "Verified") -> dict[str, Any]:
    return {"sha256": verified.sha256, "agrees_with": verified.against or None}


def _checksum_lines(verified: "Verified") -> list[str]:
    compared = f"agrees with {verified.against}" if verified.against else "not compared (no known checksum)"
    return table({"sha256": verified.sha256, "checksum": compared})


def _unknown_lines(name: str, unknown: tuple[str, ...]) -> list[str]:
    if not unknown:
        return []
    return table({"unknown": f"{', '.join(unknown)}: supply it with `coralbay models convert {name}`"})


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
    return lines + _unknown_lines(card.name, card.unknown)


def _section(title: str, values: dict[str, Any]) -> list[str]:
    return [f"{title}:"] * bool(values) + [f"  {key:<22} {_text(value)}" for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
