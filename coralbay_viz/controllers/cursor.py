"""The cursor: matching position in a linked scan, hover heat map, marked region."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid

from ..jobs import Job, exclusive
from ..model.clicks import Point
from ..model.results import HeatResult
from ..model.scan import Scan

if TYPE_CHECKING:
    from coralbay_core.matching import Match
from ..tasks.cursor import hover, match


class Pointing:
    """Commands of a `Session` about a place. It brings signals and state; the session brings jobs and scans."""

    cursor_changed = Signal(object)  # world mm of the active scan, or None
    match_changed = Signal(Scan)
    hover_changed = Signal(Scan)
    marked_changed = Signal(Scan)

    def _start_pointing(self: Any) -> None:
        self._linked: Scan | None = None
        self._turns = {what: threading.Lock() for what in ("hover", "match")}
        self.scan_changed.connect(self._cursor_elsewhere)
        self.features_changed.connect(self._features_for_pointing)
        self.heat_changed.connect(self._unmark)
        self.scan_removed.connect(self._forget_pointing)

    # The cursor

    @property
    def cursor_mm(self: Any) -> Point | None:
        """Where the crosshair of the active scan is, world mm; what is set outside is moved to the nearest inside."""
        return self.scan and self.scan.cursor_mm

    @cursor_mm.setter
    def cursor_mm(self: Any, position_mm: Sequence[float] | None) -> None:
        scan = self._require_scan()
        place = None if position_mm is None else nearest_inside(scan.volume.grid, position_mm)
        if place != scan.cursor_mm:
            scan.cursor_mm = place
            self.cursor_changed.emit(place)
            self._match()

    def _cursor_elsewhere(self: Any, scan: Scan | None) -> None:
        self.cursor_changed.emit(self.cursor_mm)
        self._match()

    def link_cursor(self: Any, target: Scan | None) -> Job | None:
        """Look for the place under the cursor in another scan, whenever the cursor moves; None ends that.

        The result is `target.matched`, a `coralbay_core.matching.Match` with `position_mm`, `score` and, as a measure
        of confidence, `return_mm`, the distance between the cursor and where the way back ends.
        """
        if target is not None:
            self._require_member(target)
        before, self._linked = self._linked, target
        if before is not None and before is not target:
            self._runner.cancel(self._lane("match", before))
            self._set_match(before, None)
        return self._match()

    @property
    def linked(self: Any) -> Scan | None:
        """The scan that `link_cursor` named."""
        return self._linked

    def _match(self: Any) -> Job | None:
        source, target = self.scan, self._linked
        if target is None or source is None or source is target:
            return None
        features = source.features, target.features
        if source.cursor_mm is None or None in features or len({maps.fingerprint for maps in features}) > 1:
            self._runner.cancel(self._lane("match", target))
            self._set_match(target, None)
            return None
        weights = None if self._weights == "auto" else self._weights
        work = exclusive(self._turns["match"], partial(match, *features, source.cursor_mm, weights))
        return self.run(self._lane("match", target), work, partial(self._set_match, target), torch=True)

    def _set_match(self: Any, target: Scan, found: "Match | None") -> None:
        if found is not target.matched:
            target.matched = found
            self.match_changed.emit(target)

    # Hover

    def hover(self: Any, position_mm: Sequence[float] | None) -> Job | None:
        """Show roughly what a click at a position of the active scan would light up; None, or a place outside, ends it.

        The answer is `scan.hover`: of the coarse stages alone, on a coarse grid, without regions. It knows nothing of
        the clicks.
        """
        scan = self._require_scan()
        features = scan.features or scan.preview
        lane = self._lane("hover", scan)
        if position_mm is None or features is None or not features.grid.contains(position_mm):
            self._runner.cancel(lane)
            self._set_hover(scan, None)
            return None
        place = tuple(float(v) for v in position_mm)
        chosen = self._weights if isinstance(self._weights, dict) else None
        asked = partial(hover, features, place, chosen, scan.volume, scan.features is None)
        return self.run(lane, exclusive(self._turns["hover"], asked), partial(self._set_hover, scan), torch=True)

    def _set_hover(self: Any, scan: Scan, result: HeatResult | None) -> None:
        if result is not scan.hover:
            scan.hover = result
            self.hover_changed.emit(scan)

    # Marked regions

    def mark(self: Any, index: int | None) -> None:
        """Mark a region of the active scan's heat map, from 0, and put the cursor there; None marks none."""
        scan = self._require_scan()
        regions = () if scan.heat is None else scan.heat.regions
        if index is not None and not 0 <= index < len(regions):
            raise InputError("no such region", found=index, expected=f"0 to {len(regions) - 1}" if regions else "none")
        if index != scan.marked:
            scan.marked = index
            self.marked_changed.emit(scan)
        if index is not None:
            self.cursor_mm = regions[index].position_mm

    def _unmark(self: Any, scan: Scan) -> None:
        if scan.marked is not None:
            scan.marked = None
            self.marked_changed.emit(scan)

    # What others change

    def _features_for_pointing(self: Any, scan: Scan) -> None:
        self._runner.cancel(self._lane("hover", scan))
        self._set_hover(scan, None)
        if scan in (self.scan, self._linked):
            self._match()

    def _forget_pointing(self: Any, scan: Scan) -> None:
        if scan is self._linked:
            self._linked = None


def nearest_inside(grid: Grid, position_mm: Sequence[float]) -> Point:
    """The place of a volume that is nearest along its own axes, world mm."""
    position = np.asarray(position_mm, float)
    if position.shape != (3,) or not np.isfinite(position).all():
        raise InputError("not a position", found=position_mm, expected="three numbers of mm")
    if grid.contains(position):
        r, a, s = position.tolist()
    else:
        index = np.clip(grid.to_index(position), -0.5, np.asarray(grid.shape) - 0.5)
        r, a, s = grid.to_world(index).tolist()
    return r, a, s
