"""The cursor: matching position in a linked scan, hover heat map, marked region."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from coralbay_core.errors import InputError

from ..jobs import Job, JobKey, exclusive, without_context
from ..model.clicks import Point
from ..model.places import as_place, nearest_inside
from ..model.results import HeatResult, Results
from ..model.scan import Scan
from ..tasks.cursor import hover, match
from .alignments import AlignmentsController
from .features import FeaturesController
from .similarity import SimilarityController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.matching import Match

# Far below what anybody sees, far above what a view rounds.
_SAME_MM = 1e-3


class CursorController:
    """Position of the cursor, and what follows it.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    similarity : SimilarityController
    alignments : AlignmentsController
    """

    cursor_changed = Signal(object)  # world mm of the active scan, or None
    match_changed = Signal(Scan)
    hover_changed = Signal(Scan)
    marked_changed = Signal(Scan)

    def __init__(
        self,
        workspace: Workspace,
        features: FeaturesController,
        similarity: SimilarityController,
        alignments: AlignmentsController,
    ) -> None:
        self._workspace = workspace
        self._similarity = similarity
        self._alignments = alignments
        self._linked: Scan | None = None
        self._hover_lock, self._match_lock = threading.Lock(), threading.Lock()
        workspace.scan_changed.connect(self._scan_changed)
        workspace.scan_removed.connect(self._forget)
        features.features_changed.connect(self._features_changed)
        features.results_replaced.connect(self._results_replaced)
        similarity.heat_changed.connect(self._unmark)
        alignments.aligned.connect(self._pair_aligned)

    # Cursor

    @property
    def cursor_mm(self) -> Point | None:
        """Position of the crosshair in the active scan, world mm; one outside moves to the nearest inside."""
        scan = self._workspace.scan
        return None if scan is None else scan.cursor_mm

    @cursor_mm.setter
    def cursor_mm(self, position_mm: Sequence[float] | None) -> None:
        scan = self._workspace.require_scan()
        position = None if position_mm is None else nearest_inside(scan.volume.grid, position_mm)
        if self._place(scan, position):
            self._match()

    def _place(self, scan: Scan, position: Point | None) -> bool:
        """Move the crosshair of a scan; return whether it was elsewhere."""
        if position == scan.cursor_mm:
            return False
        scan.cursor_mm = position
        if scan is self._workspace.scan:
            self.cursor_changed.emit(position)
        return True

    def _scan_changed(self, scan: Scan | None) -> None:
        self.cursor_changed.emit(self.cursor_mm)
        self._match()

    # Matching position

    @property
    def linked(self) -> Scan | None:
        """Scan in which the position under the cursor is searched."""
        return self._linked

    def link_cursor(self, target: Scan | None) -> Job | None:
        """Keep the cursors of the active and another scan at the same anatomy; None ends that.

        The result is `target.matched`, a `coralbay_core.matching.Match` with `position_mm`, `score` and `return_mm`:
        the distance between the cursor and the match of the match, a measure of confidence. It is searched for until
        the two scans are aligned, which begins now in a job of its own, and read from the alignment afterwards. Setting
        `linked_cursor_mm` moves the cursor of the active scan in turn.
        """
        if target is not None:
            self._workspace.require_open(target)
        before, self._linked = self._linked, target
        if before is not None and before is not target:
            self._workspace.stop("match", before)
            self._set_match(before, None)
        return self._match()

    def _match(self) -> Job | None:
        source, target = self._workspace.scan, self._linked
        if target is None or source is None or source is target:
            return None
        here, there = source.features, target.features
        if source.cursor_mm is None or here is None or there is None or here.fingerprint != there.fingerprint:
            self._workspace.stop("match", target)
            self._set_match(target, None)
            return None
        self._workspace.stop("match", source)
        work = without_context(partial(match, here, there, source.cursor_mm, self._similarity.fixed_weights))
        done = partial(self._set_match, target)
        job = self._workspace.run(JobKey("match", target), exclusive(self._match_lock, work), done, torch=True)
        self._alignments.ensure(source, target)
        return job

    @property
    def linked_cursor_mm(self) -> Point | None:
        """Position in the linked scan that corresponds to the cursor; setting it moves the cursor to the same anatomy.

        Setting it to where it is does nothing, so that views may report a position that they were moved to.
        """
        linked = self._linked
        if linked is None or linked.matched is None:
            return None
        return nearest_inside(linked.volume.grid, linked.matched.position_mm)

    @linked_cursor_mm.setter
    def linked_cursor_mm(self, position_mm: Sequence[float]) -> None:
        source, target = self._workspace.require_scan(), require(self._linked, "no scan is linked", "link a scan first")
        position = nearest_inside(target.volume.grid, position_mm)
        here, there = source.features, target.features
        now = self.linked_cursor_mm
        if source is target or (now is not None and np.allclose(position, now, rtol=0, atol=_SAME_MM)):
            return
        if here is None or there is None or here.fingerprint != there.fingerprint:
            return
        self._workspace.stop("match", target)
        work = without_context(partial(match, there, here, position, self._similarity.fixed_weights))
        done = partial(self._follow, source, target)
        self._workspace.run(JobKey("match", source), exclusive(self._match_lock, work), done, torch=True)
        self._alignments.ensure(source, target)

    def _follow(self, source: Scan, target: Scan, found: "Match") -> None:
        """Move the cursor of the first scan to the match of a position in the linked one."""
        place = nearest_inside(source.volume.grid, found.position_mm)
        if target is self._linked and source is self._workspace.scan:
            self._set_match(target, found.turned(place))
            self._place(source, place)

    def _pair_aligned(self, *pair: Scan) -> None:
        """Match again what was searched for without the alignment."""
        if self._linked in pair and self._workspace.scan in pair:
            self._match()

    def _set_match(self, target: Scan, found: "Match | None") -> None:
        if found is not target.matched:
            target.update(matched=found)
            self.match_changed.emit(target)

    # Hover

    def hover(self, position_mm: Sequence[float] | None) -> Job | None:
        """Show a coarse heat map of a position of the active scan; None, or a position outside, removes it.

        The result is `scan.hover`: coarse stages on a coarse grid, without regions and independent of the clicks.
        """
        scan = self._workspace.require_scan()
        features = scan.features or scan.preview
        position_mm = None if position_mm is None else as_place(position_mm)
        if position_mm is None or features is None or not features.grid.contains(position_mm):
            self._workspace.stop("hover", scan)
            self._set_hover(scan, None)
            return None
        r, a, s = (float(v) for v in position_mm)
        is_partial = scan.features is None
        work = partial(hover, features, (r, a, s), self._similarity.weights_mapping, scan.volume, is_partial)
        run = exclusive(self._hover_lock, work)
        return self._workspace.run(JobKey("hover", scan), run, partial(self._set_hover, scan), torch=True)

    def _set_hover(self, scan: Scan, result: HeatResult | None) -> None:
        if result is not scan.hover:
            scan.update(hover=result)
            self.hover_changed.emit(scan)

    # Marked region

    def mark(self, index: int | None) -> None:
        """Mark a region of the active scan's heat map, from 0, and move the cursor there; None marks none."""
        scan = self._workspace.require_scan()
        regions = () if scan.heat is None else scan.heat.regions
        whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
        if index is not None and not (whole and 0 <= index < len(regions)):
            raise InputError("no such region", found=index, expected=f"0 to {len(regions) - 1}" if regions else "none")
        if index != scan.marked:
            scan.marked = index
            self.marked_changed.emit(scan)
        if index is not None:
            self.cursor_mm = regions[index].position_mm  # type: ignore[assignment]  # three floats

    def _unmark(self, scan: Scan) -> None:
        if scan.marked is not None:
            scan.marked = None
            self.marked_changed.emit(scan)

    # Changes elsewhere

    def _features_changed(self, scan: Scan) -> None:
        self._workspace.stop("hover", scan)
        self._set_hover(scan, None)
        if scan in (self._workspace.scan, self._linked):
            self._match()

    def _results_replaced(self, scan: Scan, old: Results) -> None:
        if old.hover is not None:
            self.hover_changed.emit(scan)
        if old.matched is not None:
            self.match_changed.emit(scan)

    def _forget(self, scan: Scan) -> None:
        if scan is self._linked:
            self._linked = None
