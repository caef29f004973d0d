"""A real napari window with CoralBay and what a user does in it, for pictures of the documentation."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QSlider, QStyle, QStyleOptionSlider, QWidget

from coralbay_core.phantom import make_phantom
from coralbay_viz.demo import auto_strokes
from coralbay_viz.display.napari_world import napari_from_world
from coralbay_viz.model.scan import Scan
from coralbay_viz.napari_ui.launch import open_window
from coralbay_viz.napari_ui.widget import threaded_session

TIMEOUT_S = 300


class NapariWindow:
    """Window, session, and a user who waits for results.

    Parameters
    ----------
    ct : Path, optional
        Scan; by default a phantom.
    second : Path, optional
        Scan of another patient; by default another phantom.
    """

    def __init__(self, ct: Path | None, second: Path | None) -> None:
        self.ct, self.second = ct, second
        self.session = threaded_session(autosave=False)
        self.viewer, self.dock = open_window(self.session)
        self.phantom = make_phantom() if ct is None else None

    @property
    def main(self) -> QWidget:
        """The whole window."""
        return self.dock.window()

    @property
    def canvas(self) -> QWidget:
        """The widget that napari draws scans in."""
        return self.viewer.window._qt_viewer.canvas.native

    def wait(self, until: Callable[[], Any] = lambda: False, seconds: float = TIMEOUT_S) -> None:
        """Let the window live until something is true."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def picture(self) -> Image.Image:
        """Return the whole window in full color: a palette would lose small patches, such as clicks and lights."""
        return Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3])

    # Scans

    def open_first(self) -> None:
        """Open the scan and compute its features."""
        if self.phantom is None:
            self.session.open(self.ct)
            self.wait(lambda: self.session.scan is not None)
        else:
            self.session.add(self.phantom.volume)
        self.wait(seconds=1)
        self.dock.feature_panel.compute.click()
        self.wait(lambda: self.session.pca is not None)

    def open_second(self) -> Scan:
        """Open the other patient's scan and compute its features; the first scan stays the active one."""
        first, known = self.session.scan, len(self.session.scans)
        if self.second is None:
            self.session.add(make_phantom(seed=1).volume)
        else:
            self.session.open(self.second)
        self.wait(lambda: len(self.session.scans) > known)
        second = self.session.scan
        self.session.compute()
        self.wait(lambda: second.pca is not None)
        self.session.activate(first)
        return second

    def place(self) -> Any:
        """Return a place in the liver, or deep inside a scan whose labels are unknown, mm."""
        if self.phantom is not None:
            return self.phantom.landmarks["liver_right_lobe"]
        return auto_strokes.deep_point(self.session.volume, self.session.features)

    def compare_with(self, second: Scan, place_mm: Any) -> None:
        """Show the second scan with the heat map of the clicks, at the match of a place, once both are aligned."""
        session, first = self.session, self.session.scan
        self.dock.show_tab("Compare")
        panel = self.dock.compare_panel
        for wanted in (panel.side_by_side, panel.search, panel.link):
            wanted.click()
        self.dock.binding.go_to(place_mm)
        self.dock.binding.reveal("heat")
        self.dock.binding.set_visible("clicks", True)
        self.dock.binding.set_visible("strokes", False)
        self.wait(lambda: second.matched is not None and second.heat is not None)
        self.wait(lambda: session.alignments.known(first, second) is not None)
        self.wait(seconds=4)  # then both are answered again
        for note in self.main.findChildren(QWidget):
            if type(note).__name__ == "NapariQtNotification":
                note.close()  # it tells how good the alignment is, and so does the panel

    @staticmethod
    def scroll_to(widget: QWidget) -> None:
        """Scroll a tab until a widget of it is seen."""
        parent = widget.parentWidget()
        while not isinstance(parent, QScrollArea):
            parent = parent.parentWidget()
        parent.ensureWidgetVisible(widget)

    # Positions in the window, and real clicks

    def point_of(self, position_mm: Any) -> QPoint:
        """Return where the canvas shows a world position, in pixels of the canvas."""
        canvas = self.viewer.window._qt_viewer.canvas
        shown = napari_from_world(position_mm)[list(self.viewer.dims.displayed)][::-1]
        x, y, *_, w = canvas.view.scene.transform.map(np.append(shown, [0, 1]))
        return QPoint(*(round(float(v)) for v in np.array([x, y]) / w + canvas.view.pos))

    def click_canvas(self, point: QPoint) -> None:
        """Click into the canvas with the mouse."""
        QTest.mouseMove(self.canvas, point)
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)

    def in_window(self, widget: QWidget, point: QPoint | None = None) -> tuple[int, int]:
        """Return a point of a widget, by default its middle, in pixels of the window."""
        found = widget.mapTo(self.main, widget.rect().center() if point is None else point)
        return found.x(), found.y()

    def close(self) -> None:
        """Close the window and the session."""
        self.viewer.close()
        self.session.close()


def handle_of(slider: QSlider) -> QPoint:
    """Return the middle of a slider's handle, in pixels of the slider."""
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    style = QStyle.ComplexControl.CC_Slider
    return slider.style().subControlRect(style, option, QStyle.SubControl.SC_SliderHandle, slider).center()
