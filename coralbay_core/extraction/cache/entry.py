"""A cache entry: the features of one scan by one encoder.

::

    KEY/
      zarr.json             group; its attribute "coralbay" holds the signature and the grid
      body/                 (z, y, x) bool on the model grid
      stride-4/             (C, z, y, x) float16, one file per chunk: c/0/z/y/x
      stride-8/ ...

A chunk is either complete or absent, so computing can stop anywhere and go on later. An entry is made under another
name and renamed, hence it is never half made.
"""

import math
import os
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...features import FeatureMaps
from ...features.feature_maps import EncoderFacts
from ...spatial import Grid
from ...util.atomic_file import sweep
from ..tiling import CHUNK, Box, Index, region_grid, stage_slices
from . import files
from .files import UnusableEntryError

_ATTRIBUTE = "coralbay"
_STAGE = "stride-"
_MOST_VOXELS = 4_000_000_000  # memory is reserved by what metadata say, before a chunk is read


@dataclass(frozen=True)
class EntryMetadata:
    """Metadata of an entry.

    Parameters
    ----------
    signature : dict
        Everything that the features depend on (`keys.signature`).
    shape : tuple of int
        Of the model grid.
    affine : tuple of tuples of float
        Of the model grid.
    model, notice : str
        Name of the encoder, and its license notice.
    channels : dict of int to int
        Of the encoder's stages, by stride.
    compact : bool
        Whether the channels are principal coordinates.
    """

    signature: dict[str, Any]
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    model: str
    notice: str
    channels: dict[int, int]
    compact: bool = False

    @classmethod
    def parse(cls, found: Any, where: Path) -> "EntryMetadata":
        """Parse the attributes of a group, which are not trusted."""
        try:
            shape = tuple(int(n) for n in found["shape"])
            affine = tuple(tuple(float(v) for v in row) for row in found["affine"])
            channels = {int(stride): int(count) for stride, count in found["channels"].items()}
            texts = [str(found["model"]), str(found["notice"])]
            signature = dict(found["signature"])
            grid = Grid(shape, np.array(affine))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UnusableEntryError("not features of CoralBay", where=where, found=repr(error)) from error
        if len(shape) != 3 or not all(0 < n < 100_000 for n in grid.shape) or math.prod(grid.shape) > _MOST_VOXELS:
            raise UnusableEntryError("unusable grid", where=where, found=shape)
        if not channels or not all(stride in (1, 2, 4, 8, 16, 32) and count > 0 for stride, count in channels.items()):
            raise UnusableEntryError("unusable stages", where=where, found=channels)
        compact = found.get("compact") is True
        return cls(signature, grid.shape, affine, texts[0], texts[1], channels, compact)

    @property
    def grid(self) -> Grid:
        """The model grid."""
        return Grid(self.shape, np.array(self.affine))

    @property
    def encoder(self) -> EncoderFacts:
        """The encoder that computed the features."""
        return EncoderFacts(self.model, str(self.signature.get("fingerprint", "")), self.notice, self.compact)


class Entry:
    """Features of a scan, as far as they were computed; a `Sink` of extraction.

    Parameters
    ----------
    folder : Path
    about : EntryMetadata
    """

    def __init__(self, folder: Path, about: EntryMetadata):
        self.folder = folder
        self.about = about
        self.grid = about.grid
        self._arrays: dict[int, Any] = {}

    # Making and opening

    @classmethod
    def create(cls, folder: Path, about: EntryMetadata, body: NDArray[np.bool_]) -> "Entry":
        """Make a new entry without chunks, in place of any existing one."""
        import zarr

        temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            zarr.create_group(temporary, attributes={_ATTRIBUTE: asdict(about)})
            files.create_array(temporary / "body", about.shape, about.shape, "bool")[:] = body
            remove(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(folder, about)

    @classmethod
    def open(cls, folder: Path) -> "Entry":
        """Open an existing entry.

        Raises
        ------
        UnusableEntryError
            If there is none, or if it differs from what `create` makes.
        """
        files.refuse_links(folder)
        found = files.read_metadata(folder)
        if found.get("zarr_format") != 3 or found.get("node_type") != "group":
            raise UnusableEntryError("not features of CoralBay", where=folder, found=found.get("node_type"))
        attributes = found.get("attributes")
        about = attributes.get(_ATTRIBUTE) if isinstance(attributes, dict) else None
        return cls(folder, EntryMetadata.parse(about, folder))

    @cached_property
    def body(self) -> NDArray[np.bool_]:
        """Mask of the patient on the model grid."""
        array = files.open_array(self.folder / "body", self.grid.shape, self.grid.shape, "bool")
        # Looked for first: for a chunk that is not there, the whole array would be filled with zeros.
        there = self.folder.joinpath("body", "c", "0", "0", "0").is_file()
        body = files.read_chunk(array, (slice(None),) * 3) if there else None
        if body is None:
            raise UnusableEntryError("damaged body mask", where=self.folder)
        return body

    # Chunks

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the stages that have been started."""
        return tuple(sorted(s for s in self.about.channels if (self._stage_folder(s) / files.METADATA).exists()))

    def has(self, stride: int, chunk: Index) -> bool:
        """Whether a chunk of a stage exists."""
        return self._chunk_file(stride, chunk).exists()

    def missing(self, stride: int, chunks: Iterable[Index]) -> list[Index]:
        """List the chunks that are absent or damaged; the damaged ones are removed."""
        chunks = list(chunks)
        there = sorted(chunk for chunk in chunks if self.has(stride, chunk))
        # A layer is read at once: zarr takes longer to begin than to read a chunk. One that fails is read in chunks.
        layers = [list(layer) for _, layer in groupby(there, key=itemgetter(0))]
        suspect = [chunk for layer in layers if not self._reads_well(stride, layer) for chunk in layer]
        damaged = {chunk for chunk in suspect if not (self.has(stride, chunk) and self._sound(stride, chunk))}
        sound = set(there) - damaged
        return [chunk for chunk in chunks if chunk not in sound]

    def _reads_well(self, stride: int, chunks: list[Index]) -> bool:
        """Whether the box around some chunks can be read; absent chunks in it are zero."""
        try:
            found = files.read_chunk(self._array(stride), self._part(stride, *chunks))
        except UnusableEntryError:
            return False
        return found is not None and files.all_finite(found)

    def _sound(self, stride: int, chunk: Index) -> bool:
        try:
            found = files.read_chunk(self._array(stride), self._part(stride, chunk))
            sound = found is not None and files.all_finite(found)
        except UnusableEntryError:
            shutil.rmtree(self._stage_folder(stride))
            return False
        if not sound:
            self._chunk_file(stride, chunk).unlink()
        return sound

    def write(self, stride: int, chunk: Index, data: NDArray[np.float16]) -> None:
        """Store a chunk (C, z, y, x) of a stage."""
        self._array(stride, create=True)[self._part(stride, chunk)] = data

    @property
    def whole(self) -> Box:
        """Box of the whole model grid."""
        return tuple((0, n) for n in self.grid.shape)

    def needed(self, region: Box) -> list[Index]:
        """List the chunks of a region that hold body."""
        zs, ys, xs = (range(low // CHUNK, -(-high // CHUNK)) for low, high in region)
        return [(z, y, x) for z, y, x in product(zs, ys, xs) if self.body[self._inside((z, y, x), self.whole)].any()]

    def sweep(self) -> None:
        """Remove files that killed processes left half written; only the holder of the lock may call this."""
        sweep(self.folder)
        for path in self.folder.rglob("*"):
            if files.HALF_WRITTEN.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def remove_rest(self) -> bool:
        """Remove what is left of an entry whose metadata were removed; return whether it was one."""
        if (self.folder / files.METADATA).exists():
            return False
        remove(self.folder)
        return True

    # Reading

    def maps(self, strides: Collection[int], region: Box, expected: Collection[Index]) -> FeatureMaps:
        """Make feature maps of a region; parts of it that were not computed do not count as body.

        Parameters
        ----------
        strides : collection of int
        region : Box
            Of the model grid, whole cells.
        expected : collection of chunk
            Chunks that hold body; reading raises if one of them has been removed meanwhile.
        """
        absent = [chunk for chunk in expected if not all(self.has(stride, chunk) for stride in strides)]
        body = self.body[tuple(slice(low, high) for low, high in region)]
        if absent:
            body = body.copy()
            for chunk in absent:
                body[self._inside(chunk, region)] = False
        grid = region_grid(self.grid, region)
        there = [chunk for chunk in expected if chunk not in set(absent)]
        arrays = {stride: _StoredPart(self, stride, region, there) for stride in sorted(strides)}
        return FeatureMaps.of(self.about.encoder, arrays, grid, body)

    def read(self, stride: int, part: tuple[slice, ...]) -> NDArray[np.float16]:
        """Read a part (C, z, y, x) of a stage; absent chunks are zero."""
        if not self._stage_folder(stride).exists():  # no chunk of the region holds body
            return np.zeros(self._layout(stride)[0], np.float16)[part]
        return np.asarray(self._array(stride)[part])

    def touch(self) -> None:
        """Mark the entry as used; the entries unused for longest are removed first."""
        with suppress(PermissionError, FileNotFoundError):  # of a cache that is read-only, nothing is removed
            os.utime(self.folder)

    # Paths and shapes

    def _stage_folder(self, stride: int) -> Path:
        return self.folder / f"{_STAGE}{stride}"

    def _chunk_file(self, stride: int, chunk: Index) -> Path:
        return self._stage_folder(stride).joinpath("c", "0", *map(str, chunk))

    def _layout(self, stride: int) -> tuple[tuple[int, ...], tuple[int, ...], str]:
        channels = self.about.channels[stride]
        return (channels, *self.grid.coarsen(stride).shape), (channels, *[CHUNK // stride] * 3), "float16"

    def _array(self, stride: int, *, create: bool = False) -> Any:
        if stride not in self._arrays:
            folder = self._stage_folder(stride)
            if create and not (folder / files.METADATA).exists():  # the folder alone is what a killed process left
                files.create_array(folder, *self._layout(stride))
            self._arrays[stride] = files.open_array(folder, *self._layout(stride))
        return self._arrays[stride]

    def _part(self, stride: int, *chunks: Index) -> tuple[slice, ...]:
        """Cells of the box around some chunks."""
        places = zip(zip(*chunks, strict=True), self.grid.shape, strict=True)
        box = tuple((min(c) * CHUNK, min((max(c) + 1) * CHUNK, n)) for c, n in places)
        return (slice(None), *stage_slices(box, stride))

    def _inside(self, chunk: Index, region: Box) -> tuple[slice, ...]:
        """Voxels of a region that a chunk covers."""
        return tuple(
            slice(max(c * CHUNK - low, 0), max((c + 1) * CHUNK - low, 0))
            for c, (low, _) in zip(chunk, region, strict=True)
        )


class _StoredPart:
    """A region of a stage, read on demand."""

    def __init__(self, entry: Entry, stride: int, region: Box, expected: list[Index]):
        self._entry, self._stride, self._expected = entry, stride, expected
        self._origin = [low // stride for low, _ in region]
        cells = stage_slices(region, stride)
        self.shape = (entry.about.channels[stride], *(part.stop - part.start for part in cells))

    def __getitem__(self, part: tuple[slice, ...]) -> NDArray[np.float16]:
        bounds = [p.indices(n) for p, n in zip(part[1:], self.shape[1:], strict=True)]
        cells = [(a + o, b + o) for (a, b, _), o in zip(bounds, self._origin, strict=True)]
        self._require(cells)
        try:
            return self._entry.read(self._stride, (part[0], *(slice(a, b) for a, b in cells)))
        except (UnusableEntryError, MemoryError):
            raise
        except Exception as error:  # as in `files.read_chunk`
            raise UnusableEntryError(
                "damaged features", where=self._entry.folder, hint="run coralbay cache verify, then compute them again"
            ) from error

    def _require(self, cells: list[tuple[int, int]]) -> None:
        """Raise if another process has removed a chunk: zeros would be a wrong answer."""
        side = CHUNK // self._stride
        ranges = [range(a // side, -(-b // side)) for a, b in cells]
        for chunk in self._expected:
            touched = all(c in reach for c, reach in zip(chunk, ranges, strict=True))
            if touched and not self._entry.has(self._stride, chunk):
                raise UnusableEntryError(
                    "features were removed from the cache",
                    where=self._entry.folder,
                    hint="compute them again",
                )


def remove(folder: Path) -> None:
    """Remove an entry, or any file in its place; links are removed and not followed."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        # Renamed first, so that nobody opens half of it.
        gone = folder.with_name(f"{folder.name}.{os.getpid()}.gone")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
