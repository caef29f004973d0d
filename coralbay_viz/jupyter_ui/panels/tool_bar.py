"""The bar above the views: tool of the mouse, gray scale, and layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as w
from psygnal import Signal

from ...model.palette import DEFAULT_WINDOW, WINDOWS
from .base import Panel, row

_CUSTOM = "Custom"


class ToolBar(Panel):
    """Tool of the mouse, gray scale, and visible layers."""

    tool_chosen = Signal(str)
    window_chosen = Signal(str)
    layer_toggled = Signal(str, bool)

    _TOOLS = (("Look", "look"), ("Pick", "ask"), ("Paint", "paint"), ("Erase", "erase"))
    _TIPS = (
        "Click and drag: move the crosshair",
        "Click: find similar places. Shift-click or Alt-click: negative prompt",
        "Drag: paint voxels of a class",
        "Drag: erase painted voxels",
    )
    _LAYERS = (
        ("heat", "Similar"), ("pca", "Colors"), ("segmentation", "Labels"), ("strokes", "Strokes"),
        ("windows", "Windows"), ("training_pca", "Train"),
    )  # fmt: skip

    def __init__(self) -> None:
        self.tools = w.ToggleButtons(options=self._TOOLS, tooltips=self._TIPS, style={"button_width": "58px"})
        self.windows = w.Dropdown(options=[*WINDOWS, _CUSTOM], value=DEFAULT_WINDOW, layout=w.Layout(width="120px"))
        self.windows.tooltip = "Window/level preset; drag with the right button to adjust"
        self.layers = {
            role: w.ToggleButton(True, description=text, tooltip=f"Show layer {text}", layout=w.Layout(width="84px"))
            for role, text in self._LAYERS
        }
        super().__init__(row(self.tools, self.windows, *self.layers.values()))
        self._wire(self.tools, self.tool_chosen)
        self.windows.observe(self._window_chosen, "value")
        for role, toggle in self.layers.items():
            toggle.observe(lambda change, role=role: self._toggled(role, change["new"]), "value")

    def _window_chosen(self, change: dict[str, Any]) -> None:
        if not self._showing_state and change["new"] != _CUSTOM:
            self.window_chosen.emit(change["new"])

    def _toggled(self, role: str, shown: bool) -> None:
        if not self._showing_state:
            self.layer_toggled.emit(role, shown)

    def show_tool(self, tool: str) -> None:
        """Select a tool."""
        with self.showing():
            self.tools.value = tool

    def show_window(self, level: float, width: float) -> None:
        """Select a CT window by level and width, HU."""
        names = [name for name, window in WINDOWS.items() if (window.level_hu, window.width_hu) == (level, width)]
        with self.showing():
            self.windows.value = names[0] if names else _CUSTOM

    def show_optional(self, there: Mapping[str, bool]) -> None:
        """Offer the switches of these layers if there is such a layer."""
        for role, offered in there.items():
            self.layers[role].layout.display = "" if offered else "none"

    def show_layers(self, hidden: Sequence[str]) -> None:
        """Show the layers as switched on, except for the hidden ones."""
        with self.showing():
            for role, toggle in self.layers.items():
                toggle.value = role not in hidden
