"""The scorecard of a session: several encoders on the same clicks and strokes, side by side."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.models.cards import WITHOUT_WEIGHTS
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey
from ..model.scan import Scan
from ..model.scorecard import Reference, Scorecard, ScoreRow
from ..tasks.scorecard import EvaluationGrids, FeatureCache, ScorecardInputs, prepare, score
from .features import FeaturesController
from .segmentation import SegmentationController
from .similarity import SimilarityController
from .workspace import Workspace

if TYPE_CHECKING:
    from coralbay_core.integrations.rows import Row


class ScorecardController:
    """Comparison of encoders on the clicks and strokes of a scan.

    Calling it is short for `measure`.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    similarity : SimilarityController
    segmentation : SegmentationController

    Attributes
    ----------
    card : Scorecard or None
        The last one; its rows come one by one, each with a `changed`.
    """

    changed = Signal(object)  # the Scorecard, or None

    def __init__(
        self,
        workspace: Workspace,
        features: FeaturesController,
        similarity: SimilarityController,
        segmentation: SegmentationController,
    ) -> None:
        self._workspace = workspace
        self._features = features
        self._similarity = similarity
        self._segmentation = segmentation
        self.card: Scorecard | None = None
        self._live = False
        self._eva_paths: tuple[Path, ...] = ()
        self._eva_rows: dict[str, tuple[Row, ...]] = {}
        self._cache = FeatureCache(features.encoders.get, workspace.store)
        self._grids: EvaluationGrids = {}
        similarity.clicks_changed.connect(self._measure_again)
        segmentation.strokes_changed.connect(self._measure_again)
        similarity.weights_changed.connect(self._weights_changed)
        workspace.scan_removed.connect(self._forget)

    @checked
    def measure(
        self,
        models: Sequence[str] | None = None,
        reference: Reference = None,
        *,
        other: Scan | None = None,
        other_reference: Reference = None,
    ) -> Job:
        """Measure encoders on the clicks and strokes of the active scan; the rows of `card` come one by one.

        Features that an encoder has not computed yet are computed (or taken from the cache) first; `stop`
        ends all of it.

        Parameters
        ----------
        models : sequence of str, optional
            Names or paths; by default the session's model and those that need no weights.
        reference : LabelVolume or path, optional
            Labels of the scan: for retrieval, the label under the click is what should be found; for Dice, the strokes
            should become the labels that they lie in. Without it neither is measured.
        other : Scan, optional
            In which the clicks are looked for; by default the first other open scan, if there is one.
        other_reference : LabelVolume or path, optional
            Labels of the other scan, with the values of `reference`.

        Returns
        -------
        Job
            Of the first step; those that follow are announced by `job_started`.
        """
        scan = self._workspace.require_scan()
        chosen = tuple(dict.fromkeys(models or (self._features.model, *WITHOUT_WEIGHTS)))
        if other is not None:
            self._workspace.require_open(other)
            if other is scan:
                raise InputError("a scan cannot be matched with itself", where=scan.name)
        for path in (reference, other_reference):
            if isinstance(path, (str, Path)) and not Path(path).is_file():
                raise MissingFileError("no such label map", where=path)
        for labels in (reference, other_reference):
            self._workspace.inputs.note(labels)
        asked = Scorecard(scan, chosen, reference, other or self._another(scan), other_reference)
        if not scan.clicks.now.positive and not scan.strokes.now:
            raise CoralBayError(
                "no prompts or strokes to compare on", where=scan.name, hint="click on the scan or paint strokes first"
            )
        answers = reference is not None or (asked.other is not None and scan.clicks.now.positive)
        if not answers and not self._eva_paths:
            hint = "name labels of the scan, or click and open another scan"
            raise CoralBayError("no ground truth to measure against", where=scan.name, hint=hint)
        return self._score(asked)

    @property
    def live(self) -> bool:
        """Whether the scorecard follows clicks and strokes; what came first is dropped for what came last."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = bool(live)
        if live and self.card is not None:
            self._measure_again(self.card.scan)

    @property
    def eva_results(self) -> tuple[Path, ...]:
        """Files whose numbers stand in the column ``eva``: results of eva, or its published table."""
        return self._eva_paths

    @eva_results.setter
    def eva_results(self, paths: str | Path | Sequence[str | Path] | None) -> None:
        from coralbay_core.integrations.leaderboard import read_rows
        from coralbay_core.integrations.rows import EVA_RUN, model_of

        chosen = (Path(paths),) if isinstance(paths, (str, Path)) else tuple(Path(path) for path in paths or ())
        found: dict[str, tuple[Row, ...]] = {}
        # Own runs first, of them those of the protocol: what was published of a model may be of other settings.
        for row in sorted(read_rows(chosen), key=lambda row: (row.source != EVA_RUN, row.deviates != "")):
            mine = found.get(row.model, ())
            if row.column not in [known.column for known in mine]:
                found[row.model] = (*mine, row)
        self._eva_paths, self._eva_rows = chosen, found
        for path in chosen:
            self._workspace.inputs.note(path)
        if self.card is not None:
            rows = tuple(replace(row, eva=found.get(model_of(row.model), ())) for row in self.card.rows)
            self._show_card(replace(self.card, rows=rows))

    def stop(self) -> None:
        """Stop measuring, whichever scan is active; what was measured stays."""
        if self.card is not None:
            self._workspace.stop("scorecard", self.card.scan)

    def clear(self) -> None:
        """Stop measuring and show nothing."""
        if self.card is not None:
            self.stop()
            self._show_card(None)

    # Prepare the inputs, then one encoder after the other. All steps have one key, so a newer card ends an older one.

    def _score(self, card: Scorecard) -> Job:
        if self.card is not None and self.card.scan is not card.scan:
            self._workspace.stop("scorecard", self.card.scan)
        scan, other = card.scan, card.other
        self._show_card(replace(card, rows=(), before=(*card.rows, *card.before[len(card.rows) :])))
        asked = partial(
            ScorecardInputs,
            clicks=scan.clicks.now,
            strokes=scan.strokes.now,
            weights=self._similarity.weights_mapping,
            kind=self._segmentation.kind,
            other=None if other is None else other.volume,
        )
        work = partial(prepare, card, self._grids, asked, self._workspace.message.emit)
        return self._workspace.run(JobKey("scorecard", scan), work, self._score_next, torch=True)

    def _score_next(self, question: ScorecardInputs) -> None:
        card = self.card
        if card is None or card.awaited is None:
            return
        model = card.awaited
        if card.scan.features is not None and card.scan.model == model:
            self._cache.put(card.scan.volume, model, card.scan.features)
        work = partial(score, question, self._cache, model, self._eva_rows)
        self._workspace.run(JobKey("scorecard", card.scan), work, partial(self._add_row, question), torch=True)

    def _add_row(self, question: ScorecardInputs, row: ScoreRow) -> None:
        if self.card is not None:
            self._show_card(replace(self.card, rows=(*self.card.rows, row)))
            self._score_next(question)

    def _weights_changed(self, weights: object) -> None:
        if self.card is not None:
            self._measure_again(self.card.scan)

    def _measure_again(self, scan: Scan) -> None:
        card = self.card
        if not self._live or card is None or scan is not card.scan:
            return
        if scan.clicks.now.positive or scan.strokes.now:
            self._score(card)
        else:
            self._workspace.stop("scorecard", scan)
            self._show_card(replace(card, rows=(), before=()))

    def _show_card(self, card: Scorecard | None) -> None:
        self.card = card
        self.changed.emit(card)

    def _another(self, scan: Scan) -> Scan | None:
        return next((other for other in self._workspace.scans if other is not scan), None)

    def _forget(self, scan: Scan) -> None:
        self._cache.forget(scan.volume)
        self._grids.pop(scan, None)
        card = self.card
        if card is not None and scan is card.scan:
            self.clear()
        elif card is not None and scan is card.other:
            self._workspace.stop("scorecard", card.scan)
            self._show_card(replace(card, other=None, other_reference=None))

    __call__ = measure
