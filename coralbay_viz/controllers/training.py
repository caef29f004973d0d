"""A pretraining run that is watched on the active scan: features of the teacher per checkpoint, and the curves.

A view calls `refresh` on a timer. Features of a checkpoint are used once, so they stay in memory only; of a large scan
only a box is computed.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from coralbay_core.errors import MissingFileError
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey, Kind, without_context
from ..model.scan import Scan
from ..model.training import Box, CheckpointView, TrainingState
from ..tasks.checkpoints import view_of
from ..tasks.training_log import RunSnapshot, read_run
from .features import FeaturesController
from .similarity import SimilarityController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.pretrain.run_folder import Curve

LARGE_MM = 240.0
"""Side of a cube; only a box of a scan that is larger is computed."""

RADIUS_MM = 72.0
KINDS: tuple[Kind, ...] = ("training", "training log")


class TrainingController:
    """A watched run of `coralbay pretrain`.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    similarity : SimilarityController

    Attributes
    ----------
    state : TrainingState or None
        None while no run is watched.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace, features: FeaturesController, similarity: SimilarityController) -> None:
        self._workspace = workspace
        self._features = features
        self.state: TrainingState | None = None
        self._jobs: dict[str, Job] = {}
        similarity.clicks_changed.connect(self._clicks_changed)
        workspace.scan_removed.connect(self._scan_removed)

    @property
    def curves(self) -> "dict[str, Curve]":
        """Curves of the watched run by name: ``loss``, ``evaluation.across_ap``, ..."""
        return self.state.curves if self.state else {}

    @property
    def alarms(self) -> tuple[tuple[int, str], ...]:
        """Alarms of the watched run: step and text."""
        return self.state.alarms if self.state else ()

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints of the watched run, oldest first."""
        return self.state.steps if self.state else ()

    @property
    def shown(self) -> CheckpointView | None:
        """The checkpoint that is shown."""
        return self.state.shown if self.state else None

    @checked
    def watch(self, folder: str | Path, step: int | None = None) -> Job:
        """Watch the run in a folder on the active scan; without a scan, its curves alone.

        Of a large scan only a box is computed: around the last click, else the cursor, else the center. The box stays
        until `watch` is called again, so that checkpoints can be compared.

        Parameters
        ----------
        folder : str or Path
            ``output`` of the run.
        step : int, optional
            Checkpoint to show; by default always the newest.
        """
        folder, scan = Path(folder), self._workspace.scan
        if not (folder / "run.json").is_file():
            raise MissingFileError(
                "no run", where=folder, expected="run.json", hint="give the output of `coralbay pretrain`"
            )
        self.stop()
        self.state = TrainingState(folder, scan, None if scan is None else box_of(scan), step)
        self.changed.emit()
        return self._read(self.state)

    def stop(self) -> None:
        """Stop watching the run."""
        for kind in KINDS:
            self._workspace.stop(kind)
        self._jobs.clear()
        if self.state is not None:
            self.state = None
            self.changed.emit()

    def refresh(self) -> Job | None:
        """Read the run again; None while the last refresh still runs. Problems are stored, not raised."""
        state = require(self.state, "no training is watched", "give its folder to `watch` first")
        if self._busy("training log"):
            return None
        return self._read(state)

    def _read(self, state: TrainingState) -> Job:
        work, done = without_context(partial(read_run, state.folder)), partial(self._set_log, state)
        return self._workspace.run(JobKey("training log"), work, done, torch=True, started=self._began)

    def show(self, step: int | None) -> Job | None:
        """Show the checkpoint of a step; None follows the newest."""
        state = require(self.state, "no training is watched", "give its folder to `watch` first")
        state.chosen, state.failed = step, None
        self.changed.emit()
        return self._show_wanted(state)

    def _began(self, job: Job) -> None:
        self._jobs[job.kind] = job

    def _busy(self, kind: Kind) -> bool:
        return kind in self._jobs and self._jobs[kind].running

    def _set_log(self, state: TrainingState, seen: "RunSnapshot") -> None:
        if state is not self.state:
            return
        before = state.steps, state.problem, _size(state)
        state.steps = seen.steps
        failure = state.failed[1] if state.failed is not None and state.failed[0] == state.wanted else None
        state.problem = seen.problem or failure or ""
        if not seen.problem:
            state.curves, state.alarms = seen.curves, seen.alarms
        if before != (seen.steps, state.problem, seen.size):
            self.changed.emit()
        if failure is None and not self._busy("training"):
            self._show_wanted(state)

    def _show_wanted(self, state: TrainingState, anew: bool = False) -> Job | None:
        step, shown = state.wanted, state.shown
        if state.scan is None or step is None or (shown is not None and shown.step == step and not anew):
            return None
        known = shown.features if shown is not None and shown.step == step else None
        work = partial(
            view_of,
            state.folder,
            step,
            state.scan.volume,
            state.box_mm,
            state.scan.clicks.now,
            state.scan.overlay_grid,
            shown,
            known,
            self._features.asked_device,
        )
        started = partial(self._view_began, state, step)
        return self._workspace.run(
            JobKey("training"), work, partial(self._set_view, state), torch=True, started=started
        )

    def _view_began(self, state: TrainingState, step: int, job: Job) -> None:
        self._began(job)
        job.finished.connect(partial(self._view_ended, state, step, job))

    def _view_ended(self, state: TrainingState, step: int, job: Job) -> None:
        if job.state == "failed":
            state.failed = step, str(job.error or "")

    def _set_view(self, state: TrainingState, view: CheckpointView | str) -> None:
        if state is not self.state:
            return
        if isinstance(view, str):
            state.problem = view
        else:
            state.shown, state.problem = view, ""
        self.changed.emit()
        if state.scan is not None:
            self._clicks_changed(state.scan)

    def _clicks_changed(self, scan: Scan) -> None:
        """Answer other clicks, unless a checkpoint is on its way: then they are answered when it is there."""
        state = self.state
        if state is None or scan is not state.scan or state.shown is None:
            return
        if state.shown.step == state.wanted and state.shown.asked != scan.clicks.now:
            self._show_wanted(state, anew=True)

    def _scan_removed(self, scan: Scan) -> None:
        if self.state is not None and scan is self.state.scan:
            self.stop()


def _size(state: TrainingState) -> int:
    return sum(len(curve.steps) for curve in state.curves.values()) + len(state.alarms)


def box_of(scan: Scan) -> Box | None:
    """Corners of the box that a large scan is seen in."""
    low, high = scan.volume.grid.bounds_mm
    if np.prod(high - low) <= LARGE_MM**3:
        return None
    clicks = scan.clicks.now.positive
    center = np.asarray(clicks[-1] if clicks else scan.cursor_mm or (low + high) / 2)
    corners = np.maximum(center - RADIUS_MM, low), np.minimum(center + RADIUS_MM, high)
    return tuple(corners[0].tolist()), tuple(corners[1].tolist())
