"""Signs of clicks: the icons of positive and negative, and the switch between them."""

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QWidget

from ...model.palette import NEGATIVE, POSITIVE
from ..actions import with_key
from ..context import Context
from .base import button

_SIZE, _SHARPNESS = 16, 2  # pixels, and drawn ones per pixel


class SignSwitch(QWidget):
    """Two buttons, of which one is down: whether the next click is positive or negative.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._tools = context.tools
        self.positive = button(
            "", with_key("Positive prompts: find what looks like this", "toggle_sign"), checkable=True
        )
        self.negative = button(
            "",
            with_key("Negative prompts: exclude what looks like this; also Shift or the right button", "toggle_sign"),
            checkable=True,
        )
        group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for made, negative in ((self.positive, False), (self.negative, True)):
            made.setIcon(sign_icon(negative))
            made.setIconSize(QSize(_SIZE, _SIZE))
            made.setFixedWidth(30)
            made.clicked.connect(lambda *_, negative=negative: setattr(self._tools, "negative", negative))
            group.addButton(made)
            row.addWidget(made)
        context.connect((context.tools.negative_changed, self._show))
        self._show(context.tools.negative)

    def _show(self, negative: bool) -> None:
        (self.negative if negative else self.positive).setChecked(True)


def sign_icon(negative: bool, side: int = _SIZE * _SHARPNESS) -> QIcon:
    """Return a disc in the color of positive or negative clicks, with a plus or a minus, `side` pixels high."""
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(NEGATIVE if negative else POSITIVE))
    painter.drawEllipse(1, 1, side - 2, side - 2)
    painter.setPen(QPen(QColor("black"), side / 8))
    middle, arm = side // 2, side // 4
    painter.drawLine(middle - arm, middle, middle + arm, middle)
    if not negative:
        painter.drawLine(middle, middle - arm, middle, middle + arm)
    painter.end()
    return plain_icon(picture)


def plain_icon(picture: QPixmap) -> QIcon:
    """Return an icon that looks the same in a selected row, where Qt would tint it."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)
    return icon
