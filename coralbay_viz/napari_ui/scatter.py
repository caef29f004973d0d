"""Scatter plot of many points with zoom, pan, lasso, hover and click."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from .raster import View, argb, dimmed, rasterize, view_of

_PLAIN = "#8fb8de"
_LASSO = "#ffd54f"
_MARK_PX = 6
_NEAR_PX = 12.0
_STILL_PX = 4
_ZOOM = 1.0015


class ScatterCanvas(QWidget):
    """Scatter plot: left drag for a lasso, right or middle drag to pan, wheel to zoom, double click to show all.

    Attributes
    ----------
    lassoed : Signal
        (M, 2) array, the corners of a polygon in the plane.
    clicked, hovered : Signal
        Number of the point under the mouse; for `hovered` also None where there is none.
    """

    lassoed = Signal(object)
    clicked = Signal(int)
    hovered = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(220, 200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._points = np.zeros((0, 2), np.float32)
        self._order = np.zeros(0, np.intp)
        self._colors = np.zeros(0, np.uint32)
        self._shuffled, self._drawn = self._points, self._colors
        self._chosen: NDArray[np.bool_] | None = None
        self._marked: int | None = None
        self._view: View | None = None
        self._picture: NDArray[np.uint32] | None = None
        self._lasso: list[QPointF] = []
        self._pressed: QPointF | None = None
        self._panned_from: QPointF | None = None

    # Display

    def set_points(self, points: NDArray[np.float32]) -> None:
        """Replace the points (N, 2) and show all of them."""
        self._points = np.ascontiguousarray(points, np.float32)
        self._order = np.random.default_rng(0).permutation(len(points))
        self._chosen = self._marked = self._view = None
        self.set_colors(np.broadcast_to(np.array(QColor(_PLAIN).getRgb()[:3], np.uint8), (len(points), 3)))

    def set_colors(self, rgb: NDArray[np.uint8]) -> None:
        """Set the color of each point, (N, 3)."""
        self._colors = argb(rgb)
        self._redraw()

    def choose(self, chosen: NDArray[np.bool_] | None) -> None:
        """Fade all points but the selected ones (N,); None fades none."""
        self._chosen = chosen
        self._redraw()

    def mark(self, number: int | None) -> None:
        """Mark a point with a ring."""
        if number != self._marked:
            self._marked = number
            self.update()

    @property
    def marked(self) -> int | None:
        """Number of the marked point."""
        return self._marked

    @property
    def view(self) -> View:
        """Visible part of the plane."""
        if self._view is None:
            self._view = view_of(self._points, self._size)
        return self._view

    def pixel_of(self, number: int) -> NDArray:
        """Return the pixel of a point, x and y."""
        return self.view.pixels(self._points[number : number + 1], self._size)[0]

    @property
    def _size(self) -> tuple[int, int]:
        return max(1, self.width()), max(1, self.height())

    def _redraw(self) -> None:
        drawn = self._colors if self._chosen is None else dimmed(self._colors, self._chosen)
        self._drawn = drawn[self._order]
        self._shuffled = self._points[self._order]
        if self._chosen is not None:  # what is chosen lies over what is not
            last = np.argsort(self._chosen[self._order], kind="stable")
            self._drawn, self._shuffled = self._drawn[last], self._shuffled[last]
        self._picture = None
        self.update()

    def _look(self, view: View) -> None:
        self._view, self._picture = view, None
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw points, lasso and mark."""
        width, height = self._size
        if self._picture is None:
            self._picture = rasterize(self._shuffled, self._drawn, self.view, (width, height))
        painter = QPainter(self)
        image = QImage(self._picture.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        painter.drawImage(0, 0, image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._lasso:
            painter.setPen(QPen(QColor(_LASSO), 1.5))
            painter.drawPolyline(QPolygonF(self._lasso))
        if self._marked is not None:
            x, y = (float(v) for v in self.pixel_of(self._marked))
            ring = QRectF(x - _MARK_PX, y - _MARK_PX, 2 * _MARK_PX, 2 * _MARK_PX)
            for color, width in (("black", 4), (_LASSO, 2)):
                painter.setPen(QPen(QColor(color), width))
                painter.drawEllipse(ring)
        painter.end()

    def resizeEvent(self, event: Any) -> None:
        """Keep the visible part of the plane."""
        self._picture = None
        if self._view is not None:
            old = (event.oldSize().width(), event.oldSize().height())
            if min(old) > 0:
                self._view = replace(self._view, scale=self._view.scale * min(self._size) / min(old))

    # Mouse events

    def mousePressEvent(self, event: Any) -> None:
        """Start a lasso or a pan."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._lasso = event.position(), [event.position()]
        elif event.button() in (Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton):
            self._panned_from = event.position()

    def mouseMoveEvent(self, event: Any) -> None:
        """Continue the lasso or the pan, or report the point under the mouse."""
        now = event.position()
        if self._lasso:
            self._lasso.append(now)
            self.update()
        elif self._panned_from is not None:
            moved = now - self._panned_from
            x, y = self.view.center
            self._panned_from = now
            self._look(replace(self.view, center=(x - moved.x() / self.view.scale, y + moved.y() / self.view.scale)))
        else:
            self.hovered.emit(self._under(now))

    def mouseReleaseEvent(self, event: Any) -> None:
        """End the lasso or the pan; report a click."""
        if event.button() != Qt.MouseButton.LeftButton:
            self._panned_from = None
            return
        corners, start = self._lasso, self._pressed
        self._lasso, self._pressed = [], None
        self.update()
        if start is None:
            return
        if all((corner - start).manhattanLength() <= _STILL_PX for corner in corners):
            number = self._under(event.position())
            if number is not None:
                self.clicked.emit(number)
        elif len(corners) > 2 and len(self._points):
            places = [self.view.place((corner.x(), corner.y()), self._size) for corner in corners]
            self.lassoed.emit(np.array(places))

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Show all points."""
        self._look(view_of(self._points, self._size))

    def leaveEvent(self, event: Any) -> None:
        """Report that no point is under the mouse."""
        self.hovered.emit(None)

    def wheelEvent(self, event: Any) -> None:
        """Zoom about the mouse."""
        pixel = (event.position().x(), event.position().y())
        self._look(self.view.zoomed(_ZOOM ** event.angleDelta().y(), pixel, self._size))
        event.accept()

    def _under(self, pixel: QPointF) -> int | None:
        """Return the number of the point nearest to a pixel, if one is near."""
        if not len(self._points):
            return None
        place = self.view.place((pixel.x(), pixel.y()), self._size).astype(np.float32)
        distance = ((self._points - place) ** 2).sum(1)
        number = int(distance.argmin())
        return number if np.sqrt(distance[number]) * self.view.scale <= _NEAR_PX else None
