"""Panel Features: choice of a model and computation of features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QLabel, QProgressBar

from ...jobs import Job, Progress
from ...tasks import encoders as encoders_tasks
from ..context import Context
from .base import PanelBase, button, combo, fill, note

if TYPE_CHECKING:
    from ...model.scan import Scan

# Variants of a model by displayed name, and their suffix.
QUALITIES = {"Standard": "", "Compact: less disk": ":compact", "One pass: no tiles": ":whole"}
WEIGHTS = "Weights (*.safetensors *.pt *.pth *.pth.tar *.ckpt);;All files (*)"
_LIGHTS = {
    "no features": "#8a8a8a",
    "computing": "#ffb74d",
    "ready": "#3ddc84",
    "other model": "#e6c229",
    "failed": "#ff4d6d",
}


class FeaturePanel(PanelBase):
    """Choice of a model, and progress of its features.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__("Features")
        self._context = context
        self.job: Job | None = None
        self._lay_out()
        session = context.session
        context.connect(
            (session.model_changed, self._show_model),
            (session.scan_changed, self.show_state),
            (session.scan_changed, self._look_ahead),
            (session.device_changed, self._look_ahead),
            (session.state_changed, self._state_changed),
            (session.features_changed, self._scan_changed),
            (session.outlook_changed, self._scan_changed),
            (session.forecast_changed, self._scan_changed),
            (session.message, context.notify),
            (session.job_started, self._job_started),
            (session.device_changed, self._show_devices),
            (session.devices_changed, self._show_devices),
            (session.scan_added, self._look_for_devices),
        )
        self._show_devices()
        self._show_model(session.model)

    def _lay_out(self) -> None:
        self.models = combo("Encoder model", encoders_tasks.model_names())
        self.browse = button("…", "Choose a weights file")
        self.browse.setFixedWidth(30)
        self.row(QLabel("Model"), self.models, self.browse, stretch=1)
        self.license = note()
        self.rows.addWidget(self.license)
        self.quality = combo("Standard features, compact features, or one pass without tiles", list(QUALITIES))
        self.device = combo(
            "Device that features are computed on; finished features are kept", self._context.session.devices
        )
        self.row(QLabel("Quality"), self.quality, QLabel("Device"), self.device, stretch=1).setStretch(3, 1)
        self.compute = button("Compute features", "Needed once per scan and model; the features are cached on disk")
        self.cancel = button("Cancel", "Stop; the finished part is kept and the next run continues from there")
        self.row(self.compute, self.cancel)
        self.bar = QProgressBar()
        self.rows.addWidget(self.bar)
        self.outlook = note()
        self.rows.addWidget(self.outlook)
        self.light = QLabel("●")
        self.status = note()
        self.row(self.light, self.status, stretch=1)
        self.compute.clicked.connect(self._context.notify_errors(self._compute))
        self.cancel.clicked.connect(lambda: self._context.session.cancel("features"))
        self.models.textActivated.connect(self._choose)
        self.quality.textActivated.connect(self._choose)
        self.browse.clicked.connect(self._browse)
        self.device.textActivated.connect(
            self._context.notify_errors(lambda name: setattr(self._context.session, "asked_device", name))
        )

    # User actions

    def _compute(self, *_: Any) -> None:
        """Start at the crosshair, unless there are clicks."""
        session = self._context.session
        session.compute(None if session.clicks.positive else session.cursor_mm)

    def _choose(self, _: str) -> None:
        name = self.models.currentText()
        quality = QUALITIES[self.quality.currentText()]
        self._context.session.model = name + (quality if encoders_tasks.has_variants(name) else "")

    def _browse(self) -> None:
        path = self._context.ask_open("Choose a weights file", WEIGHTS)
        if path:
            self._context.session.model = str(path)

    # Session events

    def _show_model(self, model: str) -> None:
        name, variant = encoders_tasks.split_variant(model)
        with QSignalBlocker(self.models), QSignalBlocker(self.quality):
            if self.models.findText(name) < 0:
                self.models.addItem(name)
            self.models.setCurrentText(name)
            self.quality.setCurrentIndex(list(QUALITIES.values()).index(variant))
        self.quality.setEnabled(encoders_tasks.has_variants(name))
        summary, license = encoders_tasks.about_model(name)
        self.models.setToolTip("\n".join(filter(None, (summary, license))))
        # Restrictions are always visible; other details are in the tooltip.
        self.license.setText(license)
        self.license.setVisible("not for commercial use" in license)
        self.show_state()

    def _look_for_devices(self, _: Any) -> None:
        """Look for devices after the first scan was opened, as importing torch takes a while."""
        self._context.disconnect((self._context.session.scan_added, self._look_for_devices))
        self._context.session.find_devices()

    def _show_devices(self, _: Any = None) -> None:
        session = self._context.session
        names = list(dict.fromkeys((*session.devices, session.asked_device)))
        fill(self.device, names, names.index(session.asked_device))
        self.show_state()

    def _look_ahead(self, _: Any = None) -> None:
        """Estimate the cost of the features before they are computed."""
        session = self._context.session
        scan = session.scan
        if scan is not None and scan.forecast is None and session.state_of(scan) not in ("computing", "ready"):
            session.look_ahead()

    def _state_changed(self, scan: "Scan") -> None:
        if scan is self._context.session.scan:
            self.show_state()
            self._look_ahead()

    def _scan_changed(self, scan: "Scan") -> None:
        if scan is self._context.session.scan:
            self.show_state()

    def _job_started(self, job: Job) -> None:
        if job.kind != "features":
            return

        def over() -> None:
            self._context.disconnect(*links)
            if self.job is job:
                self.job = None  # it holds its result
            self.show_state()

        links = ((job.progressed, self._progressed), (job.finished, over))
        self._context.connect(*links)
        self.job = job
        self.show_state()

    def _progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self._show_status("computing", str(progress))

    def show_state(self, _: Any = None) -> None:
        """Update all widgets."""
        session = self._context.session
        scan = session.scan
        state = "no features" if scan is None else session.state_of(scan)
        busy = state == "computing"
        for widget, shown in ((self.bar, busy), (self.cancel, busy), (self.compute, not busy)):
            widget.setVisible(shown)
        self.compute.setEnabled(scan is not None)
        self.compute.setText("Continue computing" if state == "failed" else "Compute features")
        ahead = None if scan is None else scan.outlook or (None if state == "ready" else scan.forecast)
        self.outlook.setText("" if ahead is None else str(ahead))
        self.outlook.setVisible(bool(self.outlook.text()))
        if busy:
            # The state changes to computing before the job is announced.
            self._progressed(self.job.progress if self.job is not None else Progress())
        else:
            self._show_status(state, "" if scan is None else _in_words(state, scan))

    def _show_status(self, state: str, text: str) -> None:
        self.light.setStyleSheet(f"color: {_LIGHTS[state]}")
        self.light.setToolTip(f"{state}; device: {self._context.session.device}")
        self.status.setText(text)


def _in_words(state: str, scan: "Scan") -> str:
    if state == "failed":
        return "Failed; the notification says why"
    if state == "no features":
        return "No features yet"
    name = Path(scan.model).name
    return f"Ready: {name}" + (" (another model is selected)" if state == "other model" else "")
