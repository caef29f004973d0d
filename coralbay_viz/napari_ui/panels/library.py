"""Panel Library: search of many scans for places similar to the clicks."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QCheckBox

from ...model.places import place_text
from ..context import Context
from .base import JobStatusText, PanelBase, button, fill_table, note, table
from .regions import gray_icon

if TYPE_CHECKING:
    from ...jobs import Job
    from ...model.library_hit import LibraryHit
    from ...model.scan import Scan

_PICTURE = 56


class LibraryPanel(PanelBase):
    """Library folder, its scans, and the hits of a search.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._wanted: LibraryHit | None = None
        self._searched = False
        self.open = button("Open library…", "Open a folder; an empty one becomes a library when a scan is added")
        self.add = button("Add this scan", "Add compressed features of this scan to the library")
        self.names = QCheckBox("Store its name")
        self.names.setToolTip(
            "Store name and path of the scan in the library. They often name a patient; without them only this "
            "machine has them."
        )
        self.row(self.open, self.add, self.names)
        self.about = note("Search many scans for places similar to your prompts.")
        self.rows.addWidget(self.about)
        self.search = button(
            "Search the library", "Search the other scans of the library with the prompts and the queries in use"
        )
        self.rows.addWidget(self.search)
        self.found = table("Select a row to open its scan at this place", ["", "Scan", "Score", "Place (mm)"], 380)
        self.found.setIconSize(QSize(_PICTURE, _PICTURE))
        self.rows.addWidget(self.found)
        self._job_status = JobStatusText(context, self._show_library, self._search_over)
        self.open.clicked.connect(self._choose)
        self.add.clicked.connect(context.notify_errors(self._add))
        self.search.clicked.connect(context.notify_errors(self._search))
        self.found.itemActivated.connect(lambda *_: context.notify_errors(self._go)())
        self.found.itemClicked.connect(lambda *_: context.notify_errors(self._go)())
        session = context.session
        context.connect(
            (session.library.changed, self._show_library),
            (session.library.hits_changed, self._show_found),
            (session.scan_changed, self._scan_changed),
            (session.clicks_changed, self._show_library),
        )
        self._show_library()
        self._show_found()

    def _choose(self) -> None:
        folder = self._context.ask_folder("Open a library, or choose an empty folder")
        if folder:
            self._context.notify_errors(self._context.session.library.open)(folder)

    def _add(self, *_: Any) -> None:
        self._context.session.library.add(names=self.names.isChecked())

    def _search(self, *_: Any) -> None:
        self._searched = False
        self._job_status.show(self._context.session.library.search(), "Searching…")

    def _search_over(self, job: "Job") -> None:
        self._searched = job.state == "done"

    def _go(self) -> None:
        """Go to the selected hit; open its scan if needed."""
        session = self._context.session
        number = self.found.indexOfTopLevelItem(self.found.currentItem())
        if not 0 <= number < len(session.library.hits):
            return
        hit = session.library.hits[number]
        for scan in session.scans:
            if hit.is_in(scan.volume):
                session.activate(scan)
                session.cursor_mm = hit.position_mm
                return
        self._wanted = hit
        session.open(hit.path, hit.series)

    def _scan_changed(self, scan: "Scan | None") -> None:
        if scan is not None and self._wanted is not None and self._wanted.is_in(scan.volume):
            place, self._wanted = self._wanted.position_mm, None
            self._context.session.cursor_mm = place
        self._show_library()

    def _show_library(self, _: Any = None) -> None:
        session = self._context.session
        library, scan = session.library.current, session.scan
        self.add.setEnabled(library is not None and scan is not None)
        self.search.setEnabled(library is not None and scan is not None and bool(session.clicks or scan.queries_in_use))
        if library is not None:
            count = len(library.manifest.scans) if library.exists else 0
            about = f"{library.folder.name}: {count} scan{'s' if count != 1 else ''}"
            if self._searched and not session.library.hits:
                about += "\nNo similar place was found in its other scans."
            self.about.setText(self._job_status.text or about)

    def _show_found(self) -> None:
        found = self._context.session.library.hits
        rows = [["", hit.name, f"{hit.score:.2f}", place_text(hit.position_mm)] for hit in found]
        fill_table(self.found, rows)
        for number, hit in enumerate(found):
            if hit.thumbnail is not None:
                self.found.topLevelItem(number).setIcon(0, gray_icon(hit.thumbnail))
        self.found.resizeColumnToContents(0)
        self.found.setVisible(bool(rows))
        self._show_library()
