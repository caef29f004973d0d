"""Comparisons by position: landmarks of a follow-up scan, and the other side of the body."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey
from ..model.scan import Scan
from ..tasks.similarity import mirror, propagate
from .similarity import SimilarityController
from .workspace import Workspace

if TYPE_CHECKING:
    from coralbay_core.matching import FollowUp, Landmark


class ComparisonsController:
    """Follow-up of landmarks, and left-right symmetry.

    Parameters
    ----------
    workspace : Workspace
    similarity : SimilarityController
    """

    symmetry_changed = Signal(Scan)
    follow_up_changed = Signal(Scan)

    def __init__(self, workspace: Workspace, similarity: SimilarityController) -> None:
        self._workspace = workspace
        self._similarity = similarity

    @checked
    def propagate(
        self,
        landmarks: "Sequence[Landmark]",
        target: Scan,
        *,
        prior_mm: float | None = 40.0,
        source: Scan | None = None,
    ) -> Job:
        """Find landmarks of a baseline (the active scan, or `source`) in a follow-up; the result is `follow_up` there.

        Parameters
        ----------
        landmarks : sequence of Landmark
            World mm of the baseline; `coralbay_core.matching.read_landmarks` reads them.
        target : Scan
        prior_mm : float, optional
            Width of the distance prior around the rough alignment of the two scans; None for none.
        source : Scan, optional
        """
        from coralbay_core.matching.landmarks import as_landmarks

        landmarks = as_landmarks(landmarks)
        source = source or self._workspace.require_scan()
        self._workspace.require_open(target, source)
        (_, before), (_, after) = (self._workspace.require_features(scan) for scan in (source, target))
        before.require_same_encoder(after)
        for landmark in landmarks:
            source.volume.grid.require_inside(landmark.position_mm, where=landmark.name)
        work = partial(propagate, landmarks, before, after, self._similarity.fixed_weights, prior_mm)
        done = partial(self._set_follow_up, target)
        return self._workspace.run(JobKey("follow-up", target), work, done, torch=True)

    def restore_follow_up(self, scan: Scan, rows: tuple[dict[str, Any], ...]) -> None:
        """Set the table of a follow-up from a saved session."""
        scan.update(follow_up_rows=rows)
        self.follow_up_changed.emit(scan)

    def _set_follow_up(self, scan: Scan, result: "FollowUp") -> None:
        scan.update(follow_up=result, follow_up_rows=tuple(result.rows()))
        self.follow_up_changed.emit(scan)

    @checked
    def mirror(self, position_mm: Sequence[float], scan: Scan | None = None) -> Job:
        """Compare a position of a scan (the active one) with the other side of the body, as `scan.symmetry`."""
        scan, features = self._workspace.require_features(scan)
        scan.volume.grid.require_inside(position_mm, where=scan.name)
        position = tuple(float(v) for v in position_mm)
        weights = self._similarity.fixed_weights
        work = partial(mirror, features, position, scan.midplane, weights, scan.overlay_grid)
        return self._workspace.run(JobKey("symmetry", scan), work, partial(self._set_symmetry, scan), torch=True)

    def _set_symmetry(self, scan: Scan, result: tuple[Any, Any, Any]) -> None:
        midplane, symmetry, shown = result
        scan.update(midplane=midplane, symmetry=symmetry, symmetry_shown=shown)
        self.symmetry_changed.emit(scan)
