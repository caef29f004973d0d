"""Strokes to labels: what the jobs of `probing` do. Functions of their arguments, which may run on any thread."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coralbay_core.spatial import Grid, LabelVolume, Volume

from ..jobs import JobContext
from ..model.strokes import PaintedVoxels
from .labeling import Labeling

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.probe import Kind as ProbeKind
    from coralbay_core.probe import LabelStatistics, Probe, ScoreMap, Suggestion

Point = tuple[float, float, float]


@dataclass(frozen=True)
class LabelRequest:
    """A labeling, and the grid of its result."""

    labeling: Labeling
    grid: Grid


def prepare(features: "FeatureMaps") -> None:
    """Do the slow first steps of a fit in advance."""
    import sklearn.cluster  # noqa: F401  # takes a second the first time

    from coralbay_core.probe.examples import body_covariance

    _ = body_covariance(features).metric  # both are kept


def fit_and_apply(
    pairs: "Sequence[tuple[FeatureMaps, PaintedVoxels]]",
    kind: "ProbeKind | None",
    request: LabelRequest,
    planes: Sequence[Grid],
    show: Callable[[tuple[LabelVolume, ...]], None],
    context: JobContext,
) -> "tuple[Probe, LabelVolume]":
    """Fit a probe to strokes and segment a scan; post the displayed slices first."""
    from coralbay_core.probe import DEFAULT_KIND, fit_probe_to_scans

    connected = request.labeling.connections is not None

    def early(probe: "Probe") -> None:
        if planes and not connected and not context.cancelled():
            context.post(show, tuple(slices_of(probe, request, planes)))

    scans = [(features, strokes.labels) for features, strokes in pairs]
    probe = fit_probe_to_scans(scans, kind=kind or DEFAULT_KIND, early=early)
    scores = request.labeling.scores(probe, cancelled=context.cancelled)
    if planes and connected and not context.cancelled():
        # All cells take part in connections, so the slices come after the scores and not before.
        context.post(show, tuple(_slice_of(scores, probe, request, plane) for plane in planes))
    return labeled(probe, scores, request, context)


def apply(request: LabelRequest, probe: "Probe", context: JobContext) -> "tuple[Probe, LabelVolume]":
    """Segment a scan with a probe."""
    return labeled(probe, request.labeling.scores(probe, cancelled=context.cancelled), request, context)


def slices_of(probe: "Probe", request: LabelRequest, planes: Sequence[Grid]) -> Iterator[LabelVolume]:
    """Segment the displayed slices, without the slow refinement."""
    for plane in planes:
        yield _slice_of(request.labeling.scores(probe, around=plane), probe, request, plane)


def _slice_of(scores: "ScoreMap", probe: "Probe", request: LabelRequest, plane: Grid) -> LabelVolume:
    labels = scores.segment(plane, protected=request.labeling.protected).labels
    return LabelVolume(labels, plane, names=probe.names)


def labeled(
    probe: "Probe", scores: "ScoreMap", request: LabelRequest, context: JobContext
) -> "tuple[Probe, LabelVolume]":
    """Return the probe and the complete segmentation."""
    guide, protected = request.labeling.guide, request.labeling.protected
    made = scores.segment(request.grid, guide=guide, protected=protected, cancelled=context.cancelled)
    names = probe.names | ({} if protected is None else protected.names)
    return probe, LabelVolume(made.labels, request.grid, name="segmentation", names=names)


def suggest(
    probe: "Probe", labeling: Labeling, painted: PaintedVoxels | None, skipped: tuple[Point, ...], count: int
) -> "list[Suggestion]":
    """Suggest places for the next strokes."""
    from coralbay_core.probe import suggest_next

    places = np.zeros((0, 3)) if painted is None else painted.position_mm
    # Many voxels of one stroke say no more than some of them.
    return suggest_next(labeling.scores(probe), places[:: max(1, len(places) // 2000)], skipped, count=count)


def statistics(
    probe: "Probe | None", labeling: Labeling, volume: Volume, reference: LabelVolume | None
) -> "list[LabelStatistics]":
    """Segment a scan on its own grid and measure each label."""
    from coralbay_core.probe import label_statistics

    return label_statistics(labeling.labels(probe, volume.grid), volume, reference)
