"""Features of the session's scans: model, device, computation and status."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal

from coralbay_core.errors import InputError

from ..jobs import Job
from ..model.scan import Scan
from ..tasks import encoders as encoders_tasks
from ..tasks.encoders import Encoders

if TYPE_CHECKING:
    from coralbay_core.extraction.estimate import CostEstimate, ProgressEstimate
    from coralbay_core.features import FeatureMaps
from ..tasks.features import Listener, compute_features, look_ahead

KINDS_OF_DEVICES = ("auto", "cpu", "cuda", "mps")
State = Literal["no features", "computing", "ready", "other model", "failed"]


class Computing:
    """Commands of a `Session` about features and the model. It brings signals; the session brings jobs and scans.

    Attributes
    ----------
    devices : tuple of str
        What `asked_device` may be, as far as is known: `find_devices` looks what else the machine has.
    """

    model_changed = Signal(str)
    device_changed = Signal(str)  # what was asked for
    devices_changed = Signal()
    features_changed = Signal(Scan)
    state_changed = Signal(Scan)
    forecast_changed = Signal(Scan)
    outlook_changed = Signal(Scan)
    said = Signal(str)

    def _start_computing(self: Any, model: str, device: str) -> None:
        self._model = model
        self._encoders = Encoders(device)
        self.devices: tuple[str, ...] = ("auto", "cpu")
        self._computing: dict[int, Job] = {}
        self._tile_s: dict[tuple[str, str], float] = {}  # seconds a tile took, by model and device
        self.scan_removed.connect(self._forget_computing)

    @property
    def model(self: Any) -> str:
        return self._model

    @model.setter
    def model(self: Any, name: str) -> None:
        if name != self._model:
            self._model = name
            self._forget_forecasts()
            self._computing = {key: job for key, job in self._computing.items() if job.running}
            self.model_changed.emit(name)
            for scan in self.scans:
                self.state_changed.emit(scan)

    @property
    def device(self: Any) -> str:
        """Where the encoder runs: ``cpu``, ``cuda`` or ``mps``; ``auto`` until the first work has found out."""
        return self._encoders.device

    @property
    def asked_device(self: Any) -> str:
        """Where encoders are to run: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ... or ``mps``.

        It is for what is asked from now on; what goes on or has been computed is as good as before.
        """
        return self._encoders.asked

    @asked_device.setter
    def asked_device(self: Any, name: str) -> None:
        if name.split(":")[0] not in KINDS_OF_DEVICES:
            raise InputError("unknown device", found=name, expected=f"one of {', '.join(KINDS_OF_DEVICES)}")
        if name != self._encoders.asked:
            self._encoders.asked = name
            self._forget_forecasts()
            self.device_changed.emit(name)

    def find_devices(self: Any) -> Job:
        """Look what devices this machine has; `devices` has them then."""
        return self.run("devices", encoders_tasks.find_devices, self._set_devices)

    def _set_devices(self: Any, found: tuple[str, ...]) -> None:
        self.devices = ("auto", *found)
        self.devices_changed.emit()

    def state_of(self: Any, scan: Scan) -> State:
        """How a scan stands with the chosen model: what a status light shows."""
        job = self._computing.get(id(scan))
        if job is not None and job.running:
            return "computing"
        if job is not None and job.state == "failed":
            return "failed"
        if scan.features is None:
            return "no features"
        return "ready" if scan.model == self._model else "other model"

    def compute(self: Any, focus_mm: Sequence[float] | None = None, scan: Scan | None = None) -> Job:
        """Compute the features of a scan, or take them from the cache.

        While that goes on, `scan.outlook` says what is ahead, and clicks near the focus are answered from the first
        features (`scan.preview`): their heat map is `partial`.

        Parameters
        ----------
        focus_mm : three floats, optional
            World mm where to begin; by default the last click.
        scan : Scan, optional
            By default the active one.
        """
        scan = scan or self._require_scan()
        if focus_mm is not None:
            scan.volume.grid.require_inside(focus_mm, where=scan.name)
        focus = focus_mm if focus_mm is not None else next(iter(scan.clicks.now.positive[::-1]), None)
        model = self._model
        listener = Listener(partial(self._outlook_came, scan, model), partial(self._set_preview, scan), self.said.emit)
        work = partial(compute_features, scan.volume, self._encoders, model, self._store, focus, listener)
        done, started = partial(self._set_features, scan, model), partial(self._computing_began, scan)
        return self.run(self._lane("features", scan), work, done, torch=True, started=started)

    def look_ahead(self: Any, scan: Scan | None = None) -> Job:
        """Find out what `compute` would take for a scan, by default the active one; the result is `scan.forecast`.

        The model is loaded for it and nothing is computed. Problems are no errors: a line says why nothing is known.
        """
        scan = scan or self._require_scan()
        self._set_forecast(scan, None)
        work = partial(look_ahead, scan.volume, self._encoders, self._model, self._store, dict(self._tile_s))
        return self.run(self._lane("forecast", scan), work, partial(self._set_forecast, scan), torch=True)

    def _forget_forecasts(self: Any) -> None:
        for scan in self.scans:
            self._runner.cancel(self._lane("forecast", scan))
            self._set_forecast(scan, None)

    def _set_forecast(self: Any, scan: Scan, found: "CostEstimate | str | None") -> None:
        if found is not scan.forecast:
            scan.forecast = found
            self.forecast_changed.emit(scan)

    def _computing_began(self: Any, scan: Scan, job: Job) -> None:
        self._computing[id(scan)] = job
        self._runner.cancel(self._lane("forecast", scan))
        self._set_forecast(scan, None)
        job.finished.connect(partial(self._computing_ended, scan, job))
        self._set_preview(scan, None)
        self.state_changed.emit(scan)

    def _computing_ended(self: Any, scan: Scan, job: Job) -> None:
        if self._computing.get(id(scan)) is job:
            self._set_outlook(scan, None)
            if scan.features is None:
                self._set_preview(scan, None)
            self.state_changed.emit(scan)

    def _outlook_came(self: Any, scan: Scan, model: str, outlook: "ProgressEstimate") -> None:
        self._tile_s[model, outlook.device] = outlook.tile_s
        self._set_outlook(scan, outlook)

    def _set_outlook(self: Any, scan: Scan, outlook: "ProgressEstimate | None") -> None:
        if outlook is not scan.outlook:
            scan.outlook = outlook
            self.outlook_changed.emit(scan)

    def _set_preview(self: Any, scan: Scan, features: "FeatureMaps | None") -> None:
        if features is not scan.preview:
            scan.preview = features
            if scan.features is None:
                self._update_heat(scan)
                self._update_linked(scan)

    def _set_features(self: Any, scan: Scan, model: str, features: "FeatureMaps") -> None:
        self._set_outlook(scan, None)
        # What was asked of the features before must not land on these. A scorecard and what is ahead are asked of the
        # volume and of models that they name, windows of the volume and this one.
        windows = ("windows",) if scan.model in (None, model) else ()
        self._stop_work_on(scan, but=("scorecard", "forecast", *windows))
        first = scan.heat if scan.heat is not None and scan.heat.partial else None
        scan.forget_results()
        scan.features, scan.model = features, model
        scan.heat = first  # shown until the whole answer comes
        for changed in (self.features_changed, self.heat_changed, self.pca_changed, self.segmentation_changed):
            changed.emit(scan)
        self._update_heat(scan)

    def _forget_computing(self: Any, scan: Scan) -> None:
        self._computing.pop(id(scan), None)
