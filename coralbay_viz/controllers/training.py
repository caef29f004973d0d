"""A pretraining run that is watched on the active scan."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from coralbay_core.errors import MissingFileError

from ..jobs import Job
from ..model.scan import Scan
from ..model.training import Box, CheckpointView
from ..tasks.checkpoints import view_of

if TYPE_CHECKING:
    pass
from ..model.training import TrainingState
from ..tasks.training_log import RunSnapshot, read_run

LARGE_MM = 240.0
"""A scan that is larger than a cube of this side is seen in a box."""

RADIUS_MM = 72.0
LANE = "training"
LOG_LANE = "training log"


class Training:
    """Commands of a `Session` about a run of `coralbay pretrain`. The session brings jobs, scans and clicks.

    Attributes
    ----------
    training : TrainingState, optional
    """

    training_changed = Signal()

    def _start_training(self: Any) -> None:
        self.training: TrainingState | None = None
        self._training_jobs: dict[str, Job] = {}
        self.clicks_changed.connect(self._clicks_for_training)
        self.scan_removed.connect(self._scan_of_training_removed)

    def watch_training(self: Any, folder: str | Path, step: int | None = None) -> Job:
        """Watch the run in a folder on the active scan; without a scan, its curves alone.

        Of a large scan a box is seen: around the last click, else the cursor, else the middle. It stays where it is
        until `watch_training` is called again, so that checkpoints can be compared.

        Parameters
        ----------
        folder : str or Path
            ``output`` of the run.
        step : int, optional
            Checkpoint to show; by default always the newest.
        """
        folder, scan = Path(folder), self.scan
        if not (folder / "run.json").is_file():
            raise MissingFileError(
                "no run", where=folder, expected="run.json", hint="give the output of `coralbay pretrain`"
            )
        self.stop_training()
        self.training = TrainingState(folder, scan, None if scan is None else box_of(scan), step)
        self.training_changed.emit()
        return self.refresh_training()

    def stop_training(self: Any) -> None:
        """Watch no run any more."""
        for lane in (LANE, LOG_LANE):
            self._runner.cancel(lane)
        self._training_jobs.clear()
        if self.training is not None:
            self.training = None
            self.training_changed.emit()

    def refresh_training(self: Any) -> Job | None:
        """Read the run again; None while the last refresh still runs. Problems are stored, not raised."""
        state = self._require(self.training, "no training is watched", "give its folder to watch_training first")
        if self._busy(LOG_LANE):
            return None
        done = partial(self._set_log, state)
        return self.run(LOG_LANE, partial(read_run, state.folder), done, torch=True, started=self._training_began)

    def show_checkpoint(self: Any, step: int | None) -> Job | None:
        """Show the checkpoint of a step; None follows the newest."""
        state = self._require(self.training, "no training is watched", "give its folder to watch_training first")
        state.chosen, state.failed = step, None
        self.training_changed.emit()
        return self._show_wanted(state)

    def _training_began(self: Any, job: Job) -> None:
        self._training_jobs[job.lane] = job

    def _busy(self: Any, lane: str) -> bool:
        return lane in self._training_jobs and self._training_jobs[lane].running

    def _set_log(self: Any, state: TrainingState, seen: "RunSnapshot") -> None:
        if state is not self.training:
            return
        before = state.steps, state.problem, _size(state)
        state.steps = seen.steps
        failed = state.failed is not None and state.failed[0] == state.wanted
        state.problem = seen.problem or (state.failed[1] if failed else "")
        if not seen.problem:
            state.curves, state.alarms = seen.curves, seen.alarms
        if before != (seen.steps, state.problem, seen.size):
            self.training_changed.emit()
        if not failed and not self._busy(LANE):
            self._show_wanted(state)

    def _show_wanted(self: Any, state: TrainingState, anew: bool = False) -> Job | None:
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
            self._encoders.asked,
        )
        started = partial(self._view_began, state, step)
        return self.run(LANE, work, partial(self._set_view, state), torch=True, started=started)

    def _view_began(self: Any, state: TrainingState, step: int, job: Job) -> None:
        self._training_began(job)
        job.finished.connect(partial(self._view_ended, state, step, job))

    def _view_ended(self: Any, state: TrainingState, step: int, job: Job) -> None:
        if job.state == "failed":
            state.failed = step, str(job.error or "")

    def _set_view(self: Any, state: TrainingState, view: CheckpointView | str) -> None:
        if state is not self.training:
            return
        if isinstance(view, str):
            state.problem = view
        else:
            state.shown, state.problem = view, ""
        self.training_changed.emit()
        if state.scan is not None:
            self._clicks_for_training(state.scan)

    def _clicks_for_training(self: Any, scan: Scan) -> None:
        """Answer other clicks, unless a checkpoint is on its way: then they are answered when it is there."""
        state = self.training
        if state is None or scan is not state.scan or state.shown is None:
            return
        if state.shown.step == state.wanted and state.shown.asked != scan.clicks.now:
            self._show_wanted(state, anew=True)

    def _scan_of_training_removed(self: Any, scan: Scan) -> None:
        if self.training is not None and scan is self.training.scan:
            self.stop_training()


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
