"""A library of scans in a session: opened, searched with what was clicked, added to. Knows no GUI toolkit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.errors import CoralBayError
from coralbay_core.volume import Grid, Volume

from .colors import DEFAULT_WINDOW, WINDOWS
from .jobs import Job, Report
from .state import Point, Scan
from .work import Cancelled, Encoders

if TYPE_CHECKING:
    from coralbay_core.library import Library
    from coralbay_core.library.search import Hit
    from coralbay_core.similarity import Query

THUMBNAIL_PIXELS = 64
THUMBNAIL_MM = 96.0


@dataclass(frozen=True, eq=False)
class Found:
    """A place in a scan of the library.

    Parameters
    ----------
    name, path : str
        Of the scan.
    position_mm : tuple of float
        World mm of that scan.
    score, size_ml : float
    thumbnail : (y, x) uint8 array, optional
        The axial slice around the place in a soft-tissue window, anterior up and the patient's right on the left; None
        where the CT is not at hand, and until it has been read.
    series : str, optional
        Of a DICOM folder.
    """

    name: str
    path: str
    position_mm: Point
    score: float
    size_ml: float
    thumbnail: NDArray[np.uint8] | None = None
    series: str | None = None


class Searching:
    """Commands of a `Session` about a library. It brings signals and state; the session brings jobs and queries.

    Attributes
    ----------
    library : Library, optional
    found : tuple of Found
        Of the last search, best first.
    """

    library_changed = Signal(object)  # the Library, or None
    found_changed = Signal()

    def _start_searching(self: Any) -> None:
        self.library: Library | None = None
        self.found: tuple[Found, ...] = ()

    def open_library(self: Any, path: str | Path) -> "Library":
        """Use the library in a folder from now on; one that is not there is made by `add_to_library`."""
        from coralbay_core.library import Library
        from coralbay_core.store import FeatureStore

        library = Library(path, self._store if isinstance(self._store, FeatureStore) else None)
        if library.exists:
            library.manifest  # noqa: B018  # read to see that it can be
        self._runner.cancel("found")
        self.library = library
        self._set_found(())
        self.library_changed.emit(library)
        return library

    def search_library(
        self: Any, *names: str, top: int = 10, regions: int = 3, shortlist: int = 10, own: bool = False
    ) -> Job:
        """Look in the library for what was clicked in the active scan, or for saved queries; the result is `found`.

        Places come first and their thumbnails after them: `found_changed` is emitted twice.

        Parameters
        ----------
        *names : str
            Saved queries to look for, instead of clicks and queries in use.
        top : int
            Places to list.
        regions : int
            At most so many of one scan.
        shortlist : int
            Scans that are looked at closely.
        own : bool
            Whether to look in the active scan, too, if the library has it.
        """
        library = self._require(self.library, "no library is open", "open one first")
        scan = self.scan
        query = self._query_for_library(names)
        weights = self._weights if isinstance(self._weights, dict) else None
        exclude = None if own or scan is None else scan.volume
        settings = {"top": top, "regions": regions, "shortlist": shortlist, "weights": weights}
        model = scan.model if scan is not None and scan.model is not None else self._model
        encoder = partial(_encoder, self._encoders, model, library)
        work = partial(search, library, query, encoder, exclude, settings, self._set_found)
        return self.run("found", work, self._set_found, torch=True)

    def _query_for_library(self: Any, names: tuple[str, ...]) -> "Query":
        from coralbay_core.similarity import make_query, merge_queries

        if names:
            return merge_queries([self._query(name) for name in names])
        scan = self._require_features()
        clicks = scan.clicks.now
        made = [make_query(scan.features, clicks.positive, clicks.negative)] if clicks.positive else []
        if not made and not scan.used:
            raise CoralBayError("nothing to look for", where=scan.name, hint="click on the scan first")
        return merge_queries([*made, *scan.used])

    def _set_found(self: Any, found: tuple[Found, ...]) -> None:
        self.found = found
        self.found_changed.emit()

    def add_to_library(self: Any, scan: Scan | None = None) -> Job:
        """Add a scan, by default the active one, to the library; its features come from the cache or are computed."""
        library = self._require(self.library, "no library is open", "open one first")
        scan = scan or self._require_scan()
        path = self._require(scan.volume.path, "scan has no file", "save it as NIfTI and open that first")
        work = partial(add, library, path, scan.series, self._encoders, scan.model or self._model)
        return self.run("library", work, lambda result: self.library_changed.emit(self.library), torch=True)


# --- jobs ---------------------------------------------------------------------------------------------------------


def _encoder(encoders: Encoders, model: str, library: "Library") -> Any:
    encoder = encoders.get(model)
    library.require_model(encoder)
    return encoder


def add(
    library: "Library",
    path: Path,
    series: str | None,
    encoders: Encoders,
    model: str,
    report: Report,
    cancelled: Cancelled,
) -> Any:
    return library.add(path, encoders.get(model), series=series, progress=report)


def search(
    library: "Library",
    query: "Query",
    encoder: Callable[[], Any],
    exclude: Volume | None,
    settings: dict[str, Any],
    show: Callable[[tuple[Found, ...]], Any],
    report: Report,
    cancelled: Cancelled,
) -> tuple[Found, ...]:
    from coralbay_core.library import search_library
    from coralbay_core.store import content_digest

    own = None if exclude is None else content_digest(exclude)
    hits = search_library(library, query, encoder, exclude=own, progress=report, **settings).hits
    found = [
        Found(hit.scan.name, hit.scan.path, hit.position_mm, hit.score, hit.size_ml, series=hit.scan.series)
        for hit in hits
    ]
    report.tell(show, tuple(found))
    pictures = thumbnails(library, hits, cancelled)
    return tuple(replace(row, thumbnail=picture) for row, picture in zip(found, pictures, strict=True))


def thumbnails(library: "Library", hits: "tuple[Hit, ...]", cancelled: Cancelled) -> list[NDArray[np.uint8] | None]:
    """A picture of each hit; each scan is read once, and one is in memory at a time."""
    made: list[NDArray[np.uint8] | None] = [None] * len(hits)
    for entry in {hit.scan.scan: hit.scan for hit in hits}.values():
        if cancelled():
            break
        try:
            volume = library.open(entry)
        except CoralBayError:  # gone, or another scan now
            continue
        for number, hit in enumerate(hits):
            if hit.scan.scan == entry.scan:
                made[number] = thumbnail(volume, hit.position_mm)
    return made


def thumbnail(volume: Volume, position_mm: Point) -> NDArray[np.uint8]:
    """The axial slice around a place, `THUMBNAIL_MM` wide; black outside the scan."""
    from coralbay_core.preprocess import resample, to_unit

    step = THUMBNAIL_MM / THUMBNAIL_PIXELS
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = step, -step, -step, 1
    half = (THUMBNAIL_PIXELS - 1) / 2 * step
    affine[:3, 3] = np.asarray(position_mm) + (half, half, 0)
    grid = Grid((1, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), affine)
    limits = WINDOWS[DEFAULT_WINDOW].limits_hu
    hu = resample(volume.data, volume.grid, grid, fill=limits[0])
    return np.rint(to_unit(hu[0], limits) * 255).astype(np.uint8)
