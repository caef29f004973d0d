"""Load encoders from weights: verified, strictly, never unpickled."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import MissingFileError, WeightsError
from ..util.arguments import checked
from ..util.atomic_file import atomic_path
from ..util.tensor_file import system_errors
from . import download, handcrafted
from .adapted import ADAPTED_MODELS
from .cards import ADAPTED, INSTALLABLE, WITHOUT_WEIGHTS
from .checkpoints import SUFFIXES, Mapped, infer_config, map_keys, read_tensors
from .checkpoints.keys import shortened
from .compact import CompactBasis, CompactEncoder
from .encoder import Encoder, Preprocessing, Tiling
from .i3resnet_encoder import i3resnet_state, installed_weights, load_i3resnet
from .model_card import MERGINGS, ModelCard, list_cards, load_card, open_card, parse_card
from .names import COMPACT_SUFFIX, DEFAULT_MODEL, WHOLE_SUFFIX, split_variant
from .segresnet_encoder import load_segresnet, segresnet_facts, segresnet_state
from .swin3d import Swin3D
from .swin_encoder import SwinEncoder, as_single_pass

_log = logging.getLogger(__name__)


@checked
def load_encoder(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    device: str = "auto",
    precision: torch.dtype | None = None,
    card: str | Path | ModelCard | None = None,
    part: str | None = None,
    merging: str | None = None,
    axis_codes: str | Sequence[str] | None = None,
    spacing_mm: float | None = None,
    window_hu: tuple[float, float] | None = None,
) -> Encoder:
    """Load an encoder by its name, or from a checkpoint of the SwinUNETR, SegResNet or I3ResNet family.

    ``NAME:compact`` is the compact form of a model (`compact`), if one was fitted; ``NAME:whole`` computes the whole
    body in one pass instead of in windows.

    Three names have no weights and need none: ``hu-patch`` and ``hu-context`` (see `handcrafted`), and ``random``, the
    network of the default model with random weights. The weights of ``astra`` come with Python packages (see
    `i3resnet_encoder`), those of ``ct-fm`` and ``vista3d`` from the Hugging Face hub (see `adapted`).

    Parameters
    ----------
    name_or_path : str or path
        A ``.safetensors`` file that `save_weights` wrote is complete. For another checkpoint
        (``.safetensors``, ``.pt``, ``.pth``, ``.bin``, ``.ckpt``) the architecture is inferred from shapes, but
        `merging` and `axis_codes` must be given or stated by a card.
    device : str
        ``auto``, ``cpu``, ``gpu``, ``cuda``, ``cuda:1`` or ``mps``.
    precision : torch.dtype, optional
        By default bfloat16 where the hardware has it, else float32.
    card : str, path or ModelCard, optional
        Card for a checkpoint that carries none: the name of a model, or a TOML file.
    part : str, optional
        Which encoder to take from a checkpoint with several, e.g. ``teacher``; or an unusual prefix of its names.
    merging : str, optional
        ``monai<=1.4``, ``monai>=1.5`` (by the version of MONAI that the weights were trained with) or ``v2``.
    axis_codes : str or sequence of str, optional
        Of the tensors that the weights were trained on, e.g. ``RAS``.
    spacing_mm : float, optional
        Of the model grid; 1.5 where nothing else is stated.
    window_hu : tuple of float, optional
        HU that become 0 and 1; -1000 and 1000 where nothing else is stated.

    Notes
    -----
    Arguments take precedence over the card.
    """
    statements = {"merging": merging, "axis_codes": axis_codes, "spacing_mm": spacing_mm, "window_hu": window_hu}
    more: dict[str, Any] = {"device": device, "precision": precision, "card": card, "part": part, **statements}
    base, variant = split_variant(str(name_or_path))
    if variant == COMPACT_SUFFIX:
        return CompactEncoder(load_encoder(base, **more), CompactBasis.load(basis_path(base)))
    if variant == WHOLE_SUFFIX:
        windows = load_encoder(base, **more)
        return as_single_pass(windows) if isinstance(windows, SwinEncoder) else windows
    if str(name_or_path) in WITHOUT_WEIGHTS:
        _require_no_statements(str(name_or_path), statements | {"card": card, "part": part})
        return _without_weights(str(name_or_path), device, precision)
    if (other := _other_family(name_or_path, device, precision, statements | {"card": card, "part": part})) is not None:
        return other
    complete, weights = open_weights(name_or_path, card=card, part=part, **statements)
    encoder = SwinEncoder(
        build(complete, weights.state), complete.name, complete.preprocessing, complete.tiling, device, precision
    )
    encoder.card = complete
    encoder.notice = complete.notice
    encoder.ignored = tuple(sorted(weights.ignored))
    _log.debug("%s on %s in %s, fingerprint %s", encoder.name, encoder.device, encoder.precision, encoder.fingerprint)
    if encoder.ignored:
        _log.debug("tensors of the file that the encoder does not use: %s", shortened(encoder.ignored))
    return encoder


def basis_path(name_or_path: str | Path) -> Path:
    """Path of the compact form of a model: beside its card, or beside its weights."""
    if is_path(name_or_path):
        return Path(name_or_path).with_suffix(".compact.safetensors")
    return Path(str(files(__package__) / "cards")) / f"{name_or_path}.compact.safetensors"


def untrained(
    like: ModelCard | SwinEncoder, *, device: str = "auto", precision: torch.dtype | None = None, seed: int = 0
) -> SwinEncoder:
    """Make the network of a model with random weights: same architecture, preprocessing and tiling, named ``random``.

    Parameters
    ----------
    like : ModelCard or SwinEncoder
    device, precision : optional
        As of `load_encoder`.
    seed : int
        Of the weights.
    """
    config = like.architecture if isinstance(like, ModelCard) else like.backbone.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = Swin3D(config)
    return SwinEncoder(backbone, "random", like.preprocessing, like.tiling, device, precision)


def _without_weights(name: str, device: str, precision: torch.dtype | None) -> Encoder:
    if name == "random":
        return untrained(load_card(DEFAULT_MODEL), device=device, precision=precision)
    return handcrafted.handcrafted_encoder(name, device)


def _other_family(
    name_or_path: str | Path, device: str, precision: torch.dtype | None, statements: dict[str, Any]
) -> Encoder | None:
    """Load a model that is not of the SwinUNETR family; None for one that may be."""
    name = str(name_or_path)
    if name in INSTALLABLE:
        path = installed_weights(name)
    elif name in ADAPTED:
        path = _fetched(name)
    elif is_path(name_or_path):
        path, name = Path(name_or_path), Path(name_or_path).stem
    else:
        return None
    tensors, metadata = read_tensors(path)
    if "card" in metadata:  # a file of this package
        return None
    if (state := segresnet_state(tensors)) is not None:
        unfit = {key: value for key, value in statements.items() if key in ("merging", "card", "part")}
        _require_no_statements(str(name_or_path), unfit)
        own = {key: value for key, value in statements.items() if key not in unfit}
        return load_segresnet(state, name, own, where=path, device=device, precision=precision)
    if (state := i3resnet_state(tensors)) is not None:
        _require_no_statements(str(name_or_path), statements)
        return load_i3resnet(state, name, where=path, device=device, precision=precision)
    return None


def _fetched(name: str) -> Path:
    """Locate the downloaded weights of a model of `ADAPTED_MODELS`, and compare a checksum if one is known."""
    path = download.locate(ADAPTED_MODELS[name])
    if path is None:
        raise download.absent(ADAPTED_MODELS[name])
    return download.compare(path, ADAPTED_MODELS[name]).path


def _require_no_statements(name: str, statements: dict[str, Any]) -> None:
    options = [key for key, value in statements.items() if value is not None]
    if options:
        raise WeightsError(
            "these options describe weights of the SwinUNETR family only",
            where=name,
            found=", ".join(options),
            hint="leave them out",
        )


def open_weights(
    name_or_path: str | Path,
    *,
    card: str | Path | ModelCard | None = None,
    part: str | None = None,
    **statements: Any,
) -> tuple[ModelCard, Mapped]:
    """Open the complete card and the tensors of a model; parameters as of `load_encoder`."""
    if is_path(name_or_path):
        path = Path(name_or_path)
        known = None if card is None else open_card(card)
    else:
        known = load_card(str(name_or_path)) if card is None else open_card(card)
        path = _file_of(load_card(str(name_or_path)))
    tensors, metadata = read_tensors(path)
    weights = map_keys(tensors, part, where=path)
    if known is None and "card" in metadata:
        known = parse_card(metadata["card"], str(path))
    complete = (known or _card_from_shapes(path, weights)).override(**statements)
    _require_complete(complete, path)
    _require_architecture(complete, weights, path)
    return complete, weights


def is_here(card: ModelCard) -> bool:
    """Whether the weights of a named model are on this machine."""
    if card.source is not None:
        return download.locate(card) is not None
    return (files(__package__) / "cards" / card.file).is_file()


def is_path(name_or_path: str | Path) -> bool:
    """Whether something is the path of a file rather than the name of a model."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or text.endswith(SUFFIXES) or "/" in text or "\\" in text


def build(card: ModelCard, state: dict[str, Tensor]) -> Swin3D:
    """Build the backbone of a card with weights; raise if a key is missing or unexpected."""
    backbone = Swin3D(card.architecture)
    ours = backbone.state_dict()
    _require_keys("weights lack parts of the encoder", set(ours) - set(state), card)
    _require_keys("weights hold what the encoder does not have", set(state) - set(ours), card)
    shapes = {key for key in ours if ours[key].shape != state[key].shape}
    _require_keys("weights have other shapes than the encoder", shapes, card)
    broken = {key for key in ours if not torch.isfinite(state[key]).all()}
    if broken:
        raise WeightsError(
            "damaged weights", where=card.name, found=f"NaN or infinity in {shortened(broken)}", hint="get them again"
        )
    backbone.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    return backbone


def _require_keys(what: str, keys: set[str], card: ModelCard) -> None:
    if keys:
        raise WeightsError(what, where=card.name, found=shortened(keys), hint="is it the right file for this model?")


def _file_of(card: ModelCard) -> Path:
    """Locate the weights of a named model on this machine."""
    if card.source is not None:
        path = download.locate(card)
        if path is None:
            raise download.absent(card)
        return path
    with as_file(files(__package__) / "cards" / card.file) as path:
        if not path.exists():
            raise WeightsError(
                "weights are not installed", where=card.name, expected=path.name, hint="reinstall the package"
            )
        download.compare(path, card)
        return path


def _card_from_shapes(path: Path, weights: Mapped) -> ModelCard:
    """Make a card for a checkpoint that carries none, from its shapes."""
    return ModelCard(
        name=path.name.removesuffix(path.suffix),
        summary=f"Weights of your own, from {path.name}.",
        license="not stated",
        file=path.name,
        architecture=infer_config(weights.state, where=path),
        preprocessing=Preprocessing(),
        tiling=Tiling(),
        unknown=("merging", "axis_codes"),
    )


def _require_complete(card: ModelCard, path: Path) -> None:
    if not card.unknown:
        return
    choices = {
        "merging": f"merging, one of {', '.join(MERGINGS)} (by the MONAI that trained them)",
        "axis_codes": "axis_codes, such as RAS or SPL (of the tensors that trained them)",
        "spacing_mm": "spacing_mm",
        "window_hu": "window_hu",
    }
    raise WeightsError(
        "the weights do not state how to use them",
        where=path,
        expected="; ".join(choices[key] for key in card.unknown),
        hint="pass these or card=... to load_encoder, or write a complete file with `coralbay models convert`",
    )


def _require_architecture(card: ModelCard, weights: Mapped, path: Path) -> None:
    """Raise unless the shapes are those of the card, and those of a CT encoder."""
    found = infer_config(weights.state, card.architecture.merging, where=path)
    differing = [name for name in vars(found) if getattr(found, name) != getattr(card.architecture, name)]
    if differing:
        raise WeightsError(
            "weights are of another architecture than their card",
            where=path,
            found=", ".join(f"{name} {getattr(found, name)}" for name in differing),
            expected=", ".join(str(getattr(card.architecture, name)) for name in differing),
        )
    if found.in_channels != 1:
        raise WeightsError("not an encoder of CT", where=path, found=f"{found.in_channels} input channels", expected=1)


def save_weights(path: str | Path, backbone: Swin3D, card_text: str, dtype: torch.dtype = torch.float16) -> Path:
    """Write a backbone with its card (TOML) inside, whole or not at all."""
    parse_card(card_text, str(path))
    path = Path(path)
    tensors = {key: tensor.to(dtype).contiguous() for key, tensor in backbone.state_dict().items()}
    with atomic_path(path) as temporary, system_errors():
        save_file(tensors, temporary, {"card": card_text})
    return path


@checked
def verify_weights(name_or_path: str | Path, *, card: str | Path | ModelCard | None = None) -> download.Verified:
    """Compare the checksum of weights with the card of their model, or of the card that has the same one."""
    if str(name_or_path) in WITHOUT_WEIGHTS:
        raise WeightsError("has no weights", where=name_or_path, hint="there is nothing to verify")
    if not is_path(name_or_path):
        known = ADAPTED_MODELS.get(str(name_or_path)) or load_card(str(name_or_path))
        return download.verify(known) if known.source is not None else download.compare(_file_of(known), known)
    path = Path(name_or_path)
    if not path.is_file():
        raise MissingFileError("no such weights", where=path, hint="see `coralbay models list`")
    if card is not None:
        return download.compare(path, open_card(card))
    sha256 = download.digest(path)
    same = [name for name in list_cards() if load_card(name).sha256 == sha256]
    return download.Verified(path, sha256, f"the sha256 of {same[0]}" if same else "")


def inspect_weights(path: Path, *, part: str | None = None) -> dict[str, Any]:
    """Architecture, prefix, number of parameters and ignored tensors of a checkpoint; raise if it is incomplete."""
    tensors, _ = read_tensors(path)
    if segresnet_state(tensors) is not None:
        return segresnet_facts(tensors, path)
    weights = map_keys(tensors, part, where=path)
    card = _card_from_shapes(path, weights)
    build(card, weights.state)
    architecture = asdict(card.architecture)
    del architecture["merging"]
    return {
        "architecture": architecture,
        "prefix": weights.root,
        "parameters": sum(tensor.numel() for tensor in weights.state.values()),
        "ignored": weights.ignored,
    }


def convert_weights(
    name_or_path: str | Path,
    out: str | Path,
    *,
    card: str | Path | ModelCard | None = None,
    part: str | None = None,
    **statements: Any,
) -> ModelCard:
    """Write weights in their precision, with a complete card inside; parameters as of `load_encoder`."""
    complete, weights = open_weights(name_or_path, card=card, part=part, **statements)
    written = replace(complete, name=Path(out).stem, file=Path(out).name, sha256="", md5="")
    dtype = next(iter(weights.state.values())).dtype
    save_weights(out, build(complete, weights.state), written.to_toml(), dtype)
    return written
