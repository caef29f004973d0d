"""Controller of the panel Library: scans of a folder and places in them that are similar to the clicks."""

import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.places import place_text
from .control import Control, when_done
from .panels.library import HitRow, LibraryPanel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..model.library_hit import LibraryHit

_HINT = "Search many scans for places similar to your clicks."


class LibraryControl(Control):
    """Controller of the library."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        session = self.session
        self.panel = panel = LibraryPanel()
        self.on_request(panel.open_wanted, lambda path: session.library.open(Path(path).expanduser()))
        self.on_request(panel.add_wanted, lambda names: session.library.add(names=names))
        self.on_request(panel.search_wanted, self._search)
        self.on_request(panel.hit_chosen, self._go)
        for signal in (session.library.changed, session.scan_changed, session.clicks_changed):
            self.on_event(signal, self.show)
        self.on_event(session.library.hits_changed, self._show_hits)
        self.show()

    def show(self, changed: Any = None) -> None:
        """Update the panel."""
        session = self.session
        library, scan = session.library.current, session.scan
        about = _HINT
        if library is not None:
            count = len(library.manifest.scans) if library.exists else 0
            about = f"{escape(library.folder.name)}: {count} scan{'' if count == 1 else 's'}"
        asked = scan is not None and bool(session.clicks or scan.queries_in_use)
        self.panel.show_state(
            about, can_add=library is not None and scan is not None, can_search=library is not None and asked
        )

    def _search(self) -> None:
        when_done(self.session.library.search(), self._say_hits)

    def _say_hits(self) -> None:
        found = len(self.session.library.hits)
        self._status.say(
            f"{found} place{'' if found == 1 else 's'} found in the library."
            if found
            else "Nothing similar in the library."
        )

    def _show_hits(self) -> None:
        self.panel.show_hits([_row(hit) for hit in self.session.library.hits])

    def _go(self, number: int) -> None:
        """Go to a hit; open its scan if needed."""
        session, hit = self.session, self.session.library.hits[number]
        for scan in session.scans:
            if hit.is_in(scan.volume):
                session.activate(scan)
                session.cursor_mm = hit.position_mm
                return
        when_done(session.open(hit.path, hit.series), lambda: setattr(session, "cursor_mm", hit.position_mm))


def _row(hit: "LibraryHit") -> HitRow:
    text = f"{hit.name}   score {hit.score:.2f}   {place_text(hit.position_mm)}"
    return HitRow(text, None if hit.thumbnail is None else _png(hit.thumbnail))


def _png(gray: "NDArray[Any]") -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(gray).save(out, "PNG")
    return out.getvalue()
