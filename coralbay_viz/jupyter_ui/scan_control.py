"""Which scans are open, and their features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.scan import unique_names
from ..tasks import encoders as encoders_tasks
from .control import Control
from .panels.scan import ScanPanel

if TYPE_CHECKING:
    from ..model.scan import Scan


class ScanControl(Control):
    """The panel of scans and features."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        session = self.session
        self.panel = panel = ScanPanel(encoders_tasks.model_names(), session.model)
        self.obey(panel.open_wanted, session.open)
        self.obey(panel.scan_chosen, self._choose_scan)
        self.obey(panel.model_chosen, lambda name: setattr(session, "model", name))
        self.obey(panel.compute_wanted, session.compute)
        self.hear(session.scan_changed, self.show)
        self.hear(session.scan_added, self._show_scans)
        self.hear(session.scan_removed, self._show_scans)
        self.hear(session.features_changed, self._show_features)
        self.hear(session.model_changed, self._show_features)

    def show(self, scan: "Scan | None" = None) -> None:
        """All that there is."""
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
            text += "" if scan.model == self.session.model else " (another model is chosen)"
        self.panel.show_model(self.session.model)
        self.panel.show_features(text, enabled=scan is not None)
