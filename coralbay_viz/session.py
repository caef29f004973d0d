"""The state of an exploration: scans, features, clicks and what they light up. Knows no GUI toolkit.

A view calls the commands (`open`, `compute`, `click`, ...) and listens to the signals; it never writes the state.
Commands check their input at once and raise; the work behind them is a job of the runner. With the default runner each
command has finished when it returns, so that a script reads::

    session = Session()
    session.open("scan.nii.gz")
    session.compute()
    session.click((12.5, -30, 210))
    session.save_heat("heat.nii.gz")
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.spatial import LabelVolume, Volume

from .controllers.ct_windows import Inspecting
from .controllers.cursor import Pointing
from .controllers.dicom_export import Exporting
from .controllers.features import Computing
from .controllers.library import Searching
from .controllers.probability import Scoring
from .controllers.projections import ProjectionCommands
from .controllers.scorecard import Comparing
from .controllers.segmentation import ProbeCommands
from .controllers.similarity import Asking
from .controllers.training import Training
from .display.figures import Picturing
from .jobs import InlineRunner, Job, Runner, Task, Work
from .model.clicks import Clicks, Point
from .model.history import History
from .model.results import HeatResult, PcaResult
from .model.scan import Scan
from .persistence.save_load import AUTOSAVE_LANE, Keeping
from .tasks import files as files_tasks
from .tasks import similarity as similarity_tasks

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps

DEFAULT_MODEL = "coralbay-mini"
DEFAULT_SHARE = 0.03
NEAR_MM = 5.0
"""A position means a click that is no farther away."""


def _point(position_mm: Sequence[float]) -> Point:
    r, a, s = (float(v) for v in position_mm)
    return r, a, s


class Session(
    Computing,
    Asking,
    Pointing,
    Inspecting,
    Searching,
    Comparing,
    ProbeCommands,
    Scoring,
    Exporting,
    Training,
    ProjectionCommands,
    Picturing,
    Keeping,
):
    """One exploration of one or several scans.

    Parameters
    ----------
    runner : Runner, optional
        Where work happens; by default in the calling thread.
    model : str
        Name or path of the encoder.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    store : object, optional
        Where features are kept, as for `features_for`; by default the user's cache.
    autosave : bool
        Whether to write the state to a recoverable folder within a second of a change.
    """

    scan_added = Signal(Scan)
    scan_removed = Signal(Scan)
    scan_changed = Signal(object)  # the active Scan, or None
    clicks_changed = Signal(Scan)
    heat_changed = Signal(Scan)
    share_changed = Signal(float)
    job_started = Signal(Job)
    saved = Signal(Path)
    failed = Signal(Exception)

    def __init__(
        self,
        runner: Runner | None = None,
        *,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        store: Any = True,
        autosave: bool = False,
    ) -> None:
        self._runner = runner or InlineRunner()
        self._store = store
        self._share = DEFAULT_SHARE
        self.scans: list[Scan] = []
        self.scan: Scan | None = None
        self._start_computing(model, device)
        self._start_asking()
        self._start_probing()
        self._start_pointing()
        self._start_inspecting()
        self._start_searching()
        self._start_scoring()
        self._start_training()
        self._start_comparing()
        self._start_keeping(autosave)

    # What the active scan holds

    @property
    def volume(self) -> Volume | None:
        return self.scan and self.scan.volume

    @property
    def features(self) -> "FeatureMaps | None":
        return self.scan and self.scan.features

    @property
    def strides(self) -> tuple[int, ...]:
        """Stages that the active scan has, finest first: what `weights` may name."""
        features = self.scan and (self.scan.features or self.scan.preview)
        return features.strides if features else ()

    @property
    def clicks(self) -> Clicks:
        return self.scan.clicks.now if self.scan else Clicks()

    @property
    def heat(self) -> HeatResult | None:
        return self.scan and self.scan.heat

    @property
    def pca(self) -> PcaResult | None:
        return self.scan and self.scan.pca

    @property
    def segmentation(self) -> LabelVolume | None:
        return self.scan and self.scan.segmentation

    # Scans

    def open(self, path: str | Path, series: str | None = None) -> Job:
        """Read a NIfTI file, a DICOM folder or a file of a series, and make it the active scan."""
        path = Path(path)
        return self.run(
            f"open {path}", partial(files_tasks.open_volume, path, series), partial(self.add, series=series)
        )

    def add(self, volume: Volume, series: str | None = None) -> Scan:
        """Take in a volume and make it the active scan."""
        scan = Scan(volume, series=series)
        self.scans.append(scan)
        self.scan_added.emit(scan)
        self.activate(scan)
        return scan

    def activate(self, scan: Scan | None) -> None:
        """Make a scan the one that commands are about."""
        if scan is not self.scan:
            self.scan = scan
            self.scan_changed.emit(scan)

    def remove(self, scan: Scan) -> None:
        """Forget a scan; work on it is stopped."""
        if scan not in self.scans:
            return
        self.scans.remove(scan)
        self._stop_work_on(scan)
        self.scan_removed.emit(scan)
        if scan is self.scan:
            self.activate(self.scans[-1] if self.scans else None)

    # Similarity

    def click(self, position_mm: Sequence[float], negative: bool = False) -> Job | None:
        """Ask for places like this one (or unlike it); None while there are no features yet."""
        scan = self._require_scan()
        scan.volume.grid.require_inside(position_mm, where=scan.name)
        return self._change_clicks(scan, scan.clicks.now.add(_point(position_mm), negative))

    def clear_clicks(self) -> Job | None:
        """Take all clicks away; `undo` brings them back."""
        scan = self._require_scan()
        return self._change_clicks(scan, Clicks()) if scan.clicks.now else None

    def remove_click(self, position_mm: Sequence[float], within_mm: float = NEAR_MM) -> Job | None:
        """Take away the click, of either kind, that is nearest to a position; nothing where none is near."""
        return self._replace_click(position_mm, None, within_mm)

    def move_click(
        self, position_mm: Sequence[float], to_mm: Sequence[float], within_mm: float = NEAR_MM
    ) -> Job | None:
        """Move the click, of either kind, that is nearest to a position; nothing where none is near."""
        scan = self._require_scan()
        scan.volume.grid.require_inside(to_mm, where=scan.name)
        return self._replace_click(position_mm, to_mm, within_mm)

    def _replace_click(
        self, position_mm: Sequence[float], to_mm: Sequence[float] | None, within_mm: float
    ) -> Job | None:
        scan = self._require_scan()
        now = scan.clicks.now
        click = now.near(_point(position_mm), within_mm)
        if click is None:
            return None
        return self._change_clicks(scan, now.replace(click, None if to_mm is None else _point(to_mm)))

    def undo(self) -> Job | None:
        """Take the last change of the clicks back."""
        return self._step_clicks(lambda history: history.undo())

    def redo(self) -> Job | None:
        """Bring back what was undone."""
        return self._step_clicks(lambda history: history.redo())

    def _step_clicks(self, step: Callable[[History[Clicks]], bool]) -> Job | None:
        scan = self._require_scan()
        if not step(scan.clicks):
            return None
        self.clicks_changed.emit(scan)
        return self._update_heat(scan)

    def _change_clicks(self, scan: Scan, clicks: Clicks) -> Job | None:
        scan.clicks.change(clicks)
        self.clicks_changed.emit(scan)
        return self._update_heat(scan)

    def _update_heat(self, scan: Scan) -> Job | None:
        lane = self._lane("heat", scan)
        request = self.heat_request(scan)
        if request is None:
            self._runner.cancel(lane)
            if scan.heat is not None:
                self._set_heat(scan, None)
            return None
        work = partial(similarity_tasks.heat, request, scan.overlay_grid)
        return self.run(lane, work, partial(self._set_heat, scan), torch=True)

    def _set_heat(self, scan: Scan, result: HeatResult | None) -> None:
        scan.heat = result
        self.heat_changed.emit(scan)

    @property
    def share(self) -> float:
        """Share of the body, best first, that the heat map shows."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        if not 0 < share <= 1:
            raise InputError("share of the body out of range", found=share, expected="above 0 and up to 1")
        self._share = float(share)
        self.share_changed.emit(self._share)

    @property
    def threshold(self) -> float | None:
        """Score from which on the heat map of the active scan is shown."""
        return None if self.heat is None else self.heat.scale.score_of(self._share)

    # Files

    def save_heat(self, path: str | Path) -> Job:
        """Write the heat map on the grid of the scan's file."""
        scan = self._require_scan()
        result = self._require(scan.heat, "no heat map to save", "click on the scan first")
        if result.partial:
            raise CoralBayError("heat map is not complete", where=scan.name, hint="wait for the features")
        asked = {"at_mm": result.clicks.positive, "not_mm": result.clicks.negative, "weights": result.heat.weights}
        return self._save(path, scan, partial(files_tasks.on_grid, result.heat), **asked)

    def save_pca(self, path: str | Path) -> Job:
        """Write the PCA colors on the grid of the scan's file, as RGB24."""
        scan = self._require_scan()
        result = self._require(scan.pca, "no PCA colors to save", "switch the PCA overlay on first")
        return self._save(path, scan, partial(files_tasks.on_grid, result.rgb), projection=result.method)

    def _save(self, path: str | Path, scan: Scan, make: Callable[[Any], Any], **parameters: Any) -> Job:
        """Write a result and, beside it, where it comes from."""
        work = partial(files_tasks.save, Path(path), scan.volume, make, scan.features, parameters)
        return self.run(f"save {path}", work, self.saved.emit, torch=True)

    # Jobs

    def cancel(self, what: str | None = None) -> None:
        """Stop work: ``features``, ``heat``, ``pca`` or ``segmentation`` of the active scan, or all but autosaves."""
        one = None if what is None or self.scan is None else self._lane(what, self.scan)
        for lane in self._runner.lanes() if one is None else (one,):
            if lane != AUTOSAVE_LANE:
                self._runner.cancel(lane)

    def close(self) -> None:
        """Stop all work; nothing more is accepted, and nothing is left to recover."""
        self._runner.close()
        self._stop_keeping()

    @staticmethod
    def _lane(what: str, scan: Scan) -> str:
        return f"{what} {id(scan):x}"

    def _stop_work_on(self, scan: Scan, but: Collection[str] = ()) -> None:
        """Cancel what is being made of a scan, but for some results."""
        kept = {self._lane(what, scan) for what in but}
        for lane in self._runner.lanes():
            if lane not in kept and lane.endswith(self._lane("", scan)):
                self._runner.cancel(lane)

    def run(
        self,
        lane: str,
        work: Work,
        done: Callable[[Any], Any],
        torch: bool = False,
        started: Callable[[Job], Any] = lambda job: None,
    ) -> Job:
        """Run anything as a job of this session: see `Task`."""

        def begin(job: Job) -> None:
            started(job)
            self.job_started.emit(job)

        return self._runner.submit(Task(lane, work, done, self.failed.emit, begin, torch))

    def _require_scan(self) -> Scan:
        return self._require(self.scan, "no scan is open", "open a NIfTI file or a DICOM folder first")

    def _require_features(self, scan: Scan | None = None) -> Scan:
        scan = scan or self._require_scan()
        self._require(scan.features, "the scan has no features yet", "compute features first")
        return scan

    @staticmethod
    def _require(value: Any, what: str, hint: str) -> Any:
        if value is None:
            raise CoralBayError(what, hint=hint)
        return value
