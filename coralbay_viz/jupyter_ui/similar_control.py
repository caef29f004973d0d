"""Clicks and what they light up, in the active scan and in another one."""

from typing import TYPE_CHECKING, Any

from ..model.scan import unique_names
from .control import Control
from .panels.similar import SimilarPanel
from .views_control import ViewsControl

if TYPE_CHECKING:
    from ..model.scan import Scan


class SimilarControl(Control):
    """The panel of similar places, and clicks in the view."""

    def __init__(self, views: ViewsControl, *wires: Any) -> None:
        super().__init__(*wires)
        session, self.views = self.session, views
        self.panel = panel = SimilarPanel(session.body_fraction)
        self.obey(views.view.picked, self._picked)
        self.obey(panel.undo_wanted, session.undo)
        self.obey(panel.redo_wanted, session.redo)
        self.obey(panel.clear_wanted, session.clear_clicks)
        self.obey(panel.share_chosen, lambda share: setattr(session, "share", share))
        self.obey(panel.weights_chosen, lambda weights: setattr(session, "weights", weights))
        self.obey(panel.region_chosen, self._go_to_region)
        self.obey(panel.compare_chosen, self._compare)
        for signal in (session.scan_changed, session.clicks_changed, session.heat_changed, session.features_changed):
            self.hear(signal, self.show)
        self.hear(session.scan_added, self.show)
        self.hear(session.scan_removed, self.show)
        self.hear(session.clicks_changed, self._say_clicks)
        self.hear(session.heat_changed, self._say_answer)
        self.hear(session.body_fraction_changed, panel.show_share)
        self.hear(session.weights_changed, panel.show_weights)

    def show(self, scan: "Scan | None" = None) -> None:
        """All that there is."""
        session = self.session
        history = session.scan and session.scan.clicks
        self.panel.show_clicks(session.clicks, session.features is not None)
        self.panel.show_history(bool(history and history.can_undo), bool(history and history.can_redo))
        self.panel.show_regions(session.heat.regions if session.heat else ())
        self.show_others()

    def show_others(self) -> None:
        """The scans that could stand beside the active one."""
        scans = self.session.scans
        names = unique_names(scans)
        others = [(f"{n + 1}: {names[n]}", n) for n, scan in enumerate(scans) if scan is not self.session.scan]
        beside = self.views.beside and self.views.beside.scan
        self.panel.show_others(others, scans.index(beside) if beside in scans else None)

    def _picked(self, position_mm: list[float], negative: bool) -> None:
        # The edge of a picture lies half a voxel beyond the last centre.
        place = self.views.binding.inside(position_mm)
        job = self.session.click(place, negative)
        self.views.go_to(place)
        self.views.reveal_result(job, "heat")

    def _go_to_region(self, number: int | None) -> None:
        if number is not None:
            self.session.mark(number)

    def _compare(self, number: int | None) -> None:
        scan = None if number is None else self.session.scans[number]
        try:
            self.views.compare(scan)
        finally:
            self.show_others()
        name = self.views.beside_view.title
        if scan is None:
            self._status.say("No scan beside this one.")
        elif scan.features is None:
            self._status.say(f"{name} stands beside; to ask there, too, choose it (Scan) and compute its features.")
        else:
            self._status.say(f"{name} stands beside, lit up by the clicks here.")

    def _say_clicks(self, scan: "Scan") -> None:
        if scan is not self.session.scan:
            return
        if not scan.clicks.now:
            self._status.say("No clicks.")
        elif scan.features is None:
            self._status.show_next_step("The click is kept.")

    def _say_answer(self, scan: "Scan") -> None:
        heat = scan.heat
        if scan is self.session.scan and heat is not None and not heat.partial:
            like, unlike, found = len(heat.clicks.positive), len(heat.clicks.negative), len(heat.regions)
            regions = f"{found} region{'' if found == 1 else 's'}"
            self._status.say(f"{like} alike, {unlike} unlike: {regions} listed below, under Similar.")
