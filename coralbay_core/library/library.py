"""Library of scans: each scan is added once, then all are searched together.

A library holds compact vectors of the cells of each body, about 12 mm apart, the descriptors of each scan at 8 bits,
and the hash and path of each scan. Features are cached, and computed again from the scan if the cache has removed them.
"""

import hashlib
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ..errors import CoralBayError, InputError, MissingFileError, StorageError
from ..extraction.cache import FeatureStore, content_digest, key_of, signature
from ..extraction.pipeline import features_for
from ..features import FeatureMaps
from ..io import load_volume
from ..models.encoder import Encoder, default_strides
from ..similarity.cell_table import body_tokens
from ..spatial import Volume
from ..util.arguments import checked
from . import manifest as manifests
from .manifest import LibraryEntry, Manifest
from .reduction import DIMENSIONS, Compact, channels_of, fit_compact, load_compact
from .scan_maps import ScanMaps, load_scan_maps
from .vectors import Vectors, require_library

Progress = Callable[[int, int], None]
_BASIS = "basis.safetensors"
_VECTORS = "vectors"
_MAPS = "maps"
_FILE = "file"


@dataclass(frozen=True)
class Added:
    """Result of adding a scan; `is_new` is False if the library contained it already."""

    entry: LibraryEntry
    is_new: bool


class Library:
    """Library of scans in a folder.

    Parameters
    ----------
    folder : str or Path
    store : FeatureStore, optional
        Store of the features; by default the user's cache.
    """

    @checked
    def __init__(self, folder: str | Path, store: FeatureStore | None = None):
        self.folder = Path(folder)
        self.store = store or FeatureStore()
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("not a folder", where=self.folder, expected="the folder of a library")

    @property
    def exists(self) -> bool:
        """Whether the folder holds a library."""
        return (self.folder / manifests.NAME).is_file()

    @property
    def manifest(self) -> Manifest:
        """Current manifest on disk."""
        return manifests.read(self.folder)

    @property
    def basis(self) -> Compact:
        """Basis of the compact descriptors."""
        return load_compact(self.folder / _BASIS)

    @property
    def vectors(self) -> Vectors:
        """Vectors of all cells."""
        basis = self.basis
        return Vectors(self.manifest.vectors or self.folder / _VECTORS, basis.axes.shape[1])

    def require_model(self, encoder: Encoder) -> None:
        """Raise unless the library was made with this encoder."""
        known = self.manifest
        if known.fingerprint != encoder.fingerprint:
            raise InputError(
                "library was made with another model",
                where=self.folder,
                found=encoder.name,
                expected=f"{known.model} ({known.fingerprint[:12]})",
                hint=f"use --model {known.model}, or make another library",
            )

    @checked
    def add(
        self,
        path: str | Path,
        encoder: Encoder,
        *,
        series: str | None = None,
        name: str = "",
        vectors: str = "",
        progress: Progress | None = None,
        settle: bool = True,
        store_names: bool = False,
    ) -> Added:
        """Add a scan; the first one creates the library.

        Parameters
        ----------
        path : str or Path
            NIfTI file or DICOM folder.
        encoder : Encoder
            The same for all scans of a library.
        series : str, optional
            Series of a DICOM folder.
        name : str, optional
            Name of the scan; by default that of the file.
        vectors : str, optional
            Location of the vectors of a *new* library if not in its folder: a URI of LanceDB.
        progress : callable, optional
            As in `features_for`.
        settle : bool
            Whether to bring the index up to date; leave it out where more scans follow, and call `settle` after them.
        store_names : bool
            Whether to store names and paths in the library itself from now on, for other machines that search it. They
            often contain the name of a patient, so by default they stay in the state folder of this user.
        """
        require_library()
        if self.exists:
            self.require_model(encoder)
        path = Path(path).resolve()
        volume = load_volume(path, series=series)
        scan = content_digest(volume)
        if self.exists:
            self._store_names(store_names)
        if self.exists and (known := next((e for e in self.manifest.scans if e.scan == scan), None)):
            return Added(known, is_new=False)
        strides = self.manifest.strides if self.exists else default_strides(encoder)
        features = features_for(volume, encoder, strides=strides, store=self.store, progress=progress)
        if not self.exists:
            self._begin(features, vectors)
        self._store_names(store_names)
        tokens = body_tokens(features)
        # Vectors first: cells of a scan that the manifest does not know are replaced when it is added again.
        self.vectors.add(scan, self.basis.compact(tokens.vectors), tokens.position_mm)
        ScanMaps.of(features).save(self._maps_file(scan), {_FILE: _stamp(path)})
        taken = {e.name for e in self.manifest.scans}
        choices = (name or volume.name, f"{path.parent.name}/{volume.name}", f"{volume.name}-{scan[:8]}")
        name = next(choice for choice in (*choices, scan) if choice not in taken)
        today = datetime.now(UTC).date().isoformat()
        key = key_of(signature(volume, encoder))
        entry = LibraryEntry(scan, name, str(path), key, len(tokens), volume.series, today)
        manifests.write(self.folder, self.manifest.with_entry(entry))
        if settle:
            self.settle()
        return Added(entry, is_new=True)

    def settle(self) -> None:
        """Bring the index of the vectors up to date."""
        self.vectors.settle()

    @checked
    def remove(self, wanted: str) -> LibraryEntry:
        """Remove a scan by its name, path or the beginning of its hash; the CT file is not deleted."""
        known = self.manifest
        entry = known.find(wanted)
        manifests.write(self.folder, known.without(entry))
        self.vectors.remove(entry.scan)
        self._maps_file(entry.scan).unlink(missing_ok=True)
        return entry

    def has_maps(self, entry: LibraryEntry) -> bool:
        """Whether the descriptors of a scan at 8 bits are stored; libraries of earlier versions lack them."""
        return self._maps_file(entry.scan).is_file()

    def maps(self, entry: LibraryEntry, encoder: Callable[[], Encoder]) -> ScanMaps:
        """Load the descriptors of a scan at 8 bits, or make them from its features and store them.

        Raises
        ------
        CoralBayError
            As of `features`.
        """
        with suppress(CoralBayError):
            return load_scan_maps(self._maps_file(entry.scan))[0]
        made = ScanMaps.of(self.features(entry, encoder))
        with suppress(StorageError):  # a library that is read-only
            made.save(self._maps_file(entry.scan), {_FILE: ""})
        return made

    def require_scan(self, entry: LibraryEntry) -> None:
        """Raise unless a scan can be shown: its features are in the cache, or its file is there, unchanged.

        A file of the size and date that it had when it was read last counts as unchanged; others are read.

        Raises
        ------
        MissingFileError, InputError
            As of `open`.
        """
        if self.store.folder(entry.key).is_dir():
            return
        now, path = _stamp(Path(entry.path)) if entry.path else "", self._maps_file(entry.scan)
        try:
            maps, about = load_scan_maps(path)
        except CoralBayError:
            self.open(entry)
            return
        if not now or about.get(_FILE) != now:
            self.open(entry)
            with suppress(StorageError):  # a library that is read-only
                maps.save(path, {_FILE: now})

    def is_cached(self, entry: LibraryEntry) -> bool:
        """Whether the features of a scan are in the cache."""
        return self.store.complete(entry.key, self.manifest.strides) is not None

    def features(
        self, entry: LibraryEntry, encoder: Callable[[], Encoder], progress: Progress | None = None
    ) -> FeatureMaps:
        """Load the features of a scan from the cache, or compute them from its file.

        Raises
        ------
        MissingFileError
            If neither the features nor the file exist.
        InputError
            If the file holds another scan now.
        """
        known = self.manifest
        cached = self.store.complete(entry.key, known.strides)
        if cached is not None:
            return cached
        volume = self.open(entry)
        return features_for(volume, encoder(), strides=known.strides, store=self.store, progress=progress)

    def open(self, entry: LibraryEntry) -> Volume:
        """Read the file of a scan; raise if it has changed."""
        if not entry.path or not Path(entry.path).exists():
            raise MissingFileError(
                "scan of the library is missing" if entry.path else "path of the scan is unknown on this machine",
                where=entry.path or entry.name,
                hint=f"restore the file, or run `coralbay library remove {self.folder} {entry.name}` and add it again",
            )
        volume = load_volume(entry.path, series=entry.series)
        if content_digest(volume) != entry.scan:
            raise InputError(
                "scan of the library has changed",
                where=entry.path,
                hint=f"run `coralbay library remove {self.folder} {entry.name}` and add it again",
            )
        return volume

    def _maps_file(self, scan: str) -> Path:
        return self.folder / _MAPS / f"{scan}.safetensors"

    def _begin(self, features: FeatureMaps, vectors: str) -> None:
        """Create an empty library whose basis is fitted to the first scan."""
        channels = channels_of(features)
        basis = fit_compact([body_tokens(features).vectors], DIMENSIONS)
        self.folder.mkdir(parents=True, exist_ok=True)
        basis.save(self.folder / _BASIS)
        identifier = uuid.uuid4().hex
        empty = Manifest(
            features.model, features.fingerprint, features.strides, channels, vectors, (), identifier, names=False
        )
        manifests.write(self.folder, empty)

    def _store_names(self, wanted: bool) -> None:
        """Move names and paths into the library, if that is wanted and not done yet."""
        known = self.manifest
        if wanted and not known.names:
            manifests.write(self.folder, replace(known, names=True))


def _stamp(path: Path) -> str:
    """Hash of size and date of a file, or date of a folder; empty if there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    size = found.st_size if path.is_file() else 0
    return hashlib.blake2b(f"{size} {found.st_mtime_ns}".encode(), digest_size=8).hexdigest()
