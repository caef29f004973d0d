"""What a user of the window waits for, on features that are cached.

    make bench-gui                                   (ARGS="--ct scan.nii.gz --repeats 15")

Real mouse clicks and strokes on a real canvas, until the canvas has drawn the answer; on a virtual display OpenGL runs
on the processor, which is part of what is measured. The longest block is the longest pause of a timer of 5 ms on the
GUI thread while features are computed. The start is the median of interleaved starts of processes.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from coralbay_core.spatial import Grid
from coralbay_viz.demo import auto_strokes
from coralbay_viz.display.napari_world import napari_from_world
from coralbay_viz.napari_ui.launch import open_window
from coralbay_viz.napari_ui.widget import threaded_session
from coralbay_viz.tasks.files import make_phantom

_START = """
import sys, time
begin = time.perf_counter()
import napari
from qtpy.QtCore import QTimer
viewer = napari.Viewer()
if sys.argv[1] == "plugin":
    viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
def shown():
    print(time.perf_counter() - begin, flush=True)
    viewer.close()
QTimer.singleShot(0, shown)
napari.run()
"""


class User:
    """A window with a scan, and somebody who clicks in it."""

    def __init__(self, ct: Path | None) -> None:
        self.session = threaded_session(store=True)
        self.viewer, self.dock = open_window(self.session)
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.drawn = 0
        self.canvas._scene_canvas.events.draw.connect(self._on_draw)
        if ct is None:
            self.session.add(make_phantom().volume)
        else:
            self.session.open(ct)
        self.wait(lambda: self.session.scan is not None)

    def _on_draw(self, event: Any) -> None:
        self.drawn += 1

    def wait(self, until: Callable[[], Any], seconds: float = 600) -> None:
        """Let Qt's event loop run, as napari does: to poll events instead would take Python's lock from the threads."""
        if until():
            return
        end = time.perf_counter() + seconds
        loop, timer = QEventLoop(), QTimer()
        timer.setInterval(2)
        timer.timeout.connect(lambda: loop.quit() if until() or time.perf_counter() > end else None)
        timer.start()
        loop.exec()
        timer.stop()
        assert until(), "waited too long"

    def features(self) -> float:
        """Compute features of a scan that somebody has looked at; the longest pause of the GUI thread meanwhile, s."""
        self.rest(3)
        ticks: list[float] = []
        timer = QTimer()
        timer.setInterval(5)
        timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
        timer.start()
        job = self.session.compute()
        self.wait(lambda: not job.running)
        timer.stop()
        self.wait(lambda: self.session.pca is not None)
        self.rest()
        return float(np.diff(ticks).max())

    def rest(self, seconds: float = 0.7) -> None:
        end = time.perf_counter() + seconds
        self.wait(lambda: time.perf_counter() > end)

    def pixel(self, position_mm: Any) -> QPoint:
        shown = napari_from_world(position_mm)[list(self.viewer.dims.displayed)][::-1]
        x, y, *_, w = self.canvas.view.scene.transform.map(np.append(shown, [0, 1]))
        return QPoint(*(round(float(v)) for v in np.array([x, y]) / w + self.canvas.view.pos))

    def click(self, position_mm: Any) -> float:
        """From a click to the heat map that it lights up, drawn, s."""
        self.dock.tools.mode = "pick"
        self.dock.binding.go_to(position_mm)
        self.rest()
        place = self.pixel(position_mm)
        return self._until_drawn(
            lambda: QTest.mouseClick(
                self.canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place
            ),
            self.session.heat_changed,
        )

    def stroke(self, position_mm: Any) -> float:
        """From the end of a stroke to the new segmentation of the slice that is seen, drawn, s."""
        start = self.pixel(position_mm)
        native, left = self.canvas.native, Qt.MouseButton.LeftButton
        QTest.mousePress(native, left, Qt.KeyboardModifier.NoModifier, start)
        for step in (4, 8, 12):
            QTest.mouseMove(native, start + QPoint(step, 0))
            QApplication.processEvents()
        return self._until_drawn(
            lambda: QTest.mouseRelease(native, left, Qt.KeyboardModifier.NoModifier, start + QPoint(12, 0)),
            self.session.segmentation_previewed,
        )

    def planes(self) -> float:
        """From the button to the three planes, drawn, s; the projection follows later."""
        button = self.dock.scan_panel.orthogonal
        seconds = self._until_canvases(button.click, lambda: self.dock.planes.widget.planes)
        self.rest(5)
        button.click()
        self.wait(lambda: self.dock.planes.widget is None)
        self.rest()
        return seconds

    def beside(self) -> float:
        """From the button to the plane of a second scan, drawn, s."""
        panel = self.dock.compare_panel
        return self._until_canvases(panel.side_by_side.click, lambda: [panel._dock.widget.view])

    def _until_canvases(self, act: Callable[[], Any], made: Callable[[], Any]) -> float:
        """Seconds from an act until the canvases that it makes are on the screen."""
        shown: dict[int, float] = {}
        begin = time.perf_counter()
        act()
        views = made()

        def note(number: int) -> None:
            shown.setdefault(number, time.perf_counter())

        for number, view in enumerate(views):
            view.canvas.canvas.native.frameSwapped.connect(partial(note, number))
        self.wait(lambda: len(shown) == len(views))
        return max(shown.values()) - begin

    def _until_drawn(self, act: Callable[[], Any], answered: Any) -> float:
        """Seconds from an act to the first frame after its answer; whoever shows it listened before."""
        frames: list[int] = []

        def note(*of_what: Any) -> None:
            frames.append(self.drawn)

        answered.connect(note)
        begin = time.perf_counter()
        act()
        self.wait(lambda: bool(frames) and self.drawn > frames[0])
        seconds = time.perf_counter() - begin
        answered.disconnect(note)
        return seconds


def start(kind: str) -> float:
    """Seconds from an empty process to a window."""
    command = [sys.executable, "-W", "ignore", "-c", _START, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--starts", type=int, default=5)
    arguments = parser.parse_args()
    starts = {kind: [] for kind in ("napari", "plugin")}
    for _ in range(arguments.starts):
        for kind, times in starts.items():
            times.append(start(kind))
    alone, plugin = (statistics.median(times) for times in starts.values())
    user = User(arguments.ct)
    user.rest(3)
    planes = [user.planes() for _ in range(3)]
    block = user.features()
    session = user.session
    body = np.argwhere(session.features.body)
    chosen = (np.linspace(0.2, 0.8, arguments.repeats) * len(body)).astype(int)
    places = session.features.grid.to_world(body[chosen])
    first = user.click(places[0])
    clicks = []
    for number, place in enumerate(places):
        if number % 2:  # more and more of them, and from the beginning
            session.clear_clicks()
        clicks.append(user.click(place))
    print("| what | median | of all | aim |\n|---|---|---|---|")
    print(f"| click to heat map drawn | {1000 * statistics.median(clicks):.0f} ms | {_range(clicks)} | 150 ms |")
    print(f"| the first click of a window | {1000 * first:.0f} ms | | |")
    times = strokes_of(user, arguments.repeats)
    print(f"| end of stroke to slice drawn | {1000 * statistics.median(times):.0f} ms | {_range(times)} | 250 ms |")
    print(f"| longest block while features are computed | {1000 * block:.0f} ms | | 100 ms |")
    print(f"| three planes, drawn | {1000 * statistics.median(planes):.0f} ms | {_range(planes)} | 1000 ms |")
    print(f"| plane of a second scan, drawn | {1000 * second_scan(user):.0f} ms | | 1000 ms |")
    late = plugin - alone
    print(f"| start: napari {alone:.2f} s, with the plugin open | {plugin:.2f} s | + {late:.2f} s | + 1.5 s |")
    user.viewer.close()


def strokes_of(user: User, repeats: int) -> list[float]:
    """Strokes of two classes in turn, with live on, after a first segmentation from strokes that were placed."""
    session, dock = user.session, user.dock
    scan = session.scan
    session.clear_clicks()
    placed = auto_strokes.place(scan.volume, scan.features, scan.label_grid, None)
    session.segment(placed.labels)
    user.wait(lambda: session.segmentation is not None)
    dock.binding.set_visible("pca", False)
    painting = dock.context.painting
    painting.live = True
    body = np.argwhere(scan.features.body)
    middle = scan.features.grid.to_world(np.median(body, axis=0))
    values = [known.value for known in painting.classes()][:2]
    times = []
    for number in range(repeats):
        painting.select(values[number % 2])
        place = middle + [20 * np.cos(number), 20 * np.sin(number), 0]
        dock.binding.go_to(place)
        user.rest()
        times.append(user.stroke(place))
        user.rest()
    return times


def second_scan(user: User) -> float:
    """The plane of a second scan, which is a copy of the first one that lies elsewhere."""
    first = user.session.scan
    lower = first.volume.affine.copy()
    lower[2, 3] -= 2000
    user.session.add(replace(first.volume, grid=Grid(first.volume.shape, lower), name="second"))
    user.session.activate(first)
    user.rest(3)
    return user.beside()


def _range(times: list[float]) -> str:
    return f"{1000 * min(times):.0f} to {1000 * max(times):.0f}"


if __name__ == "__main__":
    main()
