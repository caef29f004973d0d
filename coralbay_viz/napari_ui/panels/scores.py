"""Maps of the certainty of a segmentation: probability of a class, or margin."""

from typing import Any

from qtpy.QtWidgets import QLabel

from ..context import Context
from .base import PanelBase, combo, fill

_NOTHING, _CHOSEN, _MARGIN = "nothing", "probability of the result", "uncertainty"


class ScoreMaps(PanelBase):
    """Choice of a certainty map, one at a time.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._classes: list[int] = []
        self._wanted: int | str = _NOTHING
        self.maps = combo("Draw the probability that the probe predicts, or its uncertainty")
        self.row(QLabel("Map of"), self.maps, stretch=1)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.maps.activated.connect(lambda number: self._choose(number))
        session = context.session
        context.connect(
            (session.scores_changed, self.show_state),
            (session.segmentation_changed, self.show_state),
            (session.scan_changed, self.show_state),
        )
        self.show_state()

    def _choices(self) -> list[int | str]:
        return [_NOTHING, _CHOSEN, _MARGIN, *self._classes]

    def _choose(self, number: int) -> None:
        self._wanted = self._choices()[number]
        self._context.binding.set_view(margin=self._wanted == _MARGIN)
        session = self._context.session
        if self._wanted == _NOTHING:
            self._context.notify_errors(session.hide_scores)()
        else:
            self._context.notify_errors(session.show_scores)(self._wanted if isinstance(self._wanted, int) else None)

    def show_state(self, _: Any = None) -> None:
        """Update the list of maps."""
        scan = self._context.session.scan
        probe = scan.probe if scan else None
        self._classes = list(probe.values) if probe else []
        if scan is None or scan.scores is None:
            self._wanted = _NOTHING
            self._context.binding.set_view(margin=False)
        elif self._context.binding.view.margin:  # the switch shows it, too
            self._wanted = _MARGIN
        names = {} if probe is None else probe.names
        texts = [f"probability: {names.get(value, f'label {value}')}" for value in self._classes]
        choices = self._choices()
        current = choices.index(self._wanted) if self._wanted in choices else 0
        fill(self.maps, [_NOTHING, _CHOSEN, _MARGIN, *texts], current)
        self.maps.setEnabled(probe is not None)
