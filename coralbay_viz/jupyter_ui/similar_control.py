"""Controller of the panel Similar: clicks and similar places, in the active and the second scan."""

from typing import TYPE_CHECKING, Any

from ..model.scan import unique_names
from .control import Control
from .panels.similar import SimilarPanel
from .panels.windows import WindowsPanel
from .views_control import ViewsControl

if TYPE_CHECKING:
    from ..model.scan import Scan


class SimilarControl(Control):
    """Controller of similar places, and of clicks in the view."""

    def __init__(self, views: ViewsControl, windows: WindowsPanel, *wires: Any) -> None:
        super().__init__(*wires)
        session, self.views = self.session, views
        self.panel = panel = SimilarPanel(windows)
        self.on_request(views.view.picked, self._picked)
        self.on_request(panel.undo_wanted, session.undo)
        self.on_request(panel.redo_wanted, session.redo)
        self.on_request(panel.clear_wanted, session.clear_clicks)
        self.on_request(panel.body_fraction_chosen, lambda fraction: setattr(session, "body_fraction", fraction))
        self.on_request(panel.weights_chosen, lambda weights: setattr(session, "weights", weights))
        self.on_request(panel.scope_chosen, lambda scope: setattr(session, "scope", scope))
        self.on_request(panel.accept_wanted, self._accept)
        self.on_request(panel.region_chosen, self._go_to_region)
        self.on_request(panel.compare_chosen, self._compare)
        for signal in (session.scan_changed, session.clicks_changed, session.heat_changed, session.features_changed):
            self.on_event(signal, self.show)
        self.on_event(session.scan_added, self.show)
        self.on_event(session.scan_removed, self.show)
        self.on_event(session.clicks_changed, self._say_clicks)
        self.on_event(session.heat_changed, self._say_answer)
        self.on_event(session.body_fraction_changed, self._show_threshold)
        self.on_event(session.weights_changed, panel.show_weights)
        self.on_event(session.weights_changed, lambda _: panel.show_scope(session.scope))

    def show(self, scan: "Scan | None" = None) -> None:
        """Update the panel."""
        session = self.session
        history = session.scan and session.scan.clicks
        self.panel.show_clicks(session.clicks, session.features is not None)
        self.panel.show_scope(session.scope)
        self.panel.show_history(bool(history and history.can_undo), bool(history and history.can_redo))
        known = session.volume.known_axes if session.volume is not None else ""
        self.panel.show_regions(session.heat.regions if session.heat else (), known)
        self._show_threshold(session.body_fraction)
        self.show_others()

    def _show_threshold(self, fraction: float) -> None:
        self.panel.show_threshold(fraction, self.session.threshold)

    def show_others(self) -> None:
        """Update the list of possible second scans."""
        scans = self.session.scans
        names = unique_names(scans)
        others = [(f"{n + 1}: {names[n]}", n) for n, scan in enumerate(scans) if scan is not self.session.scan]
        second = self.views.second_binding and self.views.second_binding.scan
        self.panel.show_others(others, scans.index(second) if second in scans else None)

    def _picked(self, position_mm: list[float], negative: bool) -> None:
        # The edge of a picture lies half a voxel beyond the last center.
        place = self.views.binding.inside(position_mm)
        job = self.session.click(place, negative)
        self.views.go_to(place)
        self.views.reveal_result(job, "heat")

    def _accept(self, name: str) -> None:
        self.views.reveal_result(self.session.accept_region(name=name), "segmentation")

    def _go_to_region(self, number: int | None) -> None:
        if number is not None:
            self.session.mark(number)

    def _compare(self, number: int | None) -> None:
        scan = None if number is None else self.session.scans[number]
        try:
            self.views.compare(scan)
        finally:
            self.show_others()
        name = self.views.second_view.title
        if scan is None:
            self._status.say("Second scan closed.")
        elif scan.features is None:
            self._status.say(f"Second scan: {name}. For its heat map, select it (tab Scan) and compute features.")
        else:
            self._status.say(f"Second scan: {name}, with the similarity to the same prompts.")

    def _say_clicks(self, scan: "Scan") -> None:
        if scan is not self.session.scan:
            return
        if not scan.clicks.now:
            self._status.say("No prompts.")
        elif scan.features is None:
            self._status.show_next_step("Prompt kept.")

    def _say_answer(self, scan: "Scan") -> None:
        heat = scan.heat
        if scan is self.session.scan and heat is not None and not heat.partial:
            like, unlike, found = len(heat.clicks.positive), len(heat.clicks.negative), len(heat.regions)
            regions = f"{found} region{'' if found == 1 else 's'}"
            self._status.say(f"{like} positive, {unlike} negative: {regions}, see tab Similar.")
