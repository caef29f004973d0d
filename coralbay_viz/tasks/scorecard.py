"""The same clicks and strokes, answered by several encoders: what is measured of each, and how a table shows it.

Functions of their arguments that call the core and may run on any thread; `comparing` has the session's commands. The
measures are those of ``coralbay evaluate``, on what the user clicked and painted instead of what a label map gives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume

from ..model.clicks import Clicks
from ..model.strokes import PaintedVoxels

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.integrations.rows import Row
    from coralbay_core.models.encoder import Encoder

Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class ScoreColumn:
    """One measure of a scorecard.

    Parameters
    ----------
    key : str
        Attribute of `ScoreRow`.
    title, hint : str
        For people; the hint says how it is measured.
    unit : str
        ``mm`` where lower is better, empty where higher is.
    """

    key: str
    title: str
    hint: str
    unit: str = ""

    @property
    def trifle(self) -> float:
        """A difference that says nothing."""
        return 1.0 if self.unit else 0.01


COLUMNS = (
    ScoreColumn(
        "retrieval",
        "retrieval, AP",
        "Average precision of the heat map of the clicks, over the body every 3 mm, against the labels under them.",
    ),
    ScoreColumn("match_mm", "match", "Distance of the best match in the other scan from the same label there.", "mm"),
    ScoreColumn(
        "return_mm", "way back", "From each click to where its match, looked for in this scan again, is found.", "mm"
    ),
    ScoreColumn(
        "dice", "Dice", "Of a probe fitted to the strokes, mean over painted labels; painted voxels do not count."
    ),
    ScoreColumn("dice_far", "Dice beyond 24 mm", "The same, of voxels that are 24 mm or more from any stroke."),
)
"""Measures in the order of a table; ``eva`` stands behind them."""

EVA_TITLE = "eva"


@dataclass(frozen=True)
class ScoreRow:
    """What one encoder reaches; None where nothing was there to measure.

    Parameters
    ----------
    model : str
    retrieval : float, optional
        Average precision.
    match_mm, return_mm : float, optional
        Means over the positive clicks.
    dice, dice_far : float, optional
        Means over the painted labels.
    eva : tuple of Row
        Of eva's results, where a file was given.
    problem : str
        Why there are no numbers; empty if there are.
    """

    model: str
    retrieval: float | None = None
    match_mm: float | None = None
    return_mm: float | None = None
    dice: float | None = None
    dice_far: float | None = None
    eva: "tuple[Row, ...]" = ()
    problem: str = ""

    @property
    def eva_text(self) -> str:
        """Tasks and scores of eva, for a cell; what eva published, and runs of other settings, say so."""
        return ", ".join(
            f"{row.column} {row.mean:.3f}" + (f" ({row.remarks})" if row.remarks else "") for row in self.eva
        )

    @property
    def eva_sources(self) -> tuple[str, ...]:
        """What each score of eva is and which file holds it, a line a score."""
        return tuple(
            ", ".join(part for part in (f"{row.task} {row.mean:.3f}", row.metric, row.split, row.remarks) if part)
            + f": {row.file}"
            for row in self.eva
        )

    def cell(self, column: ScoreColumn) -> str:
        """A number as text; a dash where there is none."""
        value = getattr(self, column.key)
        if value is None:
            return "–"
        return f"{value:.1f} {column.unit}" if column.unit else f"{value:.3f}"


def shown_columns(rows: Sequence[ScoreRow]) -> tuple[ScoreColumn, ...]:
    """Columns of which some row has a number."""
    return tuple(column for column in COLUMNS if any(getattr(row, column.key) is not None for row in rows))


def best_models(rows: Sequence[ScoreRow], column: ScoreColumn) -> frozenset[str]:
    """Models with the best number of a column, or nearly that; nobody is best alone, or where all are alike."""
    found = {row.model: getattr(row, column.key) for row in rows if getattr(row, column.key) is not None}
    if len(found) < 2:
        return frozenset()
    best = (min if column.unit else max)(found.values())
    near = frozenset(model for model, value in found.items() if abs(value - best) < column.trifle)
    return near if len(near) < len(found) else frozenset()


# --- what is asked ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EvaluationGrid:
    """A scan as all encoders are asked about it: every so many voxels that they are about 3 mm apart.

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
        """The lattice of ``coralbay evaluate`` on a scan."""
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
        """Reference labels under points, each value once, without 0."""
        if self.labels is None or not len(points_mm):
            return np.zeros(0, int)
        index = np.rint(self.grid.to_index(np.asarray(points_mm, float))).astype(int)
        index = np.clip(index, 0, np.asarray(self.grid.shape) - 1)
        found = np.unique(self.labels[tuple(index.T)])
        return found[found != 0]


@dataclass(frozen=True, eq=False)
class ScorecardInputs:
    """What every encoder is asked, frozen when it was asked.

    Parameters
    ----------
    volume, ground : Volume, Ground
    clicks : Clicks
    strokes : PaintedVoxels, optional
    weights : mapping of int to float, optional
        Of the strides.
    kind : str, optional
        Of the probe.
    other, other_ground : Volume, Ground, optional
        The scan in which the clicks are looked for.
    """

    volume: Volume
    ground: EvaluationGrid
    clicks: Clicks
    strokes: PaintedVoxels | None = None
    weights: Mapping[int, float] | None = None
    kind: str | None = None
    other: Volume | None = None
    other_ground: EvaluationGrid | None = None

    @property
    def is_empty(self) -> bool:
        return not self.clicks.positive and not self.strokes


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class FeatureCache:
    """Features of scans by encoders, kept while a session lasts; those on disk are read as they are used.

    Parameters
    ----------
    load : callable
        Name of a model to its encoder.
    store : object
        As of `features_for`.
    """

    load: "Callable[[str], Encoder]"
    store: Any
    # By the scan itself: it is neither held nor mistaken for another one when a late encoder puts its features back.
    _kept: "WeakKeyDictionary[Volume, dict[str, FeatureMaps]]" = field(default_factory=WeakKeyDictionary)

    def get(self, volume: Volume, model: str, report: Callable[[int, int], Any], cancelled: Cancelled) -> "FeatureMaps":
        """Features at the strides of ``coralbay evaluate``, as far as the encoder has them."""
        from coralbay_core.extraction.pipeline import features_for
        from coralbay_core.extraction.sliding_window import DEFAULT_STRIDES

        kept = self._kept.setdefault(volume, {})
        if model not in kept:
            encoder = self.load(model)
            known = [stage.stride for stage in encoder.stages]
            strides = [stride for stride in DEFAULT_STRIDES if stride in known] or known
            kept[model] = features_for(
                volume, encoder, strides=strides, store=self.store, progress=report, cancelled=cancelled
            )
        return kept[model]

    def put(self, volume: Volume, model: str, features: "FeatureMaps") -> None:
        """Take in features that are there already."""
        self._kept.setdefault(volume, {})[model] = features

    def forget(self, volume: Volume) -> None:
        """Drop what is kept of a scan."""
        self._kept.pop(volume, None)


def score(
    question: ScorecardInputs,
    shelf: FeatureCache,
    model: str,
    eva: "Mapping[str, tuple[Row, ...]]",
    report: Callable[[int, int], Any],
    cancelled: Cancelled,
) -> ScoreRow:
    """The row of one encoder; what is wrong with an encoder is said in its row."""
    from coralbay_core.errors import Cancelled as Stopped
    from coralbay_core.errors import CoralBayError
    from coralbay_core.integrations.rows import model_of

    known = eva.get(model_of(model), ())
    try:
        features = shelf.get(question.volume, model, report, cancelled)
        row = ScoreRow(
            model,
            retrieval=retrieval(question, features),
            **matching(question, features, shelf, model, report, cancelled),
            **probe_dice(question, features),
            eva=known,
        )
    except Stopped:
        raise
    except (CoralBayError, OSError) as error:
        return ScoreRow(model, eva=known, problem=str(error))
    return row


def retrieval(question: ScorecardInputs, features: "FeatureMaps") -> float | None:
    """Average precision of the heat map over the body, for the labels under the positive clicks."""
    from coralbay_core.evaluate.metrics import average_precision
    from coralbay_core.similarity import heat_map

    ground, clicks = question.ground, question.clicks
    wanted = ground.values_at(clicks.positive)
    if not len(wanted):
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
    report: Callable[[int, int], Any],
    cancelled: Cancelled,
) -> dict[str, float | None]:
    """Mean distance of the best matches from the clicked label in the other scan, and of the ways back."""
    from scipy import ndimage

    from coralbay_core.matching import SearchSpace, best_match

    other, there, here = question.other, question.other_ground, question.ground
    if other is None or there is None or not question.clicks.positive:
        return {}
    target = shelf.get(other, model, report, cancelled)
    spaces = {"space": SearchSpace(there.grid, there.body), "back": SearchSpace(here.grid, here.body)}
    points = question.clicks.positive
    matches = [best_match(features, target, point, weights=question.weights, **spaces) for point in points]
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
    """Dice of a probe of the strokes, on voxels that were not painted, and on those `GAP_MM` away from any stroke.

    Painted values need not be those of the reference: each stands for the label that most of its voxels lie in, or for
    background where they lie in many.
    """
    from scipy import ndimage

    from coralbay_core.evaluate.tasks.fewshot import GAP_MM
    from coralbay_core.probe import DEFAULT_KIND, fit_probe

    ground, strokes = question.ground, question.strokes
    meant = meant_labels(ground, strokes) if strokes else {}
    if len(meant) < 2 or not any(meant.values()):
        return {}
    probe = fit_probe(features, strokes.labels, kind=question.kind or DEFAULT_KIND)  # type: ignore[union-attr]
    found = _renumbered(probe.segment(features, ground.grid), meant)
    painted = _painted(ground, strokes)  # type: ignore[arg-type]
    distance = ndimage.distance_transform_edt(~painted, sampling=ground.grid.spacing_mm)
    labels = sorted(set(meant.values()) - {0})
    return {
        "dice": _mean_dice(found, ground, labels, ~painted),
        "dice_far": _mean_dice(found, ground, labels, distance >= GAP_MM),
    }


def meant_labels(ground: EvaluationGrid, strokes: PaintedVoxels) -> dict[int, int]:
    """Reference label that more than half of the voxels of each painted value lie in; 0, background, where none is."""
    if ground.labels is None:
        return {}
    index = np.rint(ground.grid.to_index(strokes.position_mm)).astype(int)
    under = ground.labels[tuple(np.clip(index, 0, np.asarray(ground.grid.shape) - 1).T)]
    meant = {}
    for value in np.unique(strokes.values):
        counts = np.bincount(under[strokes.values == value].astype(np.int64))
        meant[int(value)] = int(counts.argmax()) if 2 * counts.max() > counts.sum() else 0
    return meant


def _renumbered(found: NDArray[np.integer], meant: Mapping[int, int]) -> NDArray[np.integer]:
    table = np.zeros(max(int(found.max()), *meant) + 1, np.int64)
    for value, label in meant.items():
        table[value] = label
    return table[found]


def _painted(ground: EvaluationGrid, strokes: PaintedVoxels) -> NDArray[np.bool_]:
    """Lattice voxels that hold a painted one; a lattice voxel stands for all that are nearest to it."""
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


def as_dicts(rows: Sequence[ScoreRow]) -> list[dict[str, Any]]:
    """Rows as plain values, for a table of data or a file."""
    return [
        {f.name: getattr(row, f.name) for f in fields(row)}
        | {"eva": row.eva_text, "eva_sources": "; ".join(row.eva_sources)}
        for row in rows
    ]
