"""Features on disk, so that nothing is computed twice.

One folder a scan and encoder, named by a hash of all that the features depend on, with one safetensors file a stage
and one for the body mask. A file is written under another name and then renamed; the body mask, which `get` looks for
first, comes last.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .encoder import Encoder
from .errors import InputError
from .features import FeatureMap, FeatureMaps
from .volume import Grid, Volume

LAYOUT = 1
"""Raise it when extraction or the files change, so that older entries are not found."""


def content_digest(volume: Volume) -> str:
    """Hash of voxels and affine."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.ascontiguousarray(volume.data).data)
    digest.update(f"{volume.data.dtype} {volume.shape}".encode())
    digest.update(np.round(volume.affine, 4).tobytes())
    return digest.hexdigest()


def default_root() -> Path:
    """Environment variable ``CORALBAY_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("CORALBAY_CACHE") or user_cache_path("coralbay")) / "features"


class FeatureStore:
    """Feature maps by key.

    Parameters
    ----------
    root : path, optional
        By default `default_root`.
    limit_bytes : int
        Entries that were not used for longest are removed beyond this.
    """

    def __init__(self, root: str | Path | None = None, limit_bytes: int = 20_000_000_000):
        self.root = Path(root) if root is not None else default_root()
        self.limit_bytes = limit_bytes

    def key(self, volume: Volume, encoder: Encoder) -> str:
        """Name of the entry for a scan under an encoder."""
        parts = (str(LAYOUT), content_digest(volume), encoder.fingerprint, str(encoder.precision), str(encoder.tiling))
        return hashlib.blake2b("-".join(parts).encode(), digest_size=16).hexdigest()

    def folder(self, key: str) -> Path:
        return self.root / key

    def get(self, key: str, strides: Collection[int]) -> FeatureMaps | None:
        """Maps of an entry, or None unless all strides are there and readable."""
        folder = self.folder(key)
        if not (folder / "body.safetensors").exists():
            return None
        try:
            body, about = _read(folder / "body.safetensors")
            stages = {stride: _read_stage(folder / _stage_name(stride), stride) for stride in sorted(strides)}
        except (FileNotFoundError, SafetensorError, KeyError, ValueError):
            return None  # a stage that is not there yet, or damage: it is computed and written again
        grid = _grid(about)
        mask = np.unpackbits(body, count=int(np.prod(grid.shape))).reshape(grid.shape).astype(bool)
        os.utime(folder)
        return FeatureMaps(stages, grid, mask, about["model"], about["fingerprint"], about.get("notice", ""))

    def put(self, key: str, maps: FeatureMaps) -> Path:
        """Write an entry, beside the strides that it already has."""
        folder = self.folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for stride, stage in maps.stages.items():
                _write(folder / _stage_name(stride), stage.data, _about(stage.grid))
            about = _about(maps.grid) | {
                "model": maps.model,
                "fingerprint": maps.fingerprint,
                "notice": maps.notice,
            }
            _write(folder / "body.safetensors", np.packbits(maps.body), about)
        except OSError as error:
            raise InputError(
                "features could not be written",
                where=folder,
                found=error.strerror or error,
                hint="set CORALBAY_CACHE to a folder with space",
            ) from error
        self.prune()
        return folder

    def prune(self) -> None:
        """Remove the entries that were not used for longest until the rest fits the limit; the newest always stays."""
        entries = sorted((f for f in self.root.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
        total = 0
        for i, entry in enumerate(entries):
            total += sum(file.stat().st_size for file in entry.iterdir())
            if i and total > self.limit_bytes:
                shutil.rmtree(entry, ignore_errors=True)


def _stage_name(stride: int) -> str:
    return f"stride-{stride}.safetensors"


def _about(grid: Grid) -> dict[str, str]:
    return {"shape": json.dumps(grid.shape), "affine": json.dumps(grid.affine.tolist())}


def _grid(about: dict[str, str]) -> Grid:
    return Grid(tuple(json.loads(about["shape"])), np.array(json.loads(about["affine"])))


def _read_stage(path: Path, stride: int) -> FeatureMap:
    data, about = _read(path)
    return FeatureMap(stride, data, _grid(about))


def _read(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor("data"), file.metadata()


def _write(path: Path, data: np.ndarray, about: dict[str, str]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file({"data": np.ascontiguousarray(data)}, temporary, about)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
