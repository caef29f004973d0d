"""Synchronization of the scatter plot with the active scan and its slices."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .view import ScatterView

if TYPE_CHECKING:
    from coralbay_core.projection import Scatter

    from ..model.scan import Scan
    from ..session import Session

_GRAY = 170


class ScatterBinding:
    """Scatter plot of the active scan in a view.

    Parameters
    ----------
    session : Session
    view : ScatterView
    """

    def __init__(self, session: "Session", view: ScatterView) -> None:
        self.session, self.view = session, view
        self._links = (
            (session.scatter_changed, self._show_if_active),
            (session.scan_changed, lambda scan: self.show()),
            (session.pca_changed, self._color_if_active),
            (session.selection_changed, self._choose_if_active),
        )
        for signal, slot in self._links:
            signal.connect(slot)
        view.layout.display = "none" if self.points is None else ""

    def close(self) -> None:
        """Disconnect from the session."""
        for signal, slot in self._links:
            signal.disconnect(slot)

    @property
    def points(self) -> "Scatter | None":
        """Displayed points."""
        return self.session.scan and self.session.scan.scatter

    def show(self) -> None:
        """Send all points of the active scan, if there are any."""
        points = self.points
        self.view.layout.display = "none" if points is None else ""
        if points is None:
            self.view.show_points(np.zeros((1, 2), np.float32), np.zeros((1, 3), np.uint8))
            return
        self.view.show_points(points.points, self._colors(points))
        self._choose_if_active(self.session.scan)

    def show_place(self, position_mm: Any) -> None:
        """Mark the point of a position in the patient, if it has one."""
        points = self.points
        if points is None:
            return
        number = points.point_at(position_mm)
        self.view.show_place(None if number is None else points.points[number].tolist())

    def _active(self, scan: "Scan | None") -> bool:
        return scan is self.session.scan and self.points is not None

    def _show_if_active(self, scan: "Scan") -> None:
        if self._active(scan):
            self.show()

    def _color_if_active(self, scan: "Scan") -> None:
        if self._active(scan):
            self.view.show_colors(self._colors(self.points))

    def _choose_if_active(self, scan: "Scan | None") -> None:
        if not self._active(scan):
            return
        points, cells = self.points, scan.selection
        whole = cells is None or cells.shape != points.inside.shape
        self.view.show_chosen(None if whole else cells[points.inside])

    def _colors(self, points: "Scatter") -> NDArray[np.uint8]:
        """Return the color of each point's cell in the slices."""
        pca = self.session.scan.pca
        if pca is None or pca.rgb.components.shape[1:] != points.inside.shape:
            return np.full((len(points.points), 3), _GRAY, np.uint8)
        shown = pca.rgb.components[:, points.inside].T
        return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
