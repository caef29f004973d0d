"""A napari window with CoralBay, opened from the command line, and the tour in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.plugins import menu_item_template
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from ..demo.tour import Step, Tour
from . import shader_texts, views
from .widget import CoralBayWidget, threaded_session

if TYPE_CHECKING:
    from ..session import Session

WINDOW_SIZE = (1380, 880)


def open_window(session: "Session | None" = None, *, show: bool = True) -> tuple[napari.Viewer, CoralBayWidget]:
    """Open a viewer with the dock widget."""
    shader_texts.remember()
    viewer = napari.Viewer(title="CoralBay", show=show)
    viewer.window.resize(*WINDOW_SIZE)
    if session is not None:
        widget = CoralBayWidget(viewer, session)
        # Under the name that napari itself would give it: its menu of plugins then finds this one and makes no second.
        viewer.window.add_dock_widget(widget, name=menu_item_template.format("coralbay", "CoralBay"), area="right")
    else:
        _, widget = viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
    viewer.canvas.overlays.scale_bar.visible = True
    return viewer, widget


class TourRunner:
    """Runner of a tour in a window: waits for each job, shows its result, continues.

    Parameters
    ----------
    tour : Tour
    viewer : napari.Viewer
    widget : CoralBayWidget
    tell : callable
        Gets a line of text at each step.
    end : callable
        Called once, with the error that stopped the tour, or None.
    pictures : Path, optional
        Folder for screenshots.
    """

    def __init__(
        self,
        tour: Tour,
        viewer: napari.Viewer,
        widget: CoralBayWidget,
        tell: Callable[[str], Any],
        end: Callable[[Exception | None], Any],
        pictures: Path | None = None,
    ) -> None:
        self.tour, self.viewer, self.widget = tour, viewer, widget
        self.pictures: list[Path] = []
        self._tell, self._end, self._folder = tell, end, pictures
        self._steps: Iterator[Step] = tour.steps()
        self._step: Step | None = None

    def start(self) -> None:
        """Start as soon as the event loop runs."""
        QTimer.singleShot(0, self._next)

    def _next(self) -> None:
        try:
            if self._step is not None:
                self._show(self._step)
            step = next(self._steps, None)
        except Exception as error:  # report why the tour stopped, and leave the event loop
            self._end(error)
            return
        self._step = step
        if step is None:
            self._end(None)
            return
        self._tell(step.title)
        if step.job.running:
            step.job.finished.connect(self._arrived)
        else:
            self._arrived()

    def _arrived(self) -> None:
        job = self._step.job
        if job.state == "failed":
            self._end(job.error)
        elif job.state == "done":
            QTimer.singleShot(0, self._next)
        # A job that the user cancelled, or replaced by another click, ends the tour where it is.

    def _show(self, step: Step) -> None:
        {
            "open": self._show_nothing,
            "pca": self._show_pca,
            "similar": self._show_similar,
            "segment": self._show_segmentation,
        }.get(step.name, self._show_nothing)()

    def _show_nothing(self) -> None:
        QApplication.processEvents()

    def _show_pca(self) -> None:
        self.widget.binding.go_to(self._middle())
        self._picture("pca.png", views.CORONAL)

    def _show_similar(self) -> None:
        self.widget.binding.reveal("heat")
        self.widget.binding.go_to(self.tour.at_mm)
        for name, view in (("coronal", views.CORONAL), ("sagittal", views.SAGITTAL), ("3d", views.VOLUME)):
            self._picture(f"{name}.png", view)
        self._picture("axial.png", views.AXIAL)
        self._picture("window.png", views.AXIAL, whole=True)

    def _show_segmentation(self) -> None:
        binding = self.widget.binding
        binding.reveal("segmentation")
        for role in ("regions", "clicks", "strokes"):
            binding.set_visible(role, False)
        self._picture("segmentation.png", views.CORONAL)
        binding.set_visible("clicks", True)
        binding.reveal("heat")
        views.show_view(self.viewer, views.AXIAL)

    def _middle(self) -> Any:
        features = self.tour.session.features
        low, high = features.grid.bounds_mm
        return (low + high) / 2

    def _picture(self, name: str, view: str, *, whole: bool = False) -> None:
        if self._folder is None:
            return
        views.show_view(self.viewer, view)
        # Layers are drawn a moment after they change: let that happen before the picture is taken.
        for _ in range(3):
            QApplication.processEvents()
        path = self._folder / name
        self.viewer.screenshot(str(path), canvas_only=not whole, flash=False)
        self.pictures.append(path)


def view(paths: list[Path], series: str | None, model: str, device: str) -> None:
    """Open scans in napari and stay until the window is closed."""
    _, widget = open_window(threaded_session(model=model, device=device, autosave=True))
    for path in paths:
        widget.session.open(path, series)
    napari.run()
    widget.session.close()


def run_tour(
    make_tour: "Callable[[Session], Tour]",
    model: str,
    device: str,
    tell: Callable[[str], Any],
    pictures: Path | None,
) -> tuple[Tour, list[Path]]:
    """Run the tour in a window, which stays open unless there is a folder for `pictures`."""
    session = threaded_session(model=model, device=device, autosave=pictures is None)
    viewer, widget = open_window(session)
    tour = make_tour(session)
    outcome: list[Exception | None] = []

    def end(error: Exception | None) -> None:
        outcome.append(error)
        if error is not None and pictures is None:
            widget.context.show_error(error)
        if pictures is not None:
            viewer.close()

    guide = TourRunner(tour, viewer, widget, tell, end, pictures)
    guide.start()
    napari.run()
    session.close()
    if outcome and outcome[0] is not None:
        raise outcome[0]
    return tour, guide.pictures
