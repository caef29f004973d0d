"""Clicks and regions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from psygnal import Signal

from ...model import threshold
from ...model.palette import NEGATIVE, POSITIVE
from ...model.places import place_text
from .base import Panel, button, note, row
from .windows import WindowsPanel

if TYPE_CHECKING:
    from coralbay_core.similarity import Region

    from ...model.clicks import Clicks

_SCOPES = [("Here", "here"), ("Everywhere", "everywhere"), ("This place", "place")]
_NONE = -1  # a menu shows nothing at all for an entry whose value is None
_WEIGHTS = [("equal", "equal"), ("automatic", "auto")]


class SimilarPanel(Panel):
    """Panel Similar: clicks, threshold, scales, best regions, second scan."""

    undo_wanted = Signal()
    redo_wanted = Signal()
    clear_wanted = Signal()
    body_fraction_chosen = Signal(float)
    region_chosen = Signal(int)
    weights_chosen = Signal(object)
    compare_chosen = Signal(object)
    scope_chosen = Signal(str)
    accept_wanted = Signal(str)

    def __init__(self, windows: WindowsPanel) -> None:
        self.clicks = note()
        self.undo = button("Undo", "Undo the last change of the prompts")
        self.redo = button("Redo", "Redo the last undone change")
        self.clear = button("Clear", "Remove all prompts")
        self.slider = w.IntSlider(0, min=0, max=threshold.SLIDER_STEPS, description="Threshold", readout=False)
        self.slider.tooltip = "Threshold of the heat map; further right: only the most similar places"
        self.threshold = note()
        self.weights = w.Dropdown(description="Scales")
        self.show_weights(None)
        self.scope = w.ToggleButtons(options=_SCOPES, style={"button_width": "110px"})
        self.scope.tooltip = "What a click asks for: the clicked structure, or what looks alike"
        self.name = w.Text(placeholder="name of a structure", layout=w.Layout(width="180px"))
        self.accept = button("Add to segmentation", "Make what is shown a class of the segmentation")
        self.regions = w.Select(options=[], rows=6, layout=w.Layout(width="330px"))
        self.regions.tooltip = "Most similar regions; select one to go there"
        heading = note(
            "<b>Best regions</b>: number, score, volume in ml, position in mm. Select one to go there."
            "<br>The volume does not depend on the threshold."
        )
        self.other = w.Dropdown(options=[("no other scan", _NONE)], description="Second scan")
        self.other.layout.display = "none"
        self.other.tooltip = "Show another open scan with the similarity to the same prompts"
        history = row(self.undo, self.redo, self.clear)
        adding = row(self.name, self.accept)
        left = w.VBox([self.scope, self.clicks, history, self.slider, self.threshold, self.weights, self.other, adding])
        # Closed, until somebody asks for it.
        self.windows = w.Accordion([windows.box], titles=("CT windows",), selected_index=None)
        super().__init__(
            w.HBox([left, w.VBox([heading, self.regions])], layout=w.Layout(flex_flow="row wrap")), self.windows
        )
        self._press(self.undo, self.undo_wanted)
        self._press(self.redo, self.redo_wanted)
        self._press(self.clear, self.clear_wanted)
        self.scope.observe(self._scope_chosen, "value")
        self.accept.on_click(lambda _: self.accept_wanted.emit(self.name.value.strip()))
        self.slider.observe(self._threshold_chosen, "value")
        self.weights.observe(self._weights_chosen, "value")
        self._wire(self.regions, self.region_chosen)
        self.other.observe(self._other_chosen, "value")

    def _other_chosen(self, change: dict[str, Any]) -> None:
        if not self._showing_state:
            self.compare_chosen.emit(None if change["new"] == _NONE else change["new"])

    def _scope_chosen(self, change: dict[str, Any]) -> None:
        if not self._showing_state:
            self.scope_chosen.emit(change["new"])

    def show_scope(self, scope: str) -> None:
        """Show what a click asks for."""
        with self.showing():
            self.scope.value = scope

    def _threshold_chosen(self, change: dict[str, Any]) -> None:
        if not self._showing_state:
            self.body_fraction_chosen.emit(threshold.fraction_at(change["new"]))

    def _weights_chosen(self, change: dict[str, Any]) -> None:
        if not self._showing_state and change["new"] in ("equal", "auto"):
            self.weights_chosen.emit(None if change["new"] == "equal" else "auto")

    def show_history(self, can_undo: bool, can_redo: bool) -> None:
        """Enable undo and redo."""
        self.undo.disabled, self.redo.disabled = not can_undo, not can_redo

    def show_clicks(self, clicks: "Clicks", ready: bool) -> None:
        """Show the number of clicks."""
        like, unlike = len(clicks.positive), len(clicks.negative)
        hint = "" if ready else " (compute features first)"
        dots = f"<b style='color:{POSITIVE}'>●</b> {like} positive, <b style='color:{NEGATIVE}'>●</b> {unlike} negative"
        self.clicks.value = dots + hint
        self.clear.disabled = not clicks

    def show_threshold(self, fraction: float, score: float | None) -> None:
        """Show the fraction of the body and, with a heat map, the score that belongs to it."""
        with self.showing():
            self.slider.value = threshold.slider_value(fraction)
        self.threshold.value = threshold.in_words(fraction, score)

    def show_weights(self, weights: Any) -> None:
        """Show the weights of the stages."""
        set_in_code = weights not in (None, "auto")
        with self.showing():
            self.weights.options = [*_WEIGHTS, ("set in code", "code")] if set_in_code else _WEIGHTS
            self.weights.value = "code" if set_in_code else weights or "equal"

    def show_regions(self, regions: "Sequence[Region]", known_axes: str = "RAS") -> None:
        """List the regions of the heat map."""
        lines = [
            f"{n + 1:2d}  {region.score:.2f}  {region.size_ml:6.0f} ml  {place_text(region.position_mm, known_axes)}"
            for n, region in enumerate(regions)
        ]
        with self.showing():
            self.regions.options = [(line, n) for n, line in enumerate(lines)]
            self.regions.value = None

    def show_others(self, others: Sequence[tuple[str, int]], chosen: int | None) -> None:
        """List the scans that can be compared."""
        with self.showing():
            self.other.options = [("no other scan", _NONE), *others]
            self.other.value = _NONE if chosen is None else chosen
        self.other.layout.display = "" if others else "none"
