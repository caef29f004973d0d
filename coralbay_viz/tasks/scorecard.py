"""Measures of one encoder on the user's clicks and strokes.

They equal those of ``coralbay evaluate``, with the user's clicks and strokes instead of simulated ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume

from ..jobs import JobContext
from ..model.clicks import Clicks
from ..model.scan import Scan
from ..model.scorecard import Reference, Scorecard, ScoreRow
from ..model.strokes import PaintedVoxels

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.integrations.rows import Row
    from coralbay_core.models.encoder import Encoder
    from coralbay_core.probe import Kind as ProbeKind


@dataclass(frozen=True, eq=False)
class EvaluationGrid:
    """Points of a scan on which all encoders are measured, about 3 mm apart.

    Parameters
    ----------
    grid : Grid
    body : (z, y, x) bool array
    labels : (z, y, x) int array, optional
        The reference.
    """

    grid: Grid
    body: NDArray[np.bool_]
    labels: NDArray[np.integer] | None = None

    @classmethod
    def of(cls, volume: Volume, reference: LabelVolume | None) -> "EvaluationGrid":
        """Create the lattice of ``coralbay evaluate`` on a scan."""
        from coralbay_core.evaluate.cases import lattice_of
        from coralbay_core.spatial.body_mask import body_mask
        from coralbay_core.spatial.resampling import resample

        grid, taken = lattice_of(volume.grid)
        body = np.ascontiguousarray(body_mask(volume.data, volume.grid.spacing_mm)[taken])
        labels = None
        if reference is not None:
            labels = resample(reference.data, reference.grid, grid, order=0, fill=0)
        return cls(grid, body, labels)

    def values_at(self, points_mm: Sequence[Sequence[float]]) -> NDArray[np.integer]:
        """Return the reference labels under points, each value once, without 0."""
        if self.labels is None or not len(points_mm):
            return np.zeros(0, int)
        index = np.rint(self.grid.to_index(np.asarray(points_mm, float))).astype(int)
        index = np.clip(index, 0, np.asarray(self.grid.shape) - 1)
        found = np.unique(self.labels[tuple(index.T)])
        return found[found != 0]


@dataclass(frozen=True, eq=False)
class ScorecardInputs:
    """Input of the measurement of every encoder, frozen when the job starts.

    Parameters
    ----------
    volume, ground : Volume, EvaluationGrid
    clicks : Clicks
    strokes : PaintedVoxels, optional
    weights : mapping of int to float, optional
        Of the strides.
    kind : str, optional
        Of the probe.
    other, other_ground : Volume, EvaluationGrid, optional
        Scan in which the clicks are searched.
    """

    volume: Volume
    ground: EvaluationGrid
    clicks: Clicks
    strokes: PaintedVoxels | None = None
    weights: Mapping[int, float] | None = None
    kind: "ProbeKind | None" = None
    other: Volume | None = None
    other_ground: EvaluationGrid | None = None


@dataclass(eq=False)
class FeatureCache:
    """Features per scan and encoder for the duration of a session; those on disk are read lazily.

    Parameters
    ----------
    load : callable
        Returns the encoder of a model name.
    store : object
        As for `features_for`.
    """

    load: "Callable[[str], Encoder]"
    store: Any
    # By the scan itself: it is neither held nor mistaken for another one when a late encoder puts its features back.
    _features: "WeakKeyDictionary[Volume, dict[str, FeatureMaps]]" = field(default_factory=WeakKeyDictionary)

    def get(self, volume: Volume, model: str, context: JobContext) -> "FeatureMaps":
        """Return features at the default strides, which are those of ``coralbay evaluate``."""
        from coralbay_core.extraction.pipeline import features_for

        known = self._features.setdefault(volume, {})
        if model not in known:
            encoder = self.load(model)
            known[model] = features_for(
                volume,
                encoder,
                store=self.store,
                progress=context.progress,
                cancelled=context.cancelled,
            )
        return known[model]

    def put(self, volume: Volume, model: str, features: "FeatureMaps") -> None:
        """Add features that are already computed."""
        self._features.setdefault(volume, {})[model] = features

    def forget(self, volume: Volume) -> None:
        """Remove the features of a scan."""
        self._features.pop(volume, None)


def score(
    question: ScorecardInputs,
    shelf: FeatureCache,
    model: str,
    eva: "Mapping[str, tuple[Row, ...]]",
    context: JobContext,
) -> ScoreRow:
    """Measure one encoder; a problem with it is reported in its row."""
    from coralbay_core.errors import Cancelled, CoralBayError
    from coralbay_core.integrations.rows import model_of

    known = eva.get(model_of(model), ())
    try:
        features = shelf.get(question.volume, model, context)
        measures: dict[str, Any] = {
            **matching(question, features, shelf, model, context),
            **probe_dice(question, features),
        }
        row = replace(ScoreRow(model, retrieval=retrieval(question, features), eva=known), **measures)
    except Cancelled:
        raise
    except (CoralBayError, OSError) as error:
        return ScoreRow(model, eva=known, problem=str(error))
    return row


def retrieval(question: ScorecardInputs, features: "FeatureMaps") -> float | None:
    """Return the average precision of the heat map in the body, for the labels under the positive clicks."""
    from coralbay_core.evaluate.metrics import average_precision
    from coralbay_core.similarity import heat_map

    ground, clicks = question.ground, question.clicks
    wanted = ground.values_at(clicks.positive)
    if ground.labels is None or not len(wanted):
        return None
    points, others = (np.array(part, float).reshape(-1, 3) for part in (clicks.positive, clicks.negative))
    heat = heat_map(features, points, others, weights=question.weights)
    return average_precision(_on(heat, ground)[ground.body], np.isin(ground.labels, wanted)[ground.body])


def _on(heat: Any, ground: EvaluationGrid) -> NDArray[np.float32]:
    from coralbay_core.matching import SearchSpace

    return SearchSpace(ground.grid, ground.body).scores(heat)


def matching(
    question: ScorecardInputs,
    features: "FeatureMaps",
    shelf: FeatureCache,
    model: str,
    context: JobContext,
) -> dict[str, float | None]:
    """Return the mean distance of the best matches from the clicked label in the other scan, and the round trip."""
    from scipy import ndimage

    from coralbay_core.matching import SearchSpace, best_match

    other, there, here = question.other, question.other_ground, question.ground
    if other is None or there is None or not question.clicks.positive:
        return {}
    target = shelf.get(other, model, context)
    space, back = SearchSpace(there.grid, there.body), SearchSpace(here.grid, here.body)
    points = question.clicks.positive
    matches = [
        best_match(features, target, point, weights=question.weights, space=space, back=back) for point in points
    ]
    away = []
    for point, match in zip(points, matches, strict=True):
        mask = np.isin(there.labels, here.values_at([point])) if there.labels is not None else np.zeros(1, bool)
        if mask.any():
            away.append(ndimage.distance_transform_edt(~mask, sampling=there.grid.spacing_mm)[match.index])
    return {
        "match_mm": float(np.mean(away)) if away else None,
        "return_mm": float(np.mean([match.return_mm for match in matches])),
    }


def probe_dice(question: ScorecardInputs, features: "FeatureMaps") -> dict[str, float | None]:
    """Return the Dice of a probe of the strokes, on unpainted voxels and on those `GAP_MM` away from any stroke.

    Painted values need not equal those of the reference: each represents the label that contains most of its voxels, or
    background if there is none.
    """
    from scipy import ndimage

    from coralbay_core.evaluate.tasks.fewshot import GAP_MM
    from coralbay_core.probe import DEFAULT_KIND, fit_probe

    ground, strokes = question.ground, question.strokes
    if not strokes:
        return {}
    meant = meant_labels(ground, strokes)
    if len(meant) < 2 or not any(meant.values()):
        return {}
    probe = fit_probe(features, strokes.labels, kind=question.kind or DEFAULT_KIND)
    found = _renumbered(probe.segment(features, ground.grid), meant)
    painted = _painted(ground, strokes)
    distance = ndimage.distance_transform_edt(~painted, sampling=ground.grid.spacing_mm)
    labels = sorted(set(meant.values()) - {0})
    return {
        "dice": _mean_dice(found, ground, labels, ~painted),
        "dice_far": _mean_dice(found, ground, labels, distance >= GAP_MM),
    }


def meant_labels(ground: EvaluationGrid, strokes: PaintedVoxels) -> dict[int, int]:
    """Return the reference label that contains more than half of each painted value's voxels; 0 if none."""
    if ground.labels is None:
        return {}
    index = np.rint(ground.grid.to_index(strokes.position_mm)).astype(int)
    under = ground.labels[tuple(np.clip(index, 0, np.asarray(ground.grid.shape) - 1).T)]
    meant = {}
    for value in np.unique(strokes.values):
        # Not by an array with an entry per label: labels of an atlas may have values in the billions.
        labels, counts = np.unique(under[strokes.values == value], return_counts=True)
        meant[int(value)] = int(labels[counts.argmax()]) if 2 * counts.max() > counts.sum() else 0
    return meant


def _renumbered(found: NDArray[np.integer], meant: Mapping[int, int]) -> NDArray[np.integer]:
    renumbered = np.zeros(found.shape, np.int64)
    for value, label in meant.items():
        renumbered[found == value] = label
    return renumbered


def _painted(ground: EvaluationGrid, strokes: PaintedVoxels) -> NDArray[np.bool_]:
    """Return the lattice voxels nearest to painted voxels."""
    painted = np.zeros(ground.grid.shape, bool)
    index = np.rint(ground.grid.to_index(strokes.position_mm)).astype(int)
    painted[tuple(np.clip(index, 0, np.asarray(ground.grid.shape) - 1).T)] = True
    return painted


def _mean_dice(
    found: NDArray[np.integer], ground: EvaluationGrid, labels: Sequence[int], counted: NDArray[np.bool_]
) -> float | None:
    """Mean over labels of which something is left to find."""
    from coralbay_core.spatial.segmentation_metrics import dice

    truth = ground.labels
    left = [label for label in labels if ((truth == label) & counted).any()]
    values = [dice((found == label) & counted, (truth == label) & counted) for label in left]
    return float(np.mean(values)) if values else None


EvaluationGrids = dict[Scan, tuple[Any, EvaluationGrid]]
"""By scan: a key of the reference, and the grid. Only the last one, since each is as large as a scan."""


def prepare(
    card: Scorecard,
    grids: EvaluationGrids,
    inputs: Callable[..., ScorecardInputs],
    say: Callable[[str], Any],
    context: JobContext,
) -> ScorecardInputs:
    """Resample scans and references to the grids on which encoders are measured; once for the same ones.

    Notes about references that are read from files go to `say`.
    """
    tell = partial(context.post, say)
    ground = _grid_of(card.scan, card.reference, grids, tell)
    other = None if card.other is None else _grid_of(card.other, card.other_reference, grids, tell)
    return inputs(volume=card.scan.volume, ground=ground, other_ground=other)


def _grid_of(scan: Scan, reference: Reference, grids: EvaluationGrids, tell: Callable[[str], Any]) -> EvaluationGrid:
    from coralbay_core.extraction.cache import content_digest
    from coralbay_core.io import load_labels

    path = Path(reference) if isinstance(reference, (str, Path)) else None
    labels = reference if isinstance(reference, LabelVolume) else None
    key: Any = None
    if path is not None:
        key = str(path), path.stat().st_mtime
    elif labels is not None:
        key = content_digest(labels)  # views give a copy of a layer each time, which may have been painted on
    known, grid = grids.get(scan, (None, None))
    if grid is None or known != key:
        if path is not None:
            labels = load_labels(path, like=scan.volume)
            for text in labels.notes:
                tell(f"{path.name}: {text}")
        grid = EvaluationGrid.of(scan.volume, labels)
        grids[scan] = key, grid
    return grid
