"""Files and sessions."""

from typing import Any

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, check, row


class FilesPanel(Panel):
    """Panel Files: results and sessions as files on the kernel's machine."""

    save_wanted = Signal(str, str, bool)
    load_wanted = Signal(str)

    _KINDS = (
        ("heat", "Heat map"),
        ("pca", "Colors"),
        ("seg", "Labels"),
        ("statistics", "Statistics"),
        ("session", "Session"),
    )

    def __init__(self) -> None:
        self.kind = w.Dropdown(options=[(text, kind) for kind, text in self._KINDS], description="Save")
        self.path = w.Text("heat.nii.gz", layout=w.Layout(width="340px"))
        self.save = button("Save", "Save on the grid of the scan's file")
        self.names = check(False, "With scan names")
        self.names.tooltip = "Names and paths of scans often name a patient: leave them out of a session to pass on"
        self.names.layout.display = "none"
        self.session = w.Text(placeholder="work.coralbay", layout=w.Layout(width="340px"))
        self.load = button("Load session", "Close the open scans and load a saved session")
        super().__init__(row(self.kind, self.path, self.names, self.save), row(self.session, self.load))
        self.kind.observe(self._name, "value")
        self.save.on_click(lambda _: self.save_wanted.emit(self.kind.value, self.path.value, self.names.value))
        self.load.on_click(lambda _: self.session.value and self.load_wanted.emit(self.session.value))

    def _name(self, change: dict[str, Any]) -> None:
        kind = change["new"]
        names = {"session": "work.coralbay", "statistics": "statistics.csv"}
        self.path.value = names.get(kind, f"{kind}.nii.gz")
        self.names.layout.display = "" if kind == "session" else "none"
