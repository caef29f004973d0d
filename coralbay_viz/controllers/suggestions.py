"""Suggested places for the next strokes, and their answers."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume
from coralbay_core.util.arguments import checked

from ..display import brush
from ..jobs import Job, JobKey, without_context
from ..model.scan import Scan
from ..tasks.segmentation import suggest
from .segmentation import NO_PROBE, SegmentationController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.probe import Suggestion

BATCH = 5
"""Suggestions that are computed at once; when all are answered, the probe is fitted again."""
ANSWER_MM = 4.0
"""Radius of the ball that an answer paints."""


class SuggestionsController:
    """Places where the next stroke would help most: one at a time is shown, and answered with a class.

    Parameters
    ----------
    workspace : Workspace
    segmentation : SegmentationController
    """

    suggestions_changed = Signal(Scan)
    shown_changed = Signal(Scan)  # whose shown suggestion is another one now

    def __init__(self, workspace: Workspace, segmentation: SegmentationController) -> None:
        self._workspace = workspace
        self._segmentation = segmentation
        segmentation.segmentation_changed.connect(self._segmented)

    # Finding

    @checked
    def suggest(self, count: int = 1) -> Job:
        """Find the positions where the next stroke would help most."""
        scan, features = self._workspace.require_features()
        probe = require(scan.probe, "no probe to suggest for", NO_PROBE)
        how = self._segmentation.labeling(scan, features)
        work = without_context(partial(suggest, probe, how, scan.strokes.now, scan.skipped, count))
        return self._workspace.run(JobKey("suggestion", scan), work, partial(self._found, scan), torch=True)

    @checked
    def skip(self, number: int = 0) -> Job:
        """Decline a suggestion, by default the first, and find others."""
        scan, _ = self._workspace.require_features()
        shown = require(scan.suggestions or None, "no suggestion to skip", "ask for suggestions first")
        r, a, s = shown[number].position_mm
        scan.skipped = (*scan.skipped, (r, a, s))
        return self.suggest(len(shown))

    def _found(self, scan: Scan, found: "Sequence[Suggestion]") -> None:
        self._keep(scan, tuple(found))

    def _keep(self, scan: Scan, found: "tuple[Suggestion, ...]") -> None:
        scan.update(suggestions=found)
        self.suggestions_changed.emit(scan)
        self._show(scan, 0 if found else None)

    def _segmented(self, scan: Scan) -> None:
        self._show(scan, None)

    # Showing

    @property
    def shown(self) -> "Suggestion | None":
        """Suggestion of the active scan that is shown, and waits for an answer."""
        scan = self._workspace.scan
        number = None if scan is None else scan.shown_suggestion
        return None if scan is None or number is None else scan.suggestions[number]

    def show_next(self) -> Job | None:
        """Show the next suggestion of the active scan; find some if there are none, and return that job."""
        scan = self._workspace.require_scan()
        if not scan.suggestions:
            return self.suggest(BATCH)
        number = scan.shown_suggestion
        self._show(scan, 0 if number is None else (number + 1) % len(scan.suggestions))
        return None

    def hide(self) -> None:
        """Show no suggestion until one is asked for."""
        scan = self._workspace.scan
        if scan is not None:
            self._show(scan, None)

    def _show(self, scan: Scan, number: int | None) -> None:
        if number is not None or scan.shown_suggestion is not None:
            scan.shown_suggestion = number
            self.shown_changed.emit(scan)

    # Answering

    def answer(self, value: int | None = None) -> Job | None:
        """Paint a class at the suggestion that is shown, and show the next one.

        After the last of a batch the probe is fitted again, and new suggestions are found. `undo_strokes` takes an
        answer back.

        Parameters
        ----------
        value : int, optional
            Class; by default the likelier one of the two candidates.
        """
        scan = self._workspace.require_scan()
        shown = require(self.shown, "no suggestion is shown", "press Next suggestion first")
        number = scan.shown_suggestion
        value = shown.candidates[0] if value is None else value
        self._segmentation.paint(self._painted(scan, shown, value), scan)
        rest = tuple(other for other in scan.suggestions if other is not shown)
        scan.update(suggestions=rest)
        self.suggestions_changed.emit(scan)
        if rest:
            self._show(scan, (number or 0) % len(rest))
            return None
        self._show(scan, None)
        job = self._segmentation.fit(scan=scan)
        if job.running:
            job.finished.connect(partial(self._ask_again, scan, job))
        else:
            self._ask_again(scan, job)
        return job

    def answer_number(self, number: int) -> Job | None:
        """Answer with a class by its number in the order of their values, from 1."""
        now = self._workspace.require_scan().strokes.now
        known = () if now is None else sorted({*now.names, *now.classes})
        if not 1 <= number <= len(known):
            raise InputError("no such class", found=number, expected=f"1 to {len(known)}")
        return self.answer(known[number - 1])

    def skip_shown(self) -> Job:
        """Decline the suggestion that is shown."""
        require(self.shown, "no suggestion is shown", "press Next suggestion first")
        scan = self._workspace.require_scan()
        return self.skip(scan.shown_suggestion or 0)

    def _painted(self, scan: Scan, shown: "Suggestion", value: int) -> LabelVolume:
        """Strokes with a ball at a suggestion; voxels that were painted before stay."""
        now = require(scan.strokes.now, "nothing is painted", NO_PROBE)
        labels = now.labels
        before = labels.data.copy()
        brush.paint(labels.data, labels.grid, [shown.position_mm], ANSWER_MM, value)
        kept = before != 0
        labels.data[kept] = before[kept]
        return labels

    def _ask_again(self, scan: Scan, job: Job, *_: Any) -> None:
        if job.state == "done" and scan is self._workspace.scan and scan.probe is not None:
            self.suggest(BATCH)
