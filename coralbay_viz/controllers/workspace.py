"""The workspace that all controllers share: open scans, the active scan, the runner."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.errors import Cancelled, CoralBayError, InputError
from coralbay_core.spatial import Grid, LabelVolume, Volume
from coralbay_core.util.arguments import as_path, checked

from ..jobs import Job, JobContext, JobKey, Kind, Runner, Task, Work, without_context
from ..model.clicks import Clicks
from ..model.inputs import Inputs
from ..model.scan import Scan
from ..tasks import files

if TYPE_CHECKING:
    from coralbay_core.extraction.cache import FeatureStore
    from coralbay_core.features import FeatureMaps
    from coralbay_core.io import VolumeLike

T = TypeVar("T")


def require(value: T | None, what: str, hint: str) -> T:
    """Return a value, or raise an error with a hint if it is None."""
    if value is None:
        raise CoralBayError(what, hint=hint)
    return value


def in_plain_words(work: Work) -> Work:
    """Return work whose failures for lack of memory, space or permission are one line and no traceback."""

    def run(context: JobContext) -> Any:
        try:
            return work(context)
        except (CoralBayError, Cancelled):
            raise
        except Exception as error:
            if (line := system_line(error)) is None:
                raise
            raise CoralBayError(line[0], found=str(error)[:200], hint=line[1]) from error

    return run


def system_line(error: Exception) -> tuple[str, str] | None:
    """Return problem and remedy of an error of the system; None for any other error."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "out of memory", "close other programs, cut the scan, or choose a smaller model or another device"
    if isinstance(error, OSError) or "os error" in text:  # the second of safetensors
        return "reading or writing failed", "check space and permissions; scans, prompts and strokes are kept"
    return None


class Workspace:
    """Open scans, the active scan and the runner of jobs.

    Parameters
    ----------
    runner : Runner
    store : FeatureStore or bool
        Cache of features, as for `features_for`.

    Attributes
    ----------
    scans : list of Scan
    scan : Scan or None
        The active one, which commands refer to.
    inputs : Inputs
        Files that were read, which `write` does not replace.
    """

    scan_added = Signal(Scan)
    scan_removed = Signal(Scan)
    scan_changed = Signal(object)  # the active Scan, or None
    job_started = Signal(Job)
    saved = Signal(Path)
    failed = Signal(Exception)
    message = Signal(str)

    def __init__(self, runner: Runner, store: "FeatureStore | bool" = True) -> None:
        self.runner = runner
        self.store = store
        self.scans: list[Scan] = []
        self.scan: Scan | None = None
        self.inputs = Inputs()

    # Scans

    @checked
    def open(self, path: str | Path, series: str | None = None) -> Job:
        """Read a NIfTI file, a DICOM folder or a file of a series, and make it the active scan."""
        path = as_path(path)
        work = without_context(partial(files.open_volume, path, series))
        return self.run(JobKey("open", path), work, self.add)

    def add(self, volume: "VolumeLike") -> Scan:
        """Add a volume, or an image that another library holds, and make it the active scan."""
        volume = _as_volume(volume)
        self.inputs.note(volume)
        scan = Scan(volume)
        self.scans.append(scan)
        self.scan_added.emit(scan)
        self.activate(scan)
        return scan

    @checked
    def activate(self, scan: Scan | None) -> None:
        """Make a scan the active one."""
        if scan is not None:
            self.require_open(scan)
        if scan is not self.scan:
            self.scan = scan
            self.scan_changed.emit(scan)

    @checked
    def remove(self, scan: Scan) -> None:
        """Remove a scan and stop its jobs."""
        if scan not in self.scans:
            return
        self.scans.remove(scan)
        self.stop_jobs_of(scan)
        self.scan_removed.emit(scan)
        if scan is self.scan:
            self.activate(self.scans[-1] if self.scans else None)

    def require_scan(self) -> Scan:
        """Return the active scan, or raise."""
        return require(self.scan, "no scan is open", "open a NIfTI file or a DICOM folder first")

    def require_features(self, scan: Scan | None = None) -> "tuple[Scan, FeatureMaps]":
        """Return a scan (by default the active one) and its features, or raise."""
        scan = scan or self.require_scan()
        return scan, require(scan.features, "the scan has no features yet", "compute features first")

    def require_open(self, *scans: Scan) -> None:
        """Raise unless scans are open in this session."""
        for scan in scans:
            if scan not in self.scans:
                where = getattr(scan, "name", repr(scan)[:60])
                raise CoralBayError("scan is not open in this session", where=where)

    @property
    def clicks(self) -> Clicks:
        """Clicks on the active scan."""
        return self.scan.clicks.now if self.scan else Clicks()

    # Jobs

    def run(
        self,
        key: JobKey,
        work: Work,
        done: Callable[[Any], Any],
        *,
        torch: bool = False,
        started: Callable[[Job], Any] = lambda job: None,
    ) -> Job:
        """Run work as a job of this session: see `Task`."""

        def begin(job: Job) -> None:
            started(job)
            self.job_started.emit(job)

        return self.runner.submit(Task(key, in_plain_words(work), done, self.failed.emit, begin, torch))

    def stop(self, kind: Kind, owner: Scan | None = None) -> None:
        """Cancel one job."""
        self.runner.cancel(JobKey(kind, owner))

    def stop_jobs_of(self, scan: Scan, but: Collection[Kind] = ()) -> None:
        """Cancel all jobs of a scan, except some kinds."""
        for key in self.runner.running():
            if isinstance(key, JobKey) and key.owner is scan and key.kind not in but:
                self.runner.cancel(key)

    def cancel(self, kind: Kind | None = None) -> None:
        """Cancel one kind of job of the active scan, such as ``features``, ``heat``, ``pca`` or ``segmentation``.

        Without a kind, cancel all jobs but autosaves.
        """
        if kind is not None and self.scan is not None:
            self.stop(kind, self.scan)
            return
        for key in self.runner.running():
            if not (isinstance(key, JobKey) and key.kind == "autosave"):
                self.runner.cancel(key)

    # Files

    def write_map(
        self, path: str | Path, scan: Scan, make: Callable[[Grid], NDArray | LabelVolume], **parameters: Any
    ) -> Job:
        """Write a map on the grid of the scan's file, and its provenance beside it."""
        work = without_context(partial(files.save, as_path(path), scan.volume, make, scan.features, parameters))
        return self.write(path, work, torch=True)

    def write(self, path: str | Path, work: Work, *, torch: bool = False) -> Job:
        """Run work that writes a file and returns its path; raise if that file is one that was read."""
        self.inputs.require_free(as_path(path))
        return self.run(JobKey("save", Path(path)), work, self._wrote, torch=torch)

    def _wrote(self, path: Path) -> None:
        self.inputs.wrote(path)
        self.saved.emit(path)


def _as_volume(volume: "VolumeLike") -> Volume:
    from coralbay_core.io import load_volume

    if isinstance(volume, str | Path):
        raise InputError("not a volume", found=str(volume)[:60], expected="a volume", hint="Session.open reads files")
    return volume if isinstance(volume, Volume) else files.freeze(load_volume(volume))
