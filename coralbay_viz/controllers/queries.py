"""Saved queries of the session."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.util.arguments import checked

from ..jobs import Job
from ..model.scan import Scan
from .features import FeaturesController
from .similarity import SimilarityController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.similarity import Query


class QueriesController:
    """Saved queries: kept clicks that can be used on any scan with features of the same model.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    similarity : SimilarityController

    Attributes
    ----------
    queries : dict of str to Query
    """

    queries_changed = Signal()

    def __init__(self, workspace: Workspace, features: FeaturesController, similarity: SimilarityController) -> None:
        self._workspace = workspace
        self._similarity = similarity
        self.queries: dict[str, Query] = {}
        features.features_changed.connect(self._drop_queries_of_other_models)

    @checked
    def keep_query(self, name: str) -> "Query":
        """Keep the clicks of the active scan as a query of this name."""
        from coralbay_core.similarity import make_query
        from coralbay_core.similarity.query import renamed

        scan, features = self._workspace.require_features()
        clicks = scan.clicks.now
        require(clicks.positive or None, "no prompts to save", "click on the scan first")
        return self._set(renamed(make_query(features, clicks.positive, clicks.negative), name))

    @checked
    def open_query(self, path: str | Path) -> "Query":
        """Read a query from a file."""
        from coralbay_core.similarity import load_query

        return self._set(load_query(path))

    @checked
    def save_query(self, name: str, path: str | Path) -> Path:
        """Write a query to a file."""
        query = self.get(name)
        self._workspace.inputs.require_free(path)
        return query.save(path)

    @checked
    def rename_query(self, name: str, new: str) -> "Query":
        """Rename a query."""
        from coralbay_core.similarity.query import renamed

        old = self.get(name)
        query = renamed(old, new)
        if query.name != name and query.name in self.queries:
            raise InputError("name is taken", found=new, hint="remove the other query first")
        self._replace(old, query)
        return query

    @checked
    def merge_queries(self, names: Sequence[str], new: str) -> "Query":
        """Merge several queries into a new one; they stay."""
        from coralbay_core.similarity import merge_queries

        return self._set(merge_queries([self.get(name) for name in names], new))

    @checked
    def remove_query(self, name: str) -> None:
        """Remove a query, also from the scans that use it."""
        self._replace(self.get(name), None)

    @checked
    def use_queries(self, *names: str) -> Job | None:
        """Use saved queries on the active scan, besides its clicks; without names, its clicks alone."""
        scan = self._workspace.require_scan()
        queries = tuple(self.get(name) for name in names)
        if scan.features is not None:
            for query in queries:
                query.require_fit(scan.features)
        scan.queries_in_use = queries
        self.queries_changed.emit()
        return self._similarity.update(scan)

    def get(self, name: str) -> "Query":
        """Return the query of this name, or raise."""
        return require(self.queries.get(name), f"no query named {name}", f"there are {sorted(self.queries)}")

    def restore(self, queries: "dict[str, Query]") -> None:
        """Replace all queries."""
        self.queries = queries
        self.queries_changed.emit()

    def _set(self, query: "Query") -> "Query":
        self._replace(self.queries.get(query.name), query)
        return query

    def _replace(self, old: "Query | None", new: "Query | None") -> None:
        """Replace a query, also where it is in use."""
        if old is not None:
            del self.queries[old.name]
        if new is not None:
            self.queries[new.name] = new
        affected = [scan for scan in self._workspace.scans if old is not None and old in scan.queries_in_use]
        for scan in affected:
            used = (new if query is old else query for query in scan.queries_in_use)
            scan.queries_in_use = tuple(query for query in used if query is not None)
        self.queries_changed.emit()
        for scan in affected:
            self._similarity.update(scan)

    def _drop_queries_of_other_models(self, scan: Scan) -> None:
        if scan.features is not None:
            fingerprint = scan.features.fingerprint
            scan.queries_in_use = tuple(query for query in scan.queries_in_use if query.fingerprint == fingerprint)
