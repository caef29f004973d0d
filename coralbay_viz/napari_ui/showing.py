"""What is drawn over the active scan: read from its layers, and set by the switch and its keys."""

from typing import TYPE_CHECKING

from psygnal import Signal

from ..display import visibility
from ..display.visibility import Shown

if TYPE_CHECKING:
    from ..model.scan import Scan
    from .context import Context


class Showing:
    """One colored result at a time over the active scan.

    Parameters
    ----------
    context : Context
    """

    changed = Signal()

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._before: frozenset[str] = frozenset()  # roles that `toggle` hid
        self._awaits_uncertainty = False
        session, layers = context.session, context.viewer.layers
        context.connect(
            (context.binding.visibility_changed, self._tell),
            (context.binding.activated, self._tell),
            (session.features_changed, self._tell),
            (session.heat_changed, self._tell),
            (session.segmentation_changed, self._tell),
            (session.scores_changed, self._scores_changed),
            (layers.events.inserted, self._tell),
            (layers.events.removed, self._tell),
        )

    @property
    def current(self) -> Shown | None:
        """What is drawn over the active scan; None for a mixture that somebody made in the layer list."""
        return visibility.shown_by(self._seen())

    def choose(self, what: Shown) -> None:
        """Show one thing in place of other colors; compute it if needed."""
        session = self._context.session
        self._awaits_uncertainty = what == "uncertainty"
        session.overlays.request(what)
        for role in visibility.SHOWN[what]:
            self._context.binding.ask_for(role)
        if self._awaits_uncertainty and session.scan.scores is not None:
            self._show_uncertainty()
        for role in visibility.SHOWN[what]:
            self._context.binding.reveal(role)  # a result that is still computed takes its place later
        self._show(*visibility.roles_shown(what))

    def toggle(self) -> None:
        """Hide all colors, or show again what was hidden."""
        seen = self._seen() & visibility.ALL_COLORED
        if seen:
            self._before = visibility.with_marks(seen)
            self._show(frozenset(), self._before)
        else:
            self._show(self._before or visibility.roles_shown(self._first())[0], frozenset())

    def show_next(self) -> None:
        """Show the next of the results that there are."""
        there = self._context.session.overlays.available()
        now = self.current
        self.choose(there[(there.index(now) + 1) % len(there)] if now in there else there[0])

    def _first(self) -> Shown:
        """Return the first thing that there is to show."""
        return next((what for what in self._context.session.overlays.available() if what != "nothing"), "nothing")

    def _seen(self) -> frozenset[str]:
        scan = self._context.session.scan
        return frozenset() if scan is None else self._context.binding.seen(scan)

    def _show(self, shown: frozenset[str], hidden: frozenset[str]) -> None:
        for roles, visible in ((hidden, False), (shown, True)):
            for role in roles:
                self._context.binding.set_visible(role, visible)

    def _scores_changed(self, scan: "Scan") -> None:
        if scan is self._context.session.scan and scan.scores is not None and self._awaits_uncertainty:
            self._show_uncertainty()
        self._tell()

    def _show_uncertainty(self) -> None:
        """Draw the uncertainty and no probability of a class."""
        self._awaits_uncertainty = False
        self._context.binding.set_view(margin=True)

    def _tell(self, _: object = None) -> None:
        self.changed.emit()
