"""A library of scans, and the hits of a search in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as w
from psygnal import Signal

from .base import Panel, button, check, note, row

_PICTURE = "56px"


@dataclass(frozen=True)
class HitRow:
    """One hit: its text, and its thumbnail as PNG, if there is one."""

    text: str
    png: bytes | None


class LibraryPanel(Panel):
    """Panel Library: search of many scans for places similar to the clicks."""

    open_wanted = Signal(str)
    add_wanted = Signal(bool)
    search_wanted = Signal()
    hit_chosen = Signal(int)

    def __init__(self) -> None:
        self.path = w.Text(placeholder="folder of a library, or a new one", layout=w.Layout(width="340px"))
        self.open = button("Open library", "Open a folder; an empty one becomes a library when a scan is added")
        self.add = button("Add this scan", "Add compressed features of this scan to the library")
        self.names = check(False, "Store its name")
        self.names.tooltip = (
            "Store name and path of the scan in the library. They often name a patient; without them only this machine "
            "has them."
        )
        self.search = button("Search the library", "Search the other scans of the library with these prompts")
        self.about = note()
        self.hits = w.VBox()
        super().__init__(row(self.path, self.open), row(self.add, self.names, self.search), self.about, self.hits)
        self.open.on_click(lambda _: self.path.value.strip() and self.open_wanted.emit(self.path.value.strip()))
        self.add.on_click(lambda _: self.add_wanted.emit(self.names.value))
        self._press(self.search, self.search_wanted)

    def show_state(self, about: str, *, can_add: bool, can_search: bool) -> None:
        """Show the library, and what can be done with it."""
        self.about.value = about
        self.add.disabled, self.search.disabled = not can_add, not can_search

    def show_hits(self, hits: Sequence[HitRow]) -> None:
        """List hits; each is a button that opens its scan there."""
        old, self.hits.children = self.hits.children, tuple(self._row(number, hit) for number, hit in enumerate(hits))
        for line in old:
            line.close()

    def _row(self, number: int, hit: HitRow) -> w.HBox:
        go = button(hit.text, "Open its scan at this place")
        self._press(go, self.hit_chosen, number)
        size = w.Layout(width=_PICTURE, height=_PICTURE)
        return row(*([] if hit.png is None else [w.Image(value=hit.png, format="png", layout=size)]), go)
