"""The scorecard of a session: several encoders on the same clicks and strokes, side by side. Knows no GUI toolkit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.models.cards import WITHOUT_WEIGHTS
from coralbay_core.spatial import LabelVolume

from ..jobs import Job, Report
from ..model.scan import Scan
from ..tasks.scorecard import Cancelled, EvaluationGrid, FeatureCache, ScorecardInputs, ScoreRow, score

if TYPE_CHECKING:
    from coralbay_core.integrations.rows import Row

Reference = LabelVolume | str | Path | None


@dataclass(eq=False)
class Scorecard:
    """What is compared, and what came of it so far.

    Parameters
    ----------
    scan : Scan
        Whose clicks and strokes count.
    models : tuple of str
    reference, other_reference : LabelVolume, path, optional
        Of `scan` and of `other`.
    other : Scan, optional
        In which the clicks are looked for.
    rows : tuple of ScoreRow
        One a model that is done, in the order of `models`.
    before : tuple of ScoreRow
        Of the clicks and strokes before, while it follows them.
    """

    scan: Scan
    models: tuple[str, ...]
    reference: Reference = None
    other: Scan | None = None
    other_reference: Reference = None
    rows: tuple[ScoreRow, ...] = ()
    before: tuple[ScoreRow, ...] = ()

    @property
    def is_done(self) -> bool:
        return len(self.rows) == len(self.models)

    @property
    def awaited(self) -> str | None:
        """The model whose row comes next."""
        return None if self.is_done else self.models[len(self.rows)]

    @property
    def shown(self) -> tuple[ScoreRow, ...]:
        """A row a model for a table that does not flicker: first `rows`, then those of before, or empty ones."""
        old = {row.model: row for row in self.before}
        waiting = self.models[len(self.rows) :]
        return (*self.rows, *(old.get(model, ScoreRow(model)) for model in waiting))


class Comparing:
    """Commands of a `Session` that compare encoders. It brings a signal and state; the session brings jobs and scans.

    Attributes
    ----------
    last_scorecard : Scorecard or None
        The last one that was asked for; its rows come one by one, each with a `scorecard_changed`.
    """

    scorecard_changed = Signal(object)  # the Scorecard, or None

    def _start_comparing(self: Any) -> None:
        self.last_scorecard: Scorecard | None = None
        self._live = False
        self._eva_paths: tuple[Path, ...] = ()
        self._eva_rows: dict[str, tuple[Row, ...]] = {}
        self._shelf = FeatureCache(self._encoders.get, self._store)
        self._grounds: EvaluationGrids = {}
        self.clicks_changed.connect(self._score_again)
        self.strokes_changed.connect(self._score_again)
        self.weights_changed.connect(lambda _: self._score_again(self.last_scorecard and self.last_scorecard.scan))
        self.scan_removed.connect(self._forget_card)

    def scorecard(
        self: Any,
        models: Sequence[str] | None = None,
        reference: Reference = None,
        *,
        other: Scan | None = None,
        other_reference: Reference = None,
    ) -> Job:
        """Measure encoders on the clicks and strokes of the active scan; the rows of `last_scorecard` come one by one.

        Features that an encoder has not computed yet are computed (or taken from the cache) first; `stop_scorecard`
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
        scan = self._require_scan()
        chosen = tuple(dict.fromkeys(models or (self.model, *WITHOUT_WEIGHTS)))
        if other is not None:
            self._require_member(other)
            if other is scan:
                raise InputError("a scan cannot be matched with itself", where=scan.name)
        for path in (reference, other_reference):
            if isinstance(path, (str, Path)) and not Path(path).is_file():
                raise MissingFileError("no such label map", where=path)
        asked = Scorecard(scan, chosen, reference, other or self._another(scan), other_reference)
        if not scan.clicks.now.positive and not scan.probing.strokes.now:
            raise CoralBayError("nothing to compare", where=scan.name, hint="click on the scan or paint strokes first")
        answers = reference is not None or (asked.other is not None and scan.clicks.now.positive)
        if not answers and not self._eva_paths:
            hint = "name labels of the scan, or click and open another scan"
            raise CoralBayError("nothing to measure against", where=scan.name, hint=hint)
        return self._score(asked)

    @property
    def scorecard_live(self) -> bool:
        """Whether the scorecard follows clicks and strokes; what came first is dropped for what came last."""
        return self._live

    @scorecard_live.setter
    def scorecard_live(self: Any, live: bool) -> None:
        self._live = bool(live)
        if live and self.last_scorecard is not None:
            self._score_again(self.last_scorecard.scan)

    @property
    def eva_results(self) -> tuple[Path, ...]:
        """Files whose numbers stand in the column ``eva``: results of eva, or its published table."""
        return self._eva_paths

    @eva_results.setter
    def eva_results(self: Any, paths: str | Path | Sequence[str | Path] | None) -> None:
        from coralbay_core.integrations.leaderboard import read_rows
        from coralbay_core.integrations.rows import EVA_RUN, model_of

        one = isinstance(paths, (str, Path))
        chosen = tuple(Path(path) for path in ([paths] if one else paths or ()))
        found: dict[str, tuple[Row, ...]] = {}
        # Own runs first, of them those of the protocol: what was published of a model may be of other settings.
        for row in sorted(read_rows(chosen), key=lambda row: (row.source != EVA_RUN, row.deviates != "")):
            mine = found.get(row.model, ())
            if row.column not in [known.column for known in mine]:
                found[row.model] = (*mine, row)
        self._eva_paths, self._eva_rows = chosen, found
        if self.last_scorecard is not None:
            rows = tuple(replace(row, eva=found.get(model_of(row.model), ())) for row in self.last_scorecard.rows)
            self._show_card(replace(self.last_scorecard, rows=rows))

    def stop_scorecard(self: Any) -> None:
        """Stop measuring, whichever scan is active; what was measured stays."""
        if self.last_scorecard is not None:
            self._runner.cancel(self._lane("scorecard", self.last_scorecard.scan))

    def clear_scorecard(self: Any) -> None:
        """Stop measuring and show nothing."""
        if self.last_scorecard is not None:
            self.stop_scorecard()
            self._show_card(None)

    # The steps: read what is asked about, then one encoder after the other. All have one lane, so a newer card ends
    # an older one.

    def _score(self: Any, card: Scorecard) -> Job:
        if self.last_scorecard is not None and self.last_scorecard.scan is not card.scan:
            self._runner.cancel(self._lane("scorecard", self.last_scorecard.scan))
        scan, other = card.scan, card.other
        self._show_card(replace(card, rows=(), before=(*card.rows, *card.before[len(card.rows) :])))
        asked = partial(
            ScorecardInputs,
            clicks=scan.clicks.now,
            strokes=scan.probing.strokes.now,
            weights=None if self._weights == "auto" else self._weights,
            kind=self.kind,
            other=other and other.volume,
        )
        work = partial(_prepare, card, self._grounds, asked)
        return self.run(self._lane("scorecard", scan), work, self._score_next, torch=True)

    def _score_next(self: Any, question: ScorecardInputs) -> None:
        card = self.last_scorecard
        if card.is_done:
            return
        model = card.awaited
        if card.scan.features is not None and card.scan.model == model:
            self._shelf.put(card.scan.volume, model, card.scan.features)
        work = partial(score, question, self._shelf, model, self._eva_rows)
        self.run(self._lane("scorecard", card.scan), work, partial(self._add_row, question), torch=True)

    def _add_row(self: Any, question: ScorecardInputs, row: ScoreRow) -> None:
        self._show_card(replace(self.last_scorecard, rows=(*self.last_scorecard.rows, row)))
        self._score_next(question)

    def _score_again(self: Any, scan: Scan | None) -> None:
        card = self.last_scorecard
        if not self._live or card is None or scan is not card.scan:
            return
        if scan.clicks.now.positive or scan.probing.strokes.now:
            self._score(card)
        else:
            self._runner.cancel(self._lane("scorecard", scan))
            self._show_card(replace(card, rows=(), before=()))

    def _show_card(self: Any, card: Scorecard | None) -> None:
        self.last_scorecard = card
        self.scorecard_changed.emit(card)

    def _another(self: Any, scan: Scan) -> Scan | None:
        return next((other for other in self.scans if other is not scan), None)

    def _forget_card(self: Any, scan: Scan) -> None:
        self._shelf.forget(scan.volume)
        self._grounds.pop(id(scan), None)
        card = self.last_scorecard
        if card is not None and scan is card.scan:
            self.clear_scorecard()
        elif card is not None and scan is card.other:
            self._runner.cancel(self._lane("scorecard", card.scan))
            self._show_card(replace(card, other=None, other_reference=None))


EvaluationGrids = dict[int, tuple[Any, EvaluationGrid]]
"""By scan, with what tells its reference from others; the last one alone, since each is as large as a scan."""


def _prepare(
    card: Scorecard, grounds: EvaluationGrids, asked: Any, report: Report, cancelled: Cancelled
) -> ScorecardInputs:
    """Bring scans and references to what encoders are asked on; done once for the same ones."""
    ground = _ground(card.scan, card.reference, grounds)
    other = None if card.other is None else _ground(card.other, card.other_reference, grounds)
    return asked(volume=card.scan.volume, ground=ground, other_ground=other)


def _ground(scan: Scan, reference: Reference, grounds: EvaluationGrids) -> EvaluationGrid:
    from coralbay_core.extraction.cache import content_digest
    from coralbay_core.io import load_labels

    is_path = isinstance(reference, (str, Path))
    key: Any = None
    if is_path:
        key = str(reference), Path(reference).stat().st_mtime
    elif reference is not None:
        key = content_digest(reference)  # views give a copy of a layer each time, which may have been painted on
    known, ground = grounds.get(id(scan), (None, None))
    if ground is None or known != key:
        labels = load_labels(reference, like=scan.volume) if is_path else reference
        ground = EvaluationGrid.of(scan.volume, labels)
        grounds[id(scan)] = key, ground
    return ground
