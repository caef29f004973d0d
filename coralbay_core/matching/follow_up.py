"""Landmarks and lesions of a baseline scan, found again in a follow-up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Cancelled
from ..features import FeatureMaps
from ..similarity.prior import prior_around
from .alignment import Alignment
from .deformation import Deformation
from .known_alignments import alignment_of
from .landmarks import Landmark
from .match import Match, best_match

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class FollowUp:
    """Landmarks with their matches.

    Parameters
    ----------
    landmarks : tuple of Landmark
    matches : tuple of Match
    alignment : Deformation or Alignment, optional
        Alignment that centered the distance prior.
    """

    landmarks: tuple[Landmark, ...]
    matches: tuple[Match, ...]
    alignment: Deformation | Alignment | None = None

    @property
    def confirmed(self) -> int:
        """Number of matches confirmed by searching back."""
        return sum(match.confirmed for match in self.matches)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row per landmark: positions in follow-up and baseline, score, forward-backward error."""
        for landmark, match in zip(self.landmarks, self.matches, strict=True):
            found = [round(float(v), 2) for v in match.position_mm]
            before = [round(float(v), 2) for v in landmark.position_mm]
            yield {
                "name": landmark.name,
                **dict(zip(("x_mm", "y_mm", "z_mm"), found, strict=True)),
                "score": round(match.score, 4),
                "return_mm": round(match.return_mm, 2),
                "confirmed": match.confirmed,
                **dict(zip(("baseline_x_mm", "baseline_y_mm", "baseline_z_mm"), before, strict=True)),
                **landmark.more,
            }


def propagate(
    landmarks: Sequence[Landmark],
    baseline: FeatureMaps,
    follow_up: FeatureMaps,
    *,
    weights: Mapping[int, float] | None = None,
    prior_mm: float | None = None,
    alignment: Deformation | Alignment | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FollowUp:
    """Find landmarks of a baseline scan in a follow-up.

    Parameters
    ----------
    landmarks : sequence of Landmark
        In world mm of the baseline.
    baseline, follow_up : FeatureMaps
        Features of both scans, of the same encoder.
    weights : mapping of int to float, optional
        Weights of the strides.
    prior_mm : float, optional
        Width of a distance prior around where an alignment of the two scans expects each.
    alignment : Deformation or Alignment, optional
        Alignment of the baseline with the follow-up; by default that of `deform`.
    progress, cancelled : callable, optional
        Called between landmarks; when `cancelled()` is true, `Cancelled` is raised.
    """
    for landmark in landmarks:
        baseline.grid.require_inside(landmark.position_mm, where=landmark.name)
    if prior_mm is None:
        alignment = None
    elif alignment is None:
        alignment = alignment_of(baseline, follow_up, weights=weights, cancelled=cancelled)
    matches = []
    for number, landmark in enumerate(landmarks):
        if progress:
            progress(number, len(landmarks))
        if cancelled and cancelled():
            raise Cancelled("propagation was cancelled", hint="nothing was written")
        prior = None if alignment is None else prior_around(alignment(landmark.position_mm), prior_mm)
        matches.append(best_match(baseline, follow_up, landmark.position_mm, weights=weights, prior=prior))
    if progress:
        progress(len(landmarks), len(landmarks))
    return FollowUp(tuple(landmarks), tuple(matches), alignment)
