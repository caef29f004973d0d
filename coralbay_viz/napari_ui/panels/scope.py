"""What a click asks for: everywhere, here or this place; and the parts of the answer *here*."""

from dataclasses import replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QInputDialog, QLabel, QSlider, QWidget

from ..actions import with_key
from ..context import Context
from .base import CollapsibleBox, PanelBase, button

SCOPES = {
    "here": ("Here", "Show the structure that you click: shift-click takes parts away"),
    "everywhere": ("Everywhere", "Show what looks alike in the whole scan, on both sides of the body"),
    "place": ("This place", "Show what looks alike near the click; in a second scan, near the same place"),
}
_PARTS = {
    "connectivity": ("Connection", "How much borders between organs count"),
    "intensity": ("HU", "How much the HU at the prompt count"),
    "look": ("Similarity", "How much similarity to the prompt counts"),
    "place": ("Distance", "How much the distance from the prompt counts"),
}
_MOST = 3.0
"""Weight at the right end of a slider."""


class ScopeChooser(PanelBase):
    """Buttons for the scope of a click, sliders of its parts, and *Add to segmentation*.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.buttons = {scope: button(text, tip, checkable=True) for scope, (text, tip) in SCOPES.items()}
        self.row(*self.buttons.values())
        group = QButtonGroup(self)
        for scope, made in self.buttons.items():
            group.addButton(made)
            made.clicked.connect(context.notify_errors(lambda *_, scope=scope: self._choose(scope)))
        self.parts: dict[str, QSlider] = {}
        self.box = CollapsibleBox("Weights", "How much each part of the similarity counts", self._sliders())
        self.rows.addWidget(self.box)
        self.accept = button(
            "Add to segmentation…", with_key("Make what is shown a class of the segmentation", "add_region")
        )
        self.undo_accept = button("Take back", "Remove the region that was added last")
        self.row(self.accept, self.undo_accept)
        self.accept.clicked.connect(lambda *_: self.add_to_segmentation())
        self.undo_accept.clicked.connect(context.notify_errors(lambda *_: context.session.undo_accept()))
        session = context.session
        context.connect(
            (session.weights_changed, self.show_state),
            (session.scan_changed, self.show_state),
            (session.heat_changed, self.show_state),
            (session.protection_changed, self.show_state),
        )
        self.show_state()

    def _sliders(self) -> QWidget:
        made = QWidget()
        grid = QGridLayout(made)
        grid.setContentsMargins(8, 0, 0, 0)
        for row, (name, (text, tip)) in enumerate(_PARTS.items()):
            slider = QSlider(Qt.Orientation.Horizontal)
            slider.setRange(0, 100)
            slider.setToolTip(tip)
            slider.valueChanged.connect(self._context.notify_errors(self._mix))
            self.parts[name] = slider
            grid.addWidget(QLabel(text), row, 0)
            grid.addWidget(slider, row, 1)
        return made

    def _choose(self, scope: str) -> None:
        self._context.session.scope = scope

    def _mix(self, _: int) -> None:
        weights = {name: _MOST * slider.value() / 100 for name, slider in self.parts.items()}
        if any(weights.values()):
            self._context.session.here_weights = replace(self._context.session.here_weights, **weights)
        else:  # no part at all is refused: show those that still apply
            self.show_state()

    def add_to_segmentation(self) -> None:
        """Ask for a class, and add the shown region to it."""
        session = self._context.session
        if session.heat is None:
            self._context.notify("No region yet: click in the scan first.")
            return
        known = session.controllers.segmentation.class_names(session.scan) if session.scan else {}
        names = [f"structure {max(known, default=1) + 1}", *filter(None, known.values())]
        name, go = QInputDialog.getItem(self, "Add to the segmentation", "Class:", names, 0, True)
        if go and name.strip():
            self._context.notify_errors(session.accept_region)(name=name.strip())
            self._context.binding.reveal("segmentation")

    def show_state(self, _: Any = None) -> None:
        """Update all widgets."""
        session = self._context.session
        self.buttons[session.scope].setChecked(True)
        self.box.setVisible(session.scope == "here")
        for name, slider in self.parts.items():
            with QSignalBlocker(slider):
                slider.setValue(round(100 * min(1.0, getattr(session.here_weights, name) / _MOST)))
        self.accept.setEnabled(session.heat is not None and not session.heat.partial)
        self.undo_accept.setVisible(bool(session.scan and session.scan.before_accepting))
