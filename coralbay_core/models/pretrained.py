"""Weights in folders and repositories of the Hugging Face hub.

``model.safetensors`` holds the weights with their model card, as a file of `save_weights` does; ``config.json`` repeats
the card for other programs, ``README.md`` for readers. Python files of a repository are never read.
"""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import DownloadError, InputError, MissingFileError, WeightsError
from ..util.atomic_file import write_atomically
from . import download
from .hub_card import readme
from .model_card import ModelCard, list_cards, load_card
from .swin_encoder import SwinEncoder

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
README = "README.md"


def load_pretrained(
    source: str | Path, *, revision: str | None = None, token: str | None = None, **settings: Any
) -> SwinEncoder:
    """Load an encoder from a folder, a file, a known name or a repository of the hub.

    Parameters
    ----------
    source : str or Path
        Folder with ``model.safetensors`` or one other file of that kind, weights file, name of a known model, or
        ``owner/name`` of a repository.
    revision : str, optional
        Branch, tag or commit of the repository; by default that of the known model of this repository, else ``main``.
    token : str, optional
        Access token of the hub.
    **settings
        As of `load_encoder`: ``device``, ``precision``, and ``card``, ``merging`` and so on for weights without a card.

    Raises
    ------
    WeightsError, MissingFileError
    """
    from .loading import load_encoder

    path = Path(source).expanduser()
    if path.is_dir():
        encoder = load_encoder(_weights_in(path), **settings)
    elif _is_repository(source):
        card = _card_of(str(source))
        if card is not None and revision is None:
            download.fetch(card)
            encoder = load_encoder(card.name, **settings)
        else:
            file = WEIGHTS if card is None else card.file
            known = {} if card is None else {"card": card.name}
            encoder = load_encoder(_fetched(str(source), file, revision, token), **(known | settings))
    else:
        encoder = load_encoder(source, **settings)
    if not isinstance(encoder, SwinEncoder):
        raise WeightsError("not an encoder of the SwinUNETR family", where=source, hint="use load_encoder")
    return encoder


def save_pretrained(encoder: SwinEncoder, folder: str | Path) -> Path:
    """Write an encoder to a folder, in the form of a repository of the hub; files of other names stay.

    Raises
    ------
    InputError
        For an encoder whose weights were cast to half precision; load it with ``precision=torch.float32``.
    """
    from .loading import save_weights

    folder = Path(folder).expanduser()
    card = _card_for(encoder)
    state = encoder.backbone.state_dict()
    require_exact(encoder)
    half = all(torch.equal(tensor.half().float(), tensor) for tensor in state.values())
    save_weights(folder / WEIGHTS, encoder.backbone, card.to_toml(), torch.float16 if half else torch.float32)
    config = {"model_type": "coralbay-swin3d", "name": card.name, "architecture": asdict(card.architecture)}
    config |= {"preprocessing": asdict(card.preprocessing), "tiling": asdict(card.tiling)}
    write_atomically(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    write_atomically(folder / README, readme(card))
    return folder


def push_to_hub(
    encoder: SwinEncoder, repository: str, *, private: bool = False, token: str | None = None, message: str = ""
) -> "CommitInfo":
    """Upload an encoder with its card to a repository of the hub, which is created if it does not exist.

    Parameters
    ----------
    encoder : SwinEncoder
    repository : str
        ``owner/name``.
    private : bool
        Whether a new repository can be seen by its owner alone.
    token : str, optional
        Access token with the right to write; by default that of ``hf auth login``.
    message : str, optional
        Of the commit.
    """
    from huggingface_hub import HfApi

    if not _is_repository(repository):
        raise InputError("not a repository", found=repository, expected="owner/name")
    with tempfile.TemporaryDirectory() as place:
        save_pretrained(encoder, place)
        api = HfApi(token=token)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            return api.upload_folder(
                repo_id=repository, folder_path=place, commit_message=message or f"Upload {encoder.name} with CoralBay"
            )
        except Exception as error:  # the client's versions raise what their different HTTP libraries raise
            raise _refused("weights could not be uploaded", repository, error) from error


def _is_repository(source: str | Path) -> bool:
    """Whether a text is ``owner/name`` and no path that exists."""
    if not isinstance(source, str) or Path(source).exists():
        return False
    owner, slash, name = source.partition("/")
    return bool(owner and slash and name) and "/" not in name and "\\" not in source and owner not in (".", "..", "~")


def _card_of(repository: str) -> ModelCard | None:
    """Card of the known model of a repository."""
    cards = map(load_card, list_cards())
    return next((card for card in cards if card.source is not None and card.source.repo == repository), None)


def _weights_in(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        raise MissingFileError("no weights in the folder", where=folder, found=names or "none", expected=WEIGHTS)
    return found[0]


def _fetched(repository: str, file: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, revision=revision, token=token))
    except Exception as error:  # as above
        raise _refused("weights could not be fetched", f"{repository}/{file}", error) from error


def _refused(what: str, where: str, error: Exception) -> DownloadError:
    reason = str(error).strip().splitlines()
    return DownloadError(what, where=where, found=reason[0][:200] if reason else type(error).__name__)


def _card_for(encoder: SwinEncoder) -> ModelCard:
    """Card that the encoder was loaded with, for its own file; a bare one for an encoder made in Python."""
    known = encoder.card or ModelCard(
        name=encoder.name,
        summary="Encoder of CT volumes, made with CoralBay.",
        license="not stated",
        file=WEIGHTS,
        architecture=encoder.backbone.config,
        preprocessing=encoder.preprocessing,
        tiling=encoder.tiling,
    )
    return replace(known, file=WEIGHTS, source=None, sha256="", md5="")


def require_exact(encoder: SwinEncoder) -> None:
    """Raise if the weights of an encoder were cast to another precision than the one that they are stored in."""
    if encoder.precision != torch.float32:
        raise InputError(
            "weights were cast for this device and are not those of the model any more",
            where=encoder.name,
            found=encoder.precision,
            expected="torch.float32",
            hint="load the encoder with precision=torch.float32",
        )
