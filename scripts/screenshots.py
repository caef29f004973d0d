"""Pictures of the napari plugin for docs/how-to/napari.md, of a real window.

    make screenshots                                     on synthetic torsos, so that anyone gets the same
    make screenshots CT=scan.nii.gz SECOND=other.nii.gz  on scans of yours, the second one of another patient

Each picture is a step that a user takes: the commands are those of the panels.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from coralbay_viz.demo import auto_strokes
from coralbay_viz.napari_ui import views
from scripts.napari_window import NapariWindow


class Photographer:
    """A window, and a folder for pictures of it."""

    def __init__(self, out: Path, window: NapariWindow) -> None:
        self.out, self.window = out, window
        self.session, self.viewer, self.dock = window.session, window.viewer, window.dock
        self.phantom, self.wait = window.phantom, window.wait

    def shoot(self, name: str) -> None:
        """Save a picture of the window."""
        self.wait(seconds=1.5)
        self.window.picture().save(self.out / f"{name}.png", optimize=True)

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
        self.wait(seconds=1.5)
        self.window.open_first()
        self.place = self.window.place()
        dock.binding.go_to(self.place)
        session.click(self.place)
        self.wait(lambda: session.heat is not None)
        dock.binding.set_visible("pca", False)

    def planes(self) -> None:
        self.dock.planes.open(True)
        self.wait(lambda: self.dock.planes.widget is not None and self.dock.planes.widget.volume is not None)
        self.wait(seconds=3)  # fitted and drawn

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
        self.wait(seconds=0.2)  # the table grows
        self.window.scroll_to(panel)

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
        self.window.compare_with(self.window.open_second(), self.place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--second", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    window = NapariWindow(arguments.ct, arguments.second)
    photographer = Photographer(arguments.out, window)
    for name, act in photographer.scenes():
        act()
        photographer.shoot(name)
        print(arguments.out / f"{name}.png", flush=True)
    window.close()


if __name__ == "__main__":
    main()
