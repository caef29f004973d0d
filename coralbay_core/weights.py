"""Weights to encoders: verified, loaded strictly, never unpickled."""

import hashlib
from importlib.resources import as_file, files
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .card import DEFAULT_MODEL, ModelCard, load_card, parse_card
from .encoder import SwinEncoder
from .errors import MissingFileError, WeightsError
from .swin3d import Swin3D


def load_encoder(
    name_or_path: str | Path = DEFAULT_MODEL, *, device: str = "auto", precision: torch.dtype | None = None
) -> SwinEncoder:
    """An encoder by the name of its card, or from a ``.safetensors`` file that `save_weights` wrote.

    Parameters
    ----------
    name_or_path : str or path
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : torch.dtype, optional
        By default bfloat16 where the hardware has it, else float32.
    """
    text = str(name_or_path)
    if text.endswith(".safetensors") or "/" in text or "\\" in text:
        card, state = _from_path(Path(name_or_path))
    else:
        card = load_card(text)
        state = _packaged(card)
    return SwinEncoder(build(card, state), card.name, card.preprocessing, card.tiling, device, precision)


def build(card: ModelCard, state: dict[str, Tensor]) -> Swin3D:
    """The backbone of a card with weights; every key must be there and nothing else."""
    backbone = Swin3D(card.architecture)
    missing, unexpected = _compare(backbone.state_dict(), state)
    if missing or unexpected:
        raise WeightsError(
            "weights do not fit the architecture",
            where=card.name,
            found=f"unexpected {unexpected[:5]}",
            expected=f"also {missing[:5]}",
        )
    backbone.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    return backbone


def _compare(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    fits = {key for key in ours if key in theirs and ours[key].shape == theirs[key].shape}
    return sorted(set(ours) - fits), sorted(set(theirs) - fits)


def _packaged(card: ModelCard) -> dict[str, Tensor]:
    with as_file(files(__package__) / "cards" / card.file) as path:
        if not path.exists():
            raise WeightsError(
                "weights are not installed", where=card.name, expected=path.name, hint="reinstall the package"
            )
        verify(path, card)
        return load_file(path)


def verify(path: Path, card: ModelCard) -> None:
    """Raise unless a file has the checksum of its card."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.sha256:
        raise WeightsError(
            "weights are damaged",
            where=path,
            found=f"sha256 {found[:12]}",
            expected=card.sha256[:12],
            hint="get them again",
        )


def _from_path(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    if not path.exists():
        raise MissingFileError("no such weights", where=path, hint="see `coralbay models list`")
    try:
        with safe_open(path, framework="pt") as file:
            card = (file.metadata() or {}).get("card")
    except SafetensorError as error:
        raise WeightsError("not a safetensors file", where=path, found=error) from error
    if card is None:
        raise WeightsError(
            "weights carry no model card", where=path, expected="metadata `card`, as `save_weights` writes it"
        )
    return parse_card(card, str(path)), load_file(path)


def save_weights(path: str | Path, backbone: Swin3D, card_text: str) -> Path:
    """Write a backbone in float16 with its card (TOML) inside, whole or not at all."""
    parse_card(card_text, str(path))
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    save_file(
        {key: tensor.half().contiguous() for key, tensor in backbone.state_dict().items()},
        temporary,
        {"card": card_text},
    )
    temporary.replace(path)
    return path
