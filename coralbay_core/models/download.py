"""Locate, download and verify weights that do not ship with the package."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from platformdirs import user_cache_path

from ..errors import DownloadError, MissingFileError, WeightsError
from ..util.atomic_file import write_atomically
from .adapted import AdaptedModel
from .model_card import ModelCard, Source

Published = ModelCard | AdaptedModel


TIMEOUT_S = 30


@dataclass(frozen=True)
class Verified:
    """A file of weights and the checksum that it was compared with.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file.
    against : str
        Origin of the checksum that it was compared with; empty if none is known.
    """

    path: Path
    sha256: str
    against: str


def cache_root() -> Path:
    """Folder of receipts and of weights that are not on the Hugging Face hub, which has a cache of its own."""
    return Path(os.environ.get("CORALBAY_CACHE") or user_cache_path("coralbay")) / "models"


def locate(card: Published) -> Path | None:
    """Locate the weights of a card; None unless they were downloaded before."""
    source = _source(card)
    if source.repo:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source.repo, card.file, revision=source.revision)
        return Path(found) if isinstance(found, str) else None
    path = _place(card)
    return path if path.is_file() else None


def fetch(card: Published) -> Verified:
    """Download the weights of a card, resuming a partial download, and verify them; nothing is downloaded twice."""
    source = _source(card)
    path = _from_hub(card, source) if source.repo else _from_url(card, source)
    try:
        verified = compare(path, card)
    except WeightsError:
        for file in {path, path.resolve()}:  # a file of the hub's cache is a link: the next attempt starts anew
            file.unlink(missing_ok=True)
        raise
    about = {"file": card.file, "revision": _revision(path), "sha256": verified.sha256, "bytes": path.stat().st_size}
    write_atomically(_receipt(card), json.dumps(about, indent=2) + "\n")
    return verified


def verify(card: Published) -> Verified:
    """Compare downloaded weights with their card or, if it has no checksum, with that of the first download."""
    path = locate(card)
    if path is None:
        raise absent(card)
    verified = compare(path, card)
    if verified.against or not _receipt(card).is_file():
        return verified
    first = json.loads(_receipt(card).read_text("utf-8"))["sha256"]
    _require(verified.sha256, first, path, card)
    return Verified(path, verified.sha256, "the file as it was fetched")


def absent(card: Published) -> WeightsError:
    """Make the error for weights that must be downloaded first."""
    return WeightsError(
        "weights are not on this machine", where=card.name, hint=f"run `coralbay models fetch {card.name}`"
    )


def compare(path: Path, card: Published) -> Verified:
    """Compute the checksum of a file; raise if it differs from that of the card."""
    sha256 = digest(path)
    if card.sha256:
        _require(sha256, card.sha256, path, card)
        return Verified(path, sha256, "the sha256 of the card")
    if card.md5:
        _require(digest(path, "md5"), card.md5, path, card)
        return Verified(path, sha256, "the md5 of the card")
    return Verified(path, sha256, "")


def digest(path: Path, kind: str = "sha256") -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _require(found: str, expected: str, path: Path, card: Published) -> None:
    if found != expected:
        raise WeightsError(
            "weights are damaged or were replaced",
            where=path,
            found=f"checksum {found[:12]}",
            expected=expected[:12],
            hint=f"run `coralbay models fetch {card.name}`" if card.source else "reinstall the package",
        )


def _source(card: Published) -> Source:
    if card.source is None:
        raise WeightsError("weights ship with the package", where=card.name, hint="there is nothing to fetch")
    return card.source


def _place(card: Published) -> Path:
    return cache_root() / card.name / card.file


def _receipt(card: Published) -> Path:
    return cache_root() / f"{card.name}.json"


# --- the Hugging Face hub -----------------------------------------------------------------------------------------


def _from_hub(card: Published, source: Source) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        with _quiet_retries():
            return Path(hf_hub_download(source.repo, card.file, revision=source.revision))
    except errors.GatedRepoError as error:
        raise WeightsError(
            "weights are given out after agreement to their terms",
            where=card.name,
            hint=f"agree at {source.page}, then log in with `hf auth login`",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise WeightsError(
            "the hub has no such file",
            where=card.name,
            found=f"nothing at {source.repo}/{card.file}, revision {source.revision[:12]}",
            hint=f"see {source.page}",
        ) from error
    except Exception as error:  # the client's versions raise what their different HTTP libraries raise
        raise _unreachable(card, source, error) from error


@contextmanager
def _quiet_retries() -> Iterator[None]:
    """Silence the hub client, which warns at each of five attempts; one error at the end is enough."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _revision(path: Path) -> str:
    """Commit of a file in the hub's cache, whichever branch was requested; empty for other files."""
    _, found, rest = path.as_posix().rpartition("/snapshots/")
    return rest.partition("/")[0] if found else ""


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _unreachable(card: Published, source: Source, error: Exception) -> DownloadError:
    if _offline():
        return DownloadError("offline mode is on", where=card.name, hint="unset HF_HUB_OFFLINE to fetch weights")
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = str(cause.reason if isinstance(cause, URLError) and not isinstance(cause, HTTPError) else cause)
    return DownloadError(
        "weights could not be fetched",
        where=card.name,
        found=reason.splitlines()[0] if reason else type(cause).__name__,
        hint=f"is there a network? Else get {card.file} from {source.page} on another machine, bring it here and "
        + ("give its path as --model" if isinstance(card, AdaptedModel) else _convert_line(card.name)),
    )


def _convert_line(name: str) -> str:
    return f"run `coralbay models convert FILE --card {name} -o {name}.safetensors`"


# --- elsewhere ----------------------------------------------------------------------------------------------------


def _from_url(card: Published, source: Source) -> Path:
    path = _place(card)
    if path.is_file():
        return path
    if _offline():
        raise _unreachable(card, source, MissingFileError("offline"))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _download(source.url, part)
    except HTTPError as error:
        if error.code == 416:  # what was begun is longer than the file
            part.unlink(missing_ok=True)
        raise _unreachable(card, source, error) from error
    except OSError as error:
        raise _unreachable(card, source, error) from error
    part.replace(path)
    return path


def _download(url: str, part: Path) -> None:
    """Append to a partial file, if the server supports it."""
    begun = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})
    with urlopen(request, timeout=TIMEOUT_S) as response:
        begun = begun if response.status == 206 else 0
        with part.open("ab" if begun else "wb") as file:
            shutil.copyfileobj(response, file, 1 << 20)
        length = response.headers.get("Content-Length")
    if length is not None and part.stat().st_size < begun + int(length):
        raise OSError("the connection ended early; another attempt resumes")
