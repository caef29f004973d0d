"""Read files to named tensors, without running code that a pickle may hold."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import MissingFileError, WeightsError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
MAX_DEPTH = 8
_REFUSED = re.compile(r"GLOBAL ([\w.]+)|Unsupported (?:operand|class) .+")  # in torch's explanation


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a checkpoint and, for a safetensors file, its metadata.

    Nested dictionaries become dotted names, so that ``{"state_dict": {"module.x": t}}`` is ``state_dict.module.x``.
    Other content of a checkpoint (an epoch, options, lists) is left out.
    """
    if not path.is_file():
        raise MissingFileError("no such weights", where=path, hint="see `coralbay models list`")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return dict(_flatten(_read_pickle(path))), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            "not a safetensors file, or a damaged one", where=path, found=error, hint="get it again"
        ) from error


def _read_pickle(path: Path) -> object:
    """Unpickler for tensors, numbers, text and containers of these; any other class is refused before it is called."""
    try:
        # It warns of unusual protocols and old formats; either it reads them or it does not.
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if refused := _REFUSED.search(str(error)):
            raise WeightsError(
                "weights hold more than tensors, and reading them would run code",
                where=path,
                found=refused[1] or refused[0],
                expected="tensors only",
                hint="convert them to safetensors on a machine where you trust them",
            ) from error
        raise _damaged(path, "no weights in it") from error
    except Exception as error:  # the unpickler raises many kinds for bytes that are no pickle
        reason = str(error).partition("\n")[0].partition(". ")[0] if isinstance(error, (RuntimeError, OSError)) else ""
        raise _damaged(path, reason or "no weights in it") from error


def _damaged(path: Path, reason: str) -> WeightsError:
    return WeightsError("not a checkpoint of PyTorch, or a damaged one", where=path, found=reason, hint="get it again")


def _flatten(node: object, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield prefix, node.detach()
    elif isinstance(node, Mapping) and depth < MAX_DEPTH:
        for key, value in node.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
