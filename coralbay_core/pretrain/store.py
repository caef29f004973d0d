"""Training store: a zarr group with one group per volume, named by a hash of its content.

::

    STORE/zarr.json                attributes: format, spacing_mm
    STORE/<key>/hu                 int16 (z, y, x), chunks of 64 voxels in shards, Zstandard after Blosc's bit shuffle
    STORE/<key>/body               bool (z, y, x)
    STORE/<key>/labels/<name>      int32 (z, y, x), attribute `stride`; written by loss terms that need them
    STORE/<key>/distilled/<name>.safetensors
                                   features of another encoder at a sample of cells (`distillation`)
    STORE/index.jsonl              one line per processed source: its hash, its key or the reason for its refusal

Axes are S, P, L. Keys are hashes of voxels; no name, path, date or header of a file enters the store.
"""

import hashlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, StorageError
from ..spatial.volume import AIR_HU
from .blocks import LabelBlock, coarse, label_block, read_block
from .config import PretrainConfig
from .distillation import DistilledVectors
from .source import VolumeSource, read_folder

FORMAT = "coralbay-store-1"
CHUNK = 64
_SHARD_CHUNKS = 4
_OPEN_VOLUMES = 512


def is_store(folder: Path) -> bool:
    """Whether a folder is a training store."""
    return (folder / "zarr.json").is_file()


def create_store(folder: Path, spacing_mm: float) -> None:
    """Create an empty store, or check the spacing of an existing one."""
    import zarr

    if is_store(folder):
        found = _root(folder).attrs["spacing_mm"]
        if abs(found - spacing_mm) > 1e-6:
            raise InputError("store has another spacing", where=folder, found=found, expected=spacing_mm)
        return
    if folder.is_dir():
        for path in folder.glob("zarr.*.partial"):  # left by a call that was killed before it had made the store
            path.unlink()
        if any(folder.iterdir()):
            raise InputError("folder is not empty", where=folder, hint="choose another folder for the store")
    with writing(folder):
        zarr.create_group(folder, attributes={"format": FORMAT, "spacing_mm": spacing_mm}, zarr_format=3)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise what the system refuses, such as a full disk, as an error that names the store."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            "store cannot be written", where=folder, found=error.strerror or error,
            hint="run the command again once it can: finished volumes stay",
        ) from error  # fmt: skip


def _root(folder: Path) -> Any:
    import zarr

    if not is_store(folder):
        raise InputError("not a training store", where=folder, hint="make one with `coralbay prepare-data`")
    root = zarr.open_group(folder, mode="r")
    if root.attrs.get("format") != FORMAT:
        raise InputError("not a training store", where=folder, found=root.attrs.get("format"), expected=FORMAT)
    return root


def content_key(hu: NDArray[np.int16]) -> str:
    """Name of a volume: a hash of its voxels on the training grid."""
    digest = hashlib.blake2b(repr(hu.shape).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(hu).tobytes())
    return digest.hexdigest()


def write_volume(folder: Path, key: str, hu: NDArray[np.int16], body: NDArray[np.bool_]) -> bool:
    """Add a volume atomically; return False if another process has added it meanwhile."""
    import zarr

    temporary = folder / f".part-{uuid.uuid4().hex}"
    try:
        with writing(folder):
            group = zarr.create_group(temporary, zarr_format=3, attributes={"body_voxels": int(body.sum())})
            for name, array in (("hu", hu), ("body", body)):
                _write_array(group, name, array)
        try:
            temporary.rename(folder / key)
        except OSError:
            if (folder / key).is_dir():
                return False
            raise
        return True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_array(group: Any, name: str, array: NDArray, **attributes: Any) -> None:
    from zarr.codecs import BloscCodec

    shards = tuple(CHUNK * min(_SHARD_CHUNKS, -(-n // CHUNK)) for n in array.shape)
    made = group.create_array(
        name, shape=array.shape, dtype=array.dtype, chunks=(CHUNK,) * 3, shards=shards,
        compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"), attributes=attributes,
    )  # fmt: skip
    made[:] = array


def write_labels(folder: Path, key: str, name: str, labels: NDArray[np.integer], stride: int) -> None:
    """Attach a label volume whose cells are `stride` voxels wide; it replaces one with the same name."""
    import zarr

    group = zarr.open_group(folder / key, mode="r+").require_group("labels")
    if name in group:
        del group[name]
    _write_array(group, name, labels.astype(np.int32), stride=stride)


def distilled_path(folder: Path, key: str, name: str) -> Path:
    """File of a volume's features of another encoder."""
    return folder / key / "distilled" / f"{name}.safetensors"


class StoreSource:
    """Source that reads a store from disk on demand.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path):
        root = _root(folder)
        self.folder, self.spacing_mm = folder, float(root.attrs["spacing_mm"])
        # Names with a dot are volumes that are being written.
        written = (path.name for path in folder.iterdir() if (path / "zarr.json").is_file())
        self.names: Sequence[str] = sorted(name for name in written if not name.startswith("."))
        if not self.names:
            raise InputError("empty store", where=folder, hint="add scans with `coralbay prepare-data`")
        self._shapes: list[tuple[int, int, int]] = [self._array(i, "hu").shape for i in range(len(self.names))]
        self._cells = lru_cache(_OPEN_VOLUMES)(self._read_cells)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_cells"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cells = lru_cache(_OPEN_VOLUMES)(self._read_cells)

    def _array(self, volume: int, name: str) -> Any:
        # Opened for each access: it reads one small JSON file, and forked processes share nothing.
        import zarr

        return zarr.open_array(self.folder / self.names[volume] / name, mode="r")

    def shape(self, volume: int) -> tuple[int, int, int]:
        return self._shapes[volume]

    def read(self, volume: int, low: NDArray, high: NDArray) -> NDArray[np.int16]:
        return read_block(self._array(volume, "hu"), low, high, AIR_HU)

    def cells(self, volume: int) -> NDArray[np.bool_]:
        return self._cells(volume)

    def _read_cells(self, volume: int) -> NDArray[np.bool_]:
        return coarse(self._array(volume, "body")[:])

    def has_labels(self, name: str, volume: int) -> bool:
        return (self.folder / self.names[volume] / "labels" / name / "zarr.json").is_file()

    def labels(self, name: str, volume: int, low: NDArray, high: NDArray) -> LabelBlock:
        if not self.has_labels(name, volume):
            raise InputError("no such labels in the store", where=self.names[volume], expected=name)
        array = self._array(volume, f"labels/{name}")
        return label_block(array, int(array.attrs["stride"]), low, high)

    def set_labels(self, name: str, volume: int, labels: NDArray, stride: int) -> None:
        """Attach a label volume; see `write_labels`."""
        write_labels(self.folder, self.names[volume], name, labels, stride)

    def distilled(self, name: str, volume: int) -> DistilledVectors:
        return DistilledVectors.load(distilled_path(self.folder, self.names[volume], name))

    def body(self, volume: int) -> NDArray[np.bool_]:
        """Mask of the patient's body, voxel by voxel."""
        return np.asarray(self._array(volume, "body")[:])


class MemorySource(StoreSource):
    """Source that holds the voxels of a store in memory, which forked readers share."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self._hu = [self._array(i, "hu")[:] for i in range(len(self.names))]

    def read(self, volume: int, low: NDArray, high: NDArray) -> NDArray[np.int16]:
        return read_block(self._hu[volume], low, high, AIR_HU)


def open_store(folder: Path, memory_gb: float) -> StoreSource:
    """Open a store, in memory if it needs no more than `memory_gb`."""
    source = StoreSource(folder)
    voxels = sum(int(np.prod(source.shape(i))) for i in range(len(source.names)))
    return MemorySource(folder) if 2 * voxels / 1e9 <= memory_gb else source


def open_source(config: PretrainConfig, memory_gb: float | str) -> VolumeSource:
    """Open the volumes of a run: a store, or a folder of NIfTI files."""
    folder = Path(config.data).expanduser()
    if not is_store(folder):
        return read_folder(folder, config.spacing_mm)
    store = open_store(folder, float(memory_gb))
    if abs(store.spacing_mm - config.spacing_mm) > 1e-6:
        raise InputError(
            "store has another spacing",
            where=folder,
            found=store.spacing_mm,
            expected=f"spacing_mm={config.spacing_mm:g}",
        )
    return store
