"""Features of the session's scans: model, device, computation and status."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey, Kind, without_context
from ..model.results import Results, WindowResult
from ..model.scan import Scan
from ..tasks.encoders import Encoders, find_devices
from ..tasks.features import ProgressSignals, compute_features, look_ahead
from .workspace import Workspace

if TYPE_CHECKING:
    from coralbay_core.extraction.estimate import CostEstimate, ProgressEstimate
    from coralbay_core.features import FeatureMaps

DEVICE_KINDS = ("auto", "cpu", "gpu", "cuda", "mps")
FeatureStatus = Literal["no features", "computing", "ready", "other model", "failed"]


class FeaturesController:
    """Computation of features: model, device, cost, progress.

    Parameters
    ----------
    workspace : Workspace
    model : str
        Name or path of the encoder.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Attributes
    ----------
    devices : tuple of str
        Possible values of `asked_device`, as far as known; `find_devices` completes them.
    encoders : Encoders
    reads_cached : bool
        Whether `look_ahead` also reads the features of a scan that has none, if the cache holds them all.
    """

    model_changed = Signal(str)
    device_changed = Signal(str)  # the requested device
    devices_changed = Signal()
    features_changed = Signal(Scan)
    results_replaced = Signal(Scan, Results)  # the scan, and its results before; follows features_changed
    preview_changed = Signal(Scan)
    state_changed = Signal(Scan)
    forecast_changed = Signal(Scan)
    outlook_changed = Signal(Scan)

    def __init__(self, workspace: Workspace, model: str, device: str) -> None:
        self._workspace = workspace
        self._model = model
        self.encoders = Encoders(device)
        self.devices: tuple[str, ...] = ("auto", "cpu")
        self.reads_cached = False
        self._jobs: dict[Scan, Job] = {}
        self._tile_s: dict[tuple[str, str], float] = {}  # seconds per tile, by model and device
        workspace.scan_removed.connect(self._forget)

    # Model and device

    @property
    def model(self) -> str:
        """Name or path of the encoder that features are computed with from now on."""
        return self._model

    @model.setter
    @checked
    def model(self, name: str | Path) -> None:
        name = str(name)
        if name != self._model:
            self._model = name
            self._workspace.inputs.note(name)
            self._forget_forecasts()
            self._jobs = {scan: job for scan, job in self._jobs.items() if job.running}
            self.model_changed.emit(name)
            for scan in self._workspace.scans:
                self.state_changed.emit(scan)

    @property
    def device(self) -> str:
        """Device of the encoder: ``cpu``, ``cuda`` or ``mps``; ``auto`` until the first job has resolved it."""
        return self.encoders.device

    @property
    def asked_device(self) -> str:
        """Requested device: ``auto``, ``cpu``, ``gpu``, ``cuda``, ``cuda:1``, ... or ``mps``.

        It applies to jobs that start from now on; features that were computed elsewhere stay valid.
        """
        return self.encoders.asked

    @asked_device.setter
    @checked
    def asked_device(self, name: str) -> None:
        if not re.fullmatch(rf"({'|'.join(DEVICE_KINDS)})(:\d+)?", name):
            raise InputError("unknown device", found=name, expected=f"one of {', '.join(DEVICE_KINDS)}")
        if name != self.encoders.asked:
            self.encoders.asked = name
            self._forget_forecasts()
            self.device_changed.emit(name)

    def find_devices(self) -> Job:
        """Find the devices of this machine; `devices` lists them afterwards."""
        return self._workspace.run(JobKey("devices"), without_context(find_devices), self._set_devices)

    def _set_devices(self, found: tuple[str, ...]) -> None:
        self.devices = ("auto", *found)
        self.devices_changed.emit()

    # Computation

    def state_of(self, scan: Scan) -> FeatureStatus:
        """Return the status of a scan's features with the chosen model."""
        job = self._jobs.get(scan)
        if job is not None and job.running:
            return "computing"
        if job is not None and job.state == "failed":
            return "failed"
        if scan.features is None:
            return "no features"
        return "ready" if scan.model == self._model else "other model"

    @checked
    def compute(self, focus_mm: Sequence[float] | None = None, scan: Scan | None = None) -> Job:
        """Compute the features of a scan, or read them from the cache.

        Meanwhile `scan.outlook` is the remaining cost, and clicks near the focus are answered from the first features
        (`scan.preview`): their heat map is `partial`.

        Parameters
        ----------
        focus_mm : three floats, optional
            World mm where the computation begins; by default the last click, else the crosshair.
        scan : Scan, optional
            By default the active one.
        """
        scan = scan or self._workspace.require_scan()
        if focus_mm is not None:
            scan.volume.grid.require_inside(focus_mm, where=scan.name)
        focus = focus_mm if focus_mm is not None else next(iter(scan.clicks.now.positive[::-1]), scan.cursor_mm)
        model = self._model
        signals = ProgressSignals(
            outlook=partial(self._set_progress, scan, model),
            preview=partial(self._set_preview, scan),
            say=self._workspace.message.emit,
        )
        work = partial(compute_features, scan.volume, self.encoders, model, self._workspace.store, focus, signals)
        done, started = partial(self._set_features, scan, model), partial(self._started, scan)
        return self._workspace.run(JobKey("features", scan), work, done, torch=True, started=started)

    @checked
    def look_ahead(self, scan: Scan | None = None) -> Job:
        """Estimate the cost of `compute` for a scan, by default the active one; the result is `scan.forecast`.

        This loads the model and computes nothing. A problem is not an error: the result is then a line of text.
        """
        scan = scan or self._workspace.require_scan()
        self._set_forecast(scan, None)
        store, seconds = self._workspace.store, dict(self._tile_s)
        work = partial(look_ahead, scan.volume, self.encoders, self._model, store, seconds)
        return self._workspace.run(JobKey("forecast", scan), work, partial(self._looked_ahead, scan), torch=True)

    def _looked_ahead(self, scan: Scan, found: "CostEstimate | str") -> None:
        self._set_forecast(scan, found)
        complete = not isinstance(found, str) and not found.tiles
        if self.reads_cached and complete and self.state_of(scan) == "no features":
            self.compute(scan=scan)

    def _forget_forecasts(self) -> None:
        for scan in self._workspace.scans:
            self._workspace.stop("forecast", scan)
            self._set_forecast(scan, None)

    def _set_forecast(self, scan: Scan, found: "CostEstimate | str | None") -> None:
        if found is not scan.forecast:
            scan.forecast = found
            self.forecast_changed.emit(scan)

    def _started(self, scan: Scan, job: Job) -> None:
        self._jobs[scan] = job
        self._workspace.stop("forecast", scan)
        self._set_forecast(scan, None)
        job.finished.connect(partial(self._ended, scan, job))
        self._set_preview(scan, None)
        self.state_changed.emit(scan)

    def _ended(self, scan: Scan, job: Job) -> None:
        if self._jobs.get(scan) is job:
            self._set_outlook(scan, None)
            if scan.features is None:
                self._set_preview(scan, None)
            self.state_changed.emit(scan)

    def _set_progress(self, scan: Scan, model: str, outlook: "ProgressEstimate") -> None:
        self._tile_s[model, outlook.device] = outlook.tile_s
        self._set_outlook(scan, outlook)

    def _set_outlook(self, scan: Scan, outlook: "ProgressEstimate | None") -> None:
        if outlook is not scan.outlook:
            scan.outlook = outlook
            self.outlook_changed.emit(scan)

    def _set_preview(self, scan: Scan, features: "FeatureMaps | None") -> None:
        if features is not scan.preview:
            scan.preview = features
            if scan.features is None:
                self.preview_changed.emit(scan)

    def _set_features(self, scan: Scan, model: str, features: "FeatureMaps") -> None:
        self._set_outlook(scan, None)
        # Results of jobs on the earlier features must not land on these. Scorecard and forecast depend on the volume
        # and on the models that they name, the windows on the volume and this model.
        same_model: tuple[Kind, ...] = ("windows",) if scan.model in (None, model) else ()
        self._workspace.stop_jobs_of(scan, but=("scorecard", "forecast", *same_model))
        old = scan.results
        windows = old.windows if old.windows is not None and model_of_windows(old.windows) == features.model else None
        scan.preview = None
        scan.results = Results(
            features,
            model,
            heat=old.heat if old.heat is not None and old.heat.partial else None,  # until the whole one is there
            windows=windows,
        )
        self.features_changed.emit(scan)
        self.results_replaced.emit(scan, old)

    def _forget(self, scan: Scan) -> None:
        self._jobs.pop(scan, None)


def model_of_windows(result: WindowResult) -> str:
    """Return the name of the model that a comparison of windows was computed with."""
    return result.comparison.reference.heat.features.model
