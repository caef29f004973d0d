"""A real napari window on a (virtual) display, and hands that use it as a user does: through Qt events."""

import gc
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

# The modules of this folder are of use only with the `napari` extra.
pytest.importorskip("napari")
from napari.components import ViewerModel
from npe2 import PluginManager
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QCheckBox

from coralbay_viz.display.napari_world import napari_from_world
from tests.support.scans import cut
from tests.support.strokes import paint_two
from tests.support.waiting import wait_until

_HERE = Path(__file__).parent

# Raised while napari and what it stands on are imported or closed; none of it comes from CoralBay.
_FOREIGN_WARNINGS = (
    "ignore::DeprecationWarning:napari",
    "ignore::DeprecationWarning:npe2",
    "ignore::DeprecationWarning:vispy",
    "ignore::DeprecationWarning:pydantic",
    "ignore::DeprecationWarning:app_model",
    "ignore::FutureWarning:napari",
    "ignore::ResourceWarning",
)


def pytest_collection_modifyitems(items):
    headless = sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.gui)
            for entry in _FOREIGN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(entry))
            if headless:
                item.add_marker(pytest.mark.skip(reason="no display, and no Xvfb to make one: apt-get install xvfb"))


@pytest.fixture(autouse=True)
def quick_collections():
    """Take what a test has imported out of later garbage collections, too."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def viewer(make_napari_viewer, qtbot):
    """A shown napari viewer of a fixed size."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    qtbot.waitExposed(viewer.window._qt_window)
    return viewer


@pytest.fixture
def windowless(qapp):
    """A napari viewer without its window, for tests of what is read, listed and written."""
    PluginManager.instance().discover()  # a window does so
    return ViewerModel()


@pytest.fixture
def hand(viewer, qtbot):
    return Hand(viewer, qtbot)


@pytest.fixture
def dock(viewer, hand):
    """CoralBay's dock widget in that viewer, opened as from the menu."""
    _, widget = viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
    widget.session.reads_cached = False  # what other tests have computed
    hand.settle()
    yield widget
    for name in list(viewer.window.dock_widgets):
        if not name.startswith("CoralBay"):  # planes, another scan, a scatter plot: each holds a canvas
            viewer.window.remove_dock_widget(viewer.window.dock_widgets[name])
    widget.session.close()
    hand.settle()


@pytest.fixture(scope="session")
def belly(phantom):
    """A box around the liver: small, so that features take moments."""
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"])


@pytest.fixture
def liver(phantom):
    """A known anatomical point."""
    return phantom.landmarks["liver_right_lobe"]


@pytest.fixture
def explored(dock, hand, belly, liver):
    """The dock widget with a scan, its features and the slices at the liver."""
    dock.session.add(belly)
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.go_to(liver)
    return dock


@pytest.fixture
def ready(dock, hand, belly, liver):
    """A scan with features, the liver in sight and the segment tab open."""
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.set_visible("pca", False)
    dock.binding.go_to(liver)
    dock.tabs.setCurrentIndex(2)
    hand.settle()
    return dock


@pytest.fixture
def segmented(ready, hand, liver):
    """Two classes painted and spread."""
    hand.press(ready.segment_panel.strokes)
    paint_two(hand, ready, liver)
    hand.press(ready.segment_panel.segment)
    hand.wait_for(lambda: ready.session.segmentation is not None)
    return ready


@pytest.fixture
def told(monkeypatch):
    """Notifications that the user got."""
    from coralbay_viz.napari_ui import context

    lines = []
    for name in ("show_info", "show_warning", "show_error"):
        monkeypatch.setattr(context.notifications, name, lines.append)
    return lines


@pytest.fixture
def held(monkeypatch):
    """Let a function of a module, by name, wait in its thread for the event that is returned."""
    gates = []

    def hold(module, name):
        gate, real = threading.Event(), getattr(module, name)
        gates.append(gate)

        def waiting(*args, **kwargs):
            gate.wait(60)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, waiting)
        return gate

    yield hold
    for gate in gates:
        gate.set()


@pytest.fixture
def heartbeat():
    """Start something that ticks as long as the window is alive."""
    return Heartbeat


class Heartbeat:
    """Times at which the window was alive."""

    def __init__(self) -> None:
        self.times = [time.monotonic()]
        self.timer = QTimer()
        self.timer.setInterval(20)
        self.timer.timeout.connect(lambda: self.times.append(time.monotonic()))
        self.timer.start()

    def longest_pause(self) -> float:
        return float(np.diff([*self.times, time.monotonic()]).max())


class Hand:
    """What a user does with mouse and eyes; the one place that needs napari's private canvas."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer = viewer
        self.qtbot = qtbot

    def settle(self) -> None:
        """Let Qt deliver the events that are under way, which a timer of 0 ms comes after."""
        for _ in range(3):
            delivered = []
            QTimer.singleShot(0, partial(delivered.append, True))
            wait_until(lambda delivered=delivered: delivered, meanwhile=partial(self.qtbot.wait, 1))

    def wait_for(self, condition, seconds: float = 120) -> None:
        """Keep the window alive until something is true."""
        wait_until(condition, seconds, meanwhile=partial(self.qtbot.wait, 10))

    def idle(self, ms: int = 300) -> None:
        """Do nothing for a while: for tests that something does not happen, which has no condition to wait for."""
        self.qtbot.wait(ms)

    def pixel_of(self, position_mm) -> np.ndarray:
        """Canvas pixel (x, y) of a world position."""
        canvas = self.viewer.window._qt_viewer.canvas
        shown = napari_from_world(position_mm)[list(self.viewer.dims.displayed)][::-1]
        x, y, *_, w = canvas.view.scene.transform.map(np.append(shown, [1] if len(shown) == 3 else [0, 1]))
        return np.array([x, y]) / w + canvas.view.pos

    def click(self, position_mm, modifier=Qt.KeyboardModifier.NoModifier, button=Qt.MouseButton.LeftButton) -> None:
        """A real mouse click on the canvas at a world position, which must lie in the displayed slice."""
        native = self.viewer.window._qt_viewer.canvas.native
        point = QPoint(*(round(float(v)) for v in self.pixel_of(position_mm)))
        QTest.mouseMove(native, point)
        QTest.mouseClick(native, button, modifier, point)
        self.settle()

    def move(self, position_mm) -> None:
        """Move the mouse to a world position; Qt tells of no move to where the mouse is already."""
        native = self.viewer.window._qt_viewer.canvas.native
        point = QPoint(*(round(float(v)) for v in self.pixel_of(position_mm)))
        for place in (point + QPoint(5, 5), point):
            QTest.mouseMove(native, place)
            self.idle(20)  # the display server sends the move in its own time, and napari joins moves that are close

    def drag(self, start_mm, end_mm, button=Qt.MouseButton.LeftButton) -> None:
        """Press at one world position, move to another, release."""
        native = self.viewer.window._qt_viewer.canvas.native
        start, end = (QPoint(*(round(float(v)) for v in self.pixel_of(p))) for p in (start_mm, end_mm))
        QTest.mousePress(native, button, Qt.KeyboardModifier.NoModifier, start)
        for part in (0.3, 0.6, 1.0):
            QTest.mouseMove(native, start + (end - start) * part)
            self.settle()
        QTest.mouseRelease(native, button, Qt.KeyboardModifier.NoModifier, end)
        self.settle()

    def wheel(self, steps, modifier=Qt.KeyboardModifier.NoModifier, native=None) -> None:
        """Turn the wheel over the middle of a canvas, the main one by default; up is positive."""
        native = native or self.viewer.window._qt_viewer.canvas.native
        place = QPointF(native.rect().center())
        degrees = QPoint(0, 120 * steps)
        buttons, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(place, place, QPoint(), degrees, buttons, modifier, phase, False)
        QApplication.sendEvent(native, event)
        self.settle()

    def double_click(self, native=None) -> None:
        """A double click, with the click that it begins with."""
        native = native or self.viewer.window._qt_viewer.canvas.native
        place = native.rect().center()
        for act in (QTest.mouseClick, QTest.mouseDClick):
            act(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        self.settle()

    def press(self, button) -> None:
        """A real click on a button of the dock widget."""
        assert button.isEnabled(), f"{button.text()} cannot be pressed now"
        # A check box is wider than what of it can be clicked.
        place = QPoint(8, button.height() // 2) if isinstance(button, QCheckBox) else QPoint()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        self.settle()

    def picture(self) -> np.ndarray:
        """RGB of the canvas as a user sees it, (rows, columns, 3)."""
        self.settle()
        return self.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


@pytest.fixture
def picture_of(viewer, hand, tmp_path):
    """Write a picture of the window, to look at: into CORALBAY_ARTEFACTS if that is set."""
    folder = Path(os.environ.get("CORALBAY_ARTEFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def take(name):
        hand.settle()
        path = folder / f"{name}.png"
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        return path

    return take
