"""Switch between the results that are drawn over the scan."""

from qtpy.QtWidgets import QButtonGroup, QSizePolicy

from ...display.visibility import SHOWN, Shown
from ..context import Context
from ..showing import Showing
from .base import PanelBase, button

_TIPS: dict[Shown, str] = {
    "nothing": "The scan alone; prompts and strokes stay",
    "similarity": "Similarity to the prompts, and the most similar regions",
    "colors": "Colors of the features: similar tissue has similar colors",
    "segmentation": "Segmentation that the probe predicts",
    "uncertainty": "Uncertainty of the probe: high where two classes are about equally likely",
}


class ShowSwitch(PanelBase):
    """One button per result; the pressed one is drawn over the scan.

    Parameters
    ----------
    context : Context
    showing : Showing
    """

    def __init__(self, context: Context, showing: Showing) -> None:
        super().__init__("Show")
        self._context, self._showing = context, showing
        self.setObjectName("coralbay_switch")
        self.buttons = {what: button(what.capitalize(), tip, checkable=True) for what, tip in _TIPS.items()}
        self.row(*self.buttons.values()).setSpacing(1)
        self._group = QButtonGroup(self)
        for what, made in self.buttons.items():
            made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
            self._group.addButton(made)
            made.clicked.connect(context.notify_errors(lambda *_, what=what: self._choose(what)))
        context.connect((showing.changed, self.show_state))
        self.show_state()

    def _choose(self, what: Shown) -> None:
        try:
            self._showing.choose(what)
        finally:
            self.show_state()

    def show_state(self) -> None:
        """Press the button of what is drawn, and none for a mixture."""
        current, overlays = self._showing.current, self._context.session.overlays
        self.setVisible(self._context.session.scan is not None)
        self._group.setExclusive(False)
        for what in SHOWN:
            reason = overlays.reason_against(what)
            made = self.buttons[what]
            made.setChecked(what == current)
            made.setEnabled(not reason)
            keys = "" if what == "nothing" else "\nH hides and shows it, Shift-H shows the next result"
            made.setToolTip(f"{_TIPS[what]}\nNot yet: {reason}" if reason else _TIPS[what] + keys)
        self._group.setExclusive(True)
