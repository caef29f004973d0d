"""The library of scans and searches in it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError

from ..jobs import Job
from ..model.scan import Scan

if TYPE_CHECKING:
    from coralbay_core.library import Library
    from coralbay_core.similarity import Query
from ..model.library_hit import LibraryHit
from ..tasks.library import _encoder, add, search


class Searching:
    """Commands of a `Session` about a library. It brings signals and state; the session brings jobs and queries.

    Attributes
    ----------
    library : Library, optional
    found : tuple of LibraryHit
        Of the last search, best first.
    """

    library_changed = Signal(object)  # the Library, or None
    found_changed = Signal()

    def _start_searching(self: Any) -> None:
        self.library: Library | None = None
        self.found: tuple[LibraryHit, ...] = ()

    def open_library(self: Any, path: str | Path) -> "Library":
        """Use the library in a folder from now on; one that is not there is made by `add_to_library`."""
        from coralbay_core.extraction.cache import FeatureStore
        from coralbay_core.library import Library

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

    def _set_found(self: Any, found: tuple[LibraryHit, ...]) -> None:
        self.found = found
        self.found_changed.emit()

    def add_to_library(self: Any, scan: Scan | None = None) -> Job:
        """Add a scan, by default the active one, to the library; its features come from the cache or are computed."""
        library = self._require(self.library, "no library is open", "open one first")
        scan = scan or self._require_scan()
        path = self._require(scan.volume.path, "scan has no file", "save it as NIfTI and open that first")
        work = partial(add, library, path, scan.series, self._encoders, scan.model or self._model)
        return self.run("library", work, lambda result: self.library_changed.emit(self.library), torch=True)
