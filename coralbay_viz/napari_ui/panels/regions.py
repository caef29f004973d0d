"""Table of the most similar regions: pictures, places, and answers that become clicks."""

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, QSize
from qtpy.QtGui import QIcon, QImage, QPalette, QPixmap
from qtpy.QtWidgets import QTreeWidgetItem

from ...model.places import place_text
from ...model.thumbnails import thumbnail
from ..actions import with_key
from ..context import Context
from ..delayed_call import call_later
from .base import PanelBase, fill_table, table
from .signs import plain_icon, sign_icon

if TYPE_CHECKING:
    from coralbay_core.similarity import Region

_PICTURE, _, _, _, _ACCEPT, _REFUSE = range(6)
_SIDE_PX, _SIGN_PX, _WIDTH_MM = 40, 20, 72.0
_HEIGHT_PX = 210
_TIPS = "Accept: a positive prompt here", "Not this: a negative prompt here"
_ABOUT = (
    "Most similar regions. Select a row to go there. The size does not depend on the threshold; gray regions are below "
    "the threshold."
)


class RegionTable(PanelBase):
    """The best regions of the heat map of the active scan.

    *Accept* and *not this* of a row add a positive and a negative click at its region.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._listed: tuple[Region, ...] = ()
        self._least: float | None = None  # score from which on regions are not gray
        self._icons = sign_icon(False, _SIGN_PX), sign_icon(True, _SIGN_PX)
        self.tree = table(with_key(_ABOUT, "next_region"), ["", "Score", "Size", "Place (mm)", "", ""], _HEIGHT_PX)
        self.tree.setIconSize(QSize(_SIDE_PX, _SIDE_PX))
        self.tree.header().setStretchLastSection(False)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.addWidget(self.tree)
        self.tree.currentItemChanged.connect(lambda *_: self._go())
        self.tree.itemClicked.connect(lambda item, column: self._answer(item, column))
        context.connect((context.viewer.events.theme, self._theme_changed))

    # User actions

    def go_on(self) -> None:
        """Select the next region, after the last the first."""
        count = self.tree.topLevelItemCount()
        if count:
            now = self.tree.indexOfTopLevelItem(self.tree.currentItem())
            self.tree.setCurrentItem(self.tree.topLevelItem((now + 1) % count))

    def _go(self) -> None:
        number = self.tree.indexOfTopLevelItem(self.tree.currentItem())
        heat = self._context.session.heat
        if heat is not None and 0 <= number < len(heat.regions):
            self._context.session.mark(number)
            self._context.binding.go_to(heat.regions[number].position_mm)

    def _answer(self, item: QTreeWidgetItem, column: int) -> None:
        if column in (_ACCEPT, _REFUSE):
            number = self.tree.indexOfTopLevelItem(item)
            self._context.notify_errors(self._context.session.click_region)(number, column == _REFUSE)

    # Display

    def show_state(self) -> None:
        """Update the table; its rows stay while the regions are the same."""
        session = self._context.session
        scan, heat = session.scan, session.heat
        regions = heat.regions if heat else ()
        if regions is not self._listed:
            self._listed = regions
            pictures = [thumbnail(scan.volume, region.position_mm, _WIDTH_MM) for region in regions]
            fill_table(
                self.tree,
                [region_cells(number, region, scan.volume.known_axes) for number, region in enumerate(regions, 1)],
            )
            with QSignalBlocker(self.tree):
                for number, picture in enumerate(pictures):
                    self._illustrate(self.tree.topLevelItem(number), picture)
            for column in range(self.tree.columnCount()):
                self.tree.resizeColumnToContents(column)
        self.tree.setVisible(bool(regions))

    def _illustrate(self, item: QTreeWidgetItem, picture: np.ndarray) -> None:
        item.setIcon(_PICTURE, gray_icon(picture))
        for column, icon, tip in zip(
            (_ACCEPT, _REFUSE),
            self._icons,
            _TIPS,
            strict=True,
        ):
            item.setIcon(column, icon)
            item.setToolTip(column, tip)

    def show_threshold(self, score: float | None) -> None:
        """Gray out the regions below a score."""
        self._least = score
        regions = self._listed if score is not None else ()
        for number, region in enumerate(regions[: self.tree.topLevelItemCount()]):
            group = QPalette.ColorGroup.Normal if region.score >= score else QPalette.ColorGroup.Disabled
            brush = self.tree.palette().brush(group, QPalette.ColorRole.Text)
            for column in range(self.tree.columnCount()):
                self.tree.topLevelItem(number).setForeground(column, brush)

    def _theme_changed(self, event: Any = None) -> None:
        """Color the rows again; the colors of the theme are set after the event."""
        call_later(self, 0, lambda: self.show_threshold(self._least))


def gray_icon(pixels: np.ndarray) -> QIcon:
    """Return an icon of a gray picture (y, x), uint8."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape
    image = QImage(pixels.data, width, height, width, QImage.Format.Format_Grayscale8).copy()
    return plain_icon(QPixmap.fromImage(image))


def region_cells(number: int, region: "Region", known_axes: str) -> list[str]:
    """Format a region as table cells."""
    size = f"{region.size_ml:.0f} ml" if region.size_ml >= 10 else f"{region.size_ml:.1f} ml"
    return [str(number), f"{region.score:.2f}", size, place_text(region.position_mm, known_axes), "", ""]
