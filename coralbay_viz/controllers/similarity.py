"""Heat maps: stage weights, distance prior, linked scans, follow-up, symmetry, saved queries."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError

from ..jobs import Job
from ..model.scan import Scan
from ..model.stage_weights import Mixer, checked_weights
from ..tasks import similarity as similarity_tasks

if TYPE_CHECKING:
    from coralbay_core.matching import FollowUp, Landmark
    from coralbay_core.similarity import Query
    from coralbay_core.similarity.symmetry import Midplane, SideBySide
from ..tasks.similarity import HeatRequest


class Asking:
    """Commands of a `Session` that ask. It brings signals and state; the session brings jobs and scans.

    Attributes
    ----------
    queries : dict of str to Query
        The session's query library.
    """

    weights_changed = Signal(object)
    queries_changed = Signal()
    symmetry_changed = Signal(Scan)
    follow_up_changed = Signal(Scan)

    def _start_asking(self: Any) -> None:
        self._weights: Mixer = None
        self._prior_mm: float | None = None
        self.queries: dict[str, Query] = {}
        self.clicks_changed.connect(self._update_linked)
        self.features_changed.connect(self._features_replaced)
        self.scan_removed.connect(self._forget_scan)

    # The mixer

    @property
    def weights(self) -> Mixer:
        """Weights of the strides: a mapping, ``auto`` (chosen from the clicks), or None for equal ones."""
        return self._weights

    @weights.setter
    def weights(self: Any, weights: Mixer) -> None:
        weights = checked_weights(weights)
        if weights != self._weights:
            self._weights = weights
            self.weights_changed.emit(weights)
            self._update_all()

    @property
    def prior_mm(self) -> float | None:
        """Width of the distance prior around the clicks, or None."""
        return self._prior_mm

    @prior_mm.setter
    def prior_mm(self: Any, width: float | None) -> None:
        if width is not None and not 0 < width < float("inf"):
            raise InputError("unusable distance prior", found=width, expected="a number of mm above 0, or None")
        if width != self._prior_mm:
            self._prior_mm = None if width is None else float(width)
            self.weights_changed.emit(self._weights)
            self._update_all()

    def _update_all(self: Any) -> None:
        for scan in self.scans:
            self._update_heat(scan)

    # Across scans

    def answer_in(self: Any, target: Scan, source: Scan | None = None) -> Job | None:
        """Let the heat map of `target` answer the clicks of another scan, from now on; None while features are missing.

        Parameters
        ----------
        target : Scan
        source : Scan, optional
            By default the active one.
        """
        source = source or self._require_scan()
        self._require_member(target, source)
        if target is source:
            raise InputError("a scan cannot be linked to itself", where=target.name)
        target.origin = source
        return self._update_heat(target)

    def answer_own(self: Any, target: Scan) -> Job | None:
        """Let the heat map of a scan answer its own clicks again."""
        self._require_member(target)
        target.origin = None
        return self._update_heat(target)

    def _update_linked(self: Any, scan: Scan) -> None:
        for other in self.scans:
            if other.origin is scan and other is not scan:
                try:
                    self._update_heat(other)
                except CoralBayError as error:  # the scan that was clicked is not to blame
                    self.failed.emit(error)

    def _features_replaced(self: Any, scan: Scan) -> None:
        if scan.features is not None:
            scan.used = tuple(q for q in scan.used if q.fingerprint == scan.features.fingerprint)
        self._update_linked(scan)

    def _forget_scan(self: Any, scan: Scan) -> None:
        for other in self.scans:
            if other.origin is scan:
                other.origin = None
                self._update_heat(other)

    def heat_request(self: Any, scan: Scan) -> HeatRequest | None:
        """What the heat map of a scan is to answer, or None where nothing is asked or features are missing.

        While they are computed the first of them answer for their box.
        """
        source = scan.origin or scan
        target, asked = scan.features or scan.preview, source.features or source.preview
        if target is None or asked is None:
            return None
        clicks = source.clicks.now if source.features is not None else source.clicks.now.inside(asked.grid)
        if not (clicks.positive or scan.used):
            return None
        is_partial = scan.features is None or source.features is None
        return HeatRequest(clicks, asked, target, scan.used, self._weights, self._prior_mm, is_partial)

    def propagate(
        self: Any, landmarks: "Sequence[Landmark]", target: Scan, *, prior_mm: float | None = 40.0, source: Any = None
    ) -> Job:
        """Find landmarks of a baseline (the active scan, or `source`) in a follow-up; the result is on `target`.

        Parameters
        ----------
        landmarks : sequence of Landmark
            World mm of the baseline; `coralbay_core.matching.read_landmarks` reads them.
        target : Scan
        prior_mm : float, optional
            Width of the distance prior around the rough alignment of the two scans; None for none.
        """
        source = source or self._require_scan()
        self._require_member(target, source)
        for scan in (source, target):
            self._require(scan.features, f"{scan.name} has no features yet", "compute features first")
        source.features.require_same_encoder(target.features)
        for landmark in landmarks:
            source.volume.grid.require_inside(landmark.position_mm, where=landmark.name)
        weights = None if self._weights == "auto" else self._weights
        job = partial(similarity_tasks.propagate, tuple(landmarks), source.features, target.features, weights, prior_mm)
        return self.run(self._lane("follow-up", target), job, partial(self._set_follow_up, target), torch=True)

    def _set_follow_up(self: Any, scan: Scan, result: "FollowUp") -> None:
        scan.follow_up, scan.follow_up_rows = result, tuple(result.rows())
        self.follow_up_changed.emit(scan)

    # The other side

    def mirror(self: Any, position_mm: Sequence[float], scan: Scan | None = None) -> Job:
        """Compare a position of a scan (the active one) with the other side of the patient, as `scan.symmetry`."""
        scan = self._require_features(scan)
        scan.volume.grid.require_inside(position_mm, where=scan.name)
        weights = None if self._weights == "auto" else self._weights
        place = tuple(float(v) for v in position_mm)
        job = partial(similarity_tasks.mirror, scan.features, place, scan.midplane, weights, scan.overlay_grid)
        return self.run(self._lane("symmetry", scan), job, partial(self._set_symmetry, scan), torch=True)

    def _set_symmetry(self: Any, scan: Scan, result: "tuple[Midplane, SideBySide, Any]") -> None:
        scan.midplane, scan.symmetry, scan.symmetry_shown = result
        self.symmetry_changed.emit(scan)

    # Saved queries

    def keep_query(self: Any, name: str) -> "Query":
        """Keep the clicks of the active scan as a query of this name in the session's query library."""
        from coralbay_core.similarity import make_query
        from coralbay_core.similarity.query import renamed

        scan = self._require_features()
        clicks = scan.clicks.now
        self._require(clicks.positive or None, "no clicks to keep", "click on the scan first")
        query = renamed(make_query(scan.features, clicks.positive, clicks.negative), name)
        return self._set_query(query)

    def open_query(self: Any, path: str | Path) -> "Query":
        """Read a query file into the session's query library."""
        from coralbay_core.similarity import load_query

        return self._set_query(load_query(path))

    def save_query(self: Any, name: str, path: str | Path) -> Path:
        """Write a query of the session's query library as a file."""
        return self._query(name).save(path)

    def rename_query(self: Any, name: str, new: str) -> "Query":
        """Give a query another name."""
        from coralbay_core.similarity.query import renamed

        query = renamed(self._query(name), new)
        if query.name != name and query.name in self.queries:
            raise InputError("name is taken", found=new, hint="remove the other query first")
        return self._replace_query(self._query(name), query)

    def merge_queries(self: Any, names: Sequence[str], new: str) -> "Query":
        """Make one query of several, beside them."""
        from coralbay_core.similarity import merge_queries

        return self._set_query(merge_queries([self._query(name) for name in names], new))

    def remove_query(self: Any, name: str) -> None:
        """Take a query out of the session's query library, and out of use."""
        self._replace_query(self._query(name), None)

    def use_queries(self: Any, *names: str) -> Job | None:
        """Ask the active scan with saved queries, beside its clicks; without names, with its clicks alone."""
        scan = self._require_scan()
        queries = tuple(self._query(name) for name in names)
        if scan.features is not None:
            for query in queries:
                query.require_fit(scan.features)
        scan.used = queries
        self.queries_changed.emit()
        return self._update_heat(scan)

    def _query(self: Any, name: str) -> "Query":
        return self._require(self.queries.get(name), f"no query named {name}", f"there are {sorted(self.queries)}")

    def _set_query(self: Any, query: "Query") -> "Query":
        return self._replace_query(self.queries.get(query.name), query)

    def _replace_query(self: Any, old: Any, new: Any) -> Any:
        """Put a query in the place of another one, also where that is in use."""
        if old is not None:
            del self.queries[old.name]
        if new is not None:
            self.queries[new.name] = new
        affected = [scan for scan in self.scans if old is not None and old in scan.used]
        for scan in affected:
            used = (new if query is old else query for query in scan.used)
            scan.used = tuple(query for query in used if query is not None)
        self.queries_changed.emit()
        for scan in affected:
            self._update_heat(scan)
        return new

    def _require_member(self: Any, *scans: Scan) -> None:
        for scan in scans:
            if scan not in self.scans:
                raise CoralBayError("scan is not open in this session", where=scan.name)
