"""The library of scans and searches in it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey
from ..model.library_hit import LibraryHit
from ..model.scan import Scan
from ..tasks.library import add, encoder_for, search
from .features import FeaturesController
from .queries import QueriesController
from .similarity import SimilarityController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.library import Library, Places
    from coralbay_core.similarity import Query


class LibraryController:
    """An open library, and the hits of the last search in it.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    similarity : SimilarityController
    queries : QueriesController

    Attributes
    ----------
    current : Library or None
    hits : tuple of LibraryHit
        Of the last search, best first.
    """

    changed = Signal(object)  # the Library, or None
    hits_changed = Signal()

    def __init__(
        self,
        workspace: Workspace,
        features: FeaturesController,
        similarity: SimilarityController,
        queries: QueriesController,
    ) -> None:
        self._workspace = workspace
        self._features = features
        self._similarity = similarity
        self._queries = queries
        self.current: Library | None = None
        self.hits: tuple[LibraryHit, ...] = ()

    @checked
    def open(self, path: str | Path) -> "Library":
        """Use the library in a folder from now on; `add` creates it if it does not exist."""
        from coralbay_core.extraction.cache import FeatureStore
        from coralbay_core.library import Library

        store = self._workspace.store
        library = Library(path, store if isinstance(store, FeatureStore) else None)
        if library.exists:
            library.manifest  # noqa: B018  # reading it raises if it is damaged
        self._workspace.stop("library search")
        self.current = library
        self._workspace.inputs.note(path)
        self._set_hits(())
        self.changed.emit(library)
        return library

    @checked
    def search(self, *names: str, top: int = 10, regions: int = 3, shortlist: int = 20, own: bool = False) -> Job:
        """Search the library for the clicks on the active scan, or for saved queries; the result is `hits`.

        Positions come first and their thumbnails after them: `hits_changed` is emitted twice. With the scope ``place``
        the best three scans are aligned with the active one, and searched near where the clicks align.

        Parameters
        ----------
        *names : str
            Saved queries, instead of the clicks and the queries in use.
        top : int
            Number of hits.
        regions : int
            Maximum number of hits per scan.
        shortlist : int
            Least number of scans that are searched at full resolution.
        own : bool
            Whether to search the active scan, too, if the library has it.
        """
        library = require(self.current, "no library is open", "open one first")
        scan = self._workspace.scan
        query = self._query(names)
        exclude = None if own or scan is None else scan.volume
        weights = self._similarity.weights_mapping
        settings: dict[str, Any] = {"top": top, "regions": regions, "shortlist": shortlist, "weights": weights}
        settings["places"] = self._places() if self._similarity.scope == "place" and not names else None
        model = scan.model if scan is not None and scan.model is not None else self._features.model
        encoder = partial(encoder_for, self._features.encoders, model, library)
        work = partial(search, library, query, encoder, exclude, settings, self._set_hits)
        return self._workspace.run(JobKey("library search"), work, self._set_hits, torch=True)

    @checked
    def add(self, scan: Scan | None = None, *, names: bool = False) -> Job:
        """Add a scan, by default the active one; its features come from the cache or are computed.

        Parameters
        ----------
        scan : Scan, optional
        names : bool
            Whether to store names and paths of its scans in the library, which may leave this machine.
        """
        library = require(self.current, "no library is open", "open one first")
        scan = scan or self._workspace.require_scan()
        path = require(scan.volume.path, "scan has no file", "save it as NIfTI and open that first")
        model = scan.model or self._features.model
        work = partial(add, library, path, scan.volume.series, self._features.encoders, model, names)
        done = partial(self._added, library)
        return self._workspace.run(JobKey("library"), work, done, torch=True)

    def _added(self, library: "Library", result: object) -> None:
        self.changed.emit(self.current)

    def _query(self, names: tuple[str, ...]) -> "Query":
        from coralbay_core.similarity import make_query, merge_queries

        if names:
            return merge_queries([self._queries.get(name) for name in names])
        scan, features = self._workspace.require_features()
        clicks = scan.clicks.now
        made = [make_query(features, clicks.positive, clicks.negative)] if clicks.positive else []
        if not made and not scan.queries_in_use:
            raise CoralBayError("no prompt to search for", where=scan.name, hint="click on the scan first")
        return merge_queries([*made, *scan.queries_in_use])

    def _places(self) -> "Places | None":
        """Clicks on the active scan, if they alone are asked for."""
        from coralbay_core.library import Places

        scan, features = self._workspace.require_features()
        clicks = scan.clicks.now
        if scan.queries_in_use or not clicks.positive:
            return None
        return Places(features, clicks.positive, clicks.negative)

    def _set_hits(self, hits: tuple[LibraryHit, ...]) -> None:
        self.hits = hits
        self.hits_changed.emit()
