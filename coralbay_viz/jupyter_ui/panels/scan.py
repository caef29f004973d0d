"""Open scans and features."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, note, row

if TYPE_CHECKING:
    from coralbay_core.spatial import Volume


class ScanPanel(Panel):
    """Panel Scan: open scans, choose one, compute its features."""

    open_wanted = Signal(str)
    scan_chosen = Signal(int)
    model_chosen = Signal(str)
    compute_wanted = Signal()

    def __init__(self, models: Sequence[str], model: str) -> None:
        self.path = w.Text(placeholder="scan.nii.gz or a DICOM folder", layout=w.Layout(width="340px"))
        self.open = button("Open", "Open a NIfTI file or a DICOM folder on the kernel's machine")
        self.scans = w.Dropdown(description="Scan")
        self.about = note()
        self.models = w.Combobox(value=model, options=list(models), ensure_option=False, continuous_update=False)
        self.models.tooltip = "Encoder model: a name, or a path to weights"
        self.compute = button("Compute features", "Compute the features of the scan, or load them from the cache")
        self.state = note()
        super().__init__(row(self.path, self.open, self.scans), self.about, row(self.models, self.compute, self.state))
        self.open.on_click(lambda _: self.path.value and self.open_wanted.emit(self.path.value))
        self._wire(self.scans, self.scan_chosen)
        self._wire(self.models, self.model_chosen)
        self._press(self.compute, self.compute_wanted)

    def show_scans(self, names: Sequence[str], current: int | None) -> None:
        """Show the open scans and select the active one."""
        with self.showing():
            self.scans.options = [(f"{number + 1}: {name}", number) for number, name in enumerate(names)]
            self.scans.value = current
        self.scans.layout.display = "" if len(names) > 1 else "none"

    def show_volume(self, volume: "Volume | None") -> None:
        """Show grid and notes of a volume."""
        if volume is None:
            self.about.value = "No scan is open."
            return
        size = " × ".join(str(n) for n in reversed(volume.shape))
        spacing = " × ".join(f"{mm:.3g}" for mm in reversed(volume.grid.spacing_mm))
        lines = [f"{volume.name}: {size} voxels of {spacing} mm", *volume.notes]
        self.about.value = "<br>".join(escape(line) for line in lines)

    def show_features(self, text: str, enabled: bool) -> None:
        """Show the status of the features."""
        self.state.value = escape(text)
        self.compute.disabled = not enabled

    def show_model(self, model: str) -> None:
        """Select a model."""
        with self.showing():
            self.models.value = model
