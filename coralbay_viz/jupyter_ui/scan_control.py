"""Controller of the panel Scan: open scans and their features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.scan import unique_names
from ..tasks import encoders as encoders_tasks
from .control import Control
from .panels.scan import ScanPanel

if TYPE_CHECKING:
    from ..model.scan import Scan


class ScanControl(Control):
    """Controller of scans and features."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        session = self.session
        self.panel = panel = ScanPanel(encoders_tasks.model_names(), session.model)
        self.on_request(panel.open_wanted, session.open)
        self.on_request(panel.scan_chosen, self._choose_scan)
        self.on_request(panel.model_chosen, lambda name: setattr(session, "model", name))
        self.on_request(panel.compute_wanted, session.compute)
        self.on_event(session.scan_changed, self.show)
        self.on_event(session.scan_added, self._show_scans)
        self.on_event(session.scan_removed, self._show_scans)
        self.on_event(session.features_changed, self._show_features)
        self.on_event(session.model_changed, self._show_features)

    def show(self, scan: "Scan | None" = None) -> None:
        """Update the panel."""
        self.panel.show_volume(self.session.volume)
        self._show_scans()
        self._show_features()

    def _choose_scan(self, number: int | None) -> None:
        if number is not None:
            self.session.activate(self.session.scans[number])

    def _show_scans(self, scan: Any = None) -> None:
        scans = self.session.scans
        current = scans.index(self.session.scan) if self.session.scan in scans else None
        self.panel.show_scans(unique_names(scans), current)

    def _show_features(self, changed: Any = None) -> None:
        scan, text = self.session.scan, ""
        if scan is not None and scan.features is not None:
            text = f"Ready: {Path(scan.model).name}"
            text += "" if scan.model == self.session.model else " (another model is selected)"
        self.panel.show_model(self.session.model)
        self.panel.show_features(text, enabled=scan is not None)
