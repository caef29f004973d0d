"""Files to named tensors, without running what a pickle may hold."""

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import MissingFileError, WeightsError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
MAX_DEPTH = 8
_GLOBAL = re.compile(r"(?:GLOBAL|global) `?([\w.]+)")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a checkpoint and, of a safetensors file, its metadata.

    Nested dictionaries become dotted names, so that ``{"state_dict": {"module.x": t}}`` is ``state_dict.module.x``.
    Whatever else a checkpoint holds (an epoch, options, lists) is left out.
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
    """Only tensors, numbers, text and containers of these: anything else is refused before it is called."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if called := _GLOBAL.search(str(error)):
            raise WeightsError(
                "weights hold more than tensors, and reading them would run code",
                where=path,
                found=called[1],
                expected="tensors only",
                hint="convert them to safetensors on a machine where you trust them",
            ) from error
        raise _damaged(path, error) from error
    except (RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = next(iter(str(error).splitlines()), "").split(". ")[0] or type(error).__name__
    return WeightsError("not a checkpoint of PyTorch, or a damaged one", where=path, found=reason, hint="get it again")


def _flatten(node: object, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield prefix, node.detach()
    elif isinstance(node, Mapping) and depth < MAX_DEPTH:
        for key, value in node.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
