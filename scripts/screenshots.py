"""Pictures of the napari plugin for docs/how-to/napari.md, of a real window.

    make screenshots                 on the synthetic torso, so that anyone gets the same
    make screenshots CT=scan.nii.gz  on a scan of yours

Each picture is a step that a user takes: the commands are those of the panels.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from qtpy.QtWidgets import QApplication

from coralbay_core.phantom import make_phantom
from coralbay_viz.demo import auto_strokes
from coralbay_viz.napari_ui import views
from coralbay_viz.napari_ui.launch import open_window
from coralbay_viz.napari_ui.widget import threaded_session

TIMEOUT_S = 300


class Photographer:
    """A window, a user who waits, and a folder for pictures."""

    def __init__(self, out: Path, ct: Path | None) -> None:
        self.out, self.ct = out, ct
        self.session = threaded_session()
        self.viewer, self.dock = open_window(self.session)
        self.phantom = None if ct is not None else make_phantom()

    def wait(self, until: Callable[[], Any] = lambda: False, seconds: float = TIMEOUT_S) -> None:
        """Let the window live until something is true."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def rest(self) -> None:
        self.wait(seconds=1.5)

    def shoot(self, name: str) -> None:
        self.rest()
        picture = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        # Full color: a palette of 256 would lose small patches, such as clicks and status lights.
        Image.fromarray(picture).save(self.out / f"{name}.png", optimize=True)

    def scenes(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "similar", self.similar
        yield "planes", self.planes
        yield "3d", self.in_3d
        yield "windows", self.windows
        yield "colors", self.colors
        yield "segment", self.segment
        last = [("score", self.score), ("compare", self.compare)]
        # Without labels there is nothing to measure against but another scan.
        yield from last if self.phantom is not None else reversed(last)

    # The steps of a user

    def similar(self) -> None:
        session, dock = self.session, self.dock
        self.rest()
        if self.ct is not None:
            session.open(self.ct)
            self.wait(lambda: session.scan is not None)
        else:
            session.add(self.phantom.volume)
        dock.feature_panel.compute.click()
        self.wait(lambda: session.pca is not None)
        self.place = (
            auto_strokes.deep_point(session.volume, session.features)
            if self.phantom is None
            else self.phantom.landmarks["liver_right_lobe"]
        )
        dock.binding.go_to(self.place)
        session.click(self.place)
        self.wait(lambda: session.heat is not None)
        dock.binding.set_visible("pca", False)

    def planes(self) -> None:
        self.dock.planes.open(True)

    def in_3d(self) -> None:
        self.dock.planes.open(False)
        views.show_view(self.viewer, views.VOLUME)

    def windows(self) -> None:
        views.show_view(self.viewer, views.AXIAL)
        self.dock.binding.go_to(self.place)
        panel = self.dock.similar_panel.windows
        panel.parent().head.click()
        panel.inspect.click()
        self.wait(lambda: self.session.scan.windows is not None)

    def colors(self) -> None:
        self.dock.binding.drop(self.session.scan, "windows")
        self.dock.binding.set_visible("heat", False)
        self.dock.binding.set_visible("pca", True)
        views.show_view(self.viewer, views.CORONAL)
        self.dock.show_tab("Colors")
        self.dock.colors_panel.scatter.click()
        self.wait(lambda: self.session.scan.scatter is not None)

    def segment(self) -> None:
        for name in list(self.viewer.window.dock_widgets):
            if not name.startswith("CoralBay"):
                self.viewer.window.remove_dock_widget(self.viewer.window.dock_widgets[name])
        scan = self.session.scan
        placed = auto_strokes.place(scan.volume, scan.features, scan.label_grid, self.phantom)
        self.dock.show_tab("Segment")
        self.session.segment(placed.labels)
        self.wait(lambda: self.session.segmentation is not None)
        self.session.compute_statistics()
        self.wait(lambda: bool(scan.statistics))
        for role in ("pca", "heat", "regions", "clicks"):
            self.dock.binding.set_visible(role, False)

    def score(self) -> None:
        self.dock.show_tab("Score")
        self.dock.binding.reveal("heat")
        views.show_view(self.viewer, views.AXIAL)
        labels = self.phantom.labels if self.phantom is not None else None
        self.session.scorecard.measure(["coralbay-mini", "hu-patch", "random"], labels)
        self.wait(lambda: self.session.scorecard.card.is_done)

    def compare(self) -> None:
        session, first = self.session, self.session.scan
        self.dock.show_tab("Compare")
        session.add(make_phantom(seed=1).volume)
        second = session.scan
        session.compute()
        self.wait(lambda: second.pca is not None)
        session.activate(first)
        panel = self.dock.compare_panel
        for wanted in (panel.side_by_side, panel.search, panel.link):
            wanted.click()
        self.dock.binding.go_to(self.place)
        self.dock.binding.reveal("heat")
        self.wait(lambda: second.matched is not None and second.heat is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ct", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    photographer = Photographer(arguments.out, arguments.ct)
    for name, act in photographer.scenes():
        act()
        photographer.shoot(name)
        print(arguments.out / f"{name}.png", flush=True)
    photographer.viewer.close()


if __name__ == "__main__":
    main()
