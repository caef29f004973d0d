"""Scatter plot of the cells, linked to their positions in the scan."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import LabelVolume

from ...model.palette import class_color
from ...model.places import place_text
from ..context import Context
from ..docks import Docked
from ..scatter import ScatterCanvas
from .base import JobStatusText, button, combo, note

if TYPE_CHECKING:
    from coralbay_core.projection import Scatter

    from ...jobs import Job
    from ...model.scan import Scan

_METHODS = {"PCA": "pca", "UMAP": "umap"}
_COLORS, _CLUSTERS, _SEGMENTATION = "overlay", "clusters", "segmentation"
_CONTROLS_PX = 130
_GRAY = (150, 150, 150)


class ScatterDock(Docked):
    """Scatter plot of the active scan.

    Hovering over the canvas marks a point, hovering over a point marks its position; a click on a point goes there. A
    lasso shows its cells as a label layer, which can become strokes, and restricts projections to them until it is
    cleared.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._places: NDArray[np.float64] = np.zeros((0, 3))
        self._mask: LabelVolume | None = None
        self._job_status = JobStatusText(context, self._show_about, self._computed)
        self._job: Job | None = None
        self._shown_method = self._asked_method = 0
        self._lay_out()
        session = context.session
        self._links = (
            (session.scatter_changed, self._points_changed),
            (session.scan_changed, self._points_changed),
            (session.features_changed, self._points_changed),
            (session.selection_changed, self._selection_changed),
            (session.pca_changed, self._recolor),
            (session.clusters_changed, self._recolor),
            (session.segmentation_changed, self._recolor),
            (session.job_started, self._job_started),
            (context.tools.hovered, self._hovered_in_canvas),
            (context.tools.placed, self._hovered_in_canvas),
        )
        context.connect(*self._links)
        self.gone.connect(self._tidy)
        self._points_changed()
        if session.scan is not None and session.features is not None and self._scatter is None:
            self._compute()

    def _lay_out(self) -> None:
        guarded = self._context.notify_errors
        self.method = combo("PCA (fast) or UMAP (slower)", list(_METHODS))
        self.colors = combo("Colors of the points", [_COLORS, _CLUSTERS, _SEGMENTATION])
        self.inside = button("Recompute inside", "Compute a new embedding of the selected voxels only")
        self.all = button("All", "Clear the lasso: show all voxels of the body")
        self.to_labels = button("Lasso to labels", "Make a new class of strokes from the selected voxels")
        self.canvas = ScatterCanvas()
        self.about = note()
        controls = QVBoxLayout()
        self.method.setFixedWidth(_CONTROLS_PX)
        chosen = (self.inside, self.all, self.to_labels)
        for widget in (QLabel("Embedding"), self.method, QLabel("Color by"), self.colors, *chosen):
            controls.addWidget(widget)
        controls.addStretch(1)
        row = QHBoxLayout()
        row.addLayout(controls)
        row.addWidget(self.canvas, stretch=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addLayout(row, stretch=1)
        column.addWidget(self.about)
        self.method.activated.connect(guarded(lambda *_: self._compute()))
        self.colors.activated.connect(lambda _: self._recolor())
        self.inside.clicked.connect(guarded(lambda *_: self._compute()))
        self.all.clicked.connect(guarded(lambda *_: self._show_all()))
        self.to_labels.clicked.connect(guarded(lambda *_: self._label()))
        self.canvas.lassoed.connect(guarded(lambda polygon: self._lasso(polygon)))
        self.canvas.clicked.connect(guarded(lambda number: self._go_to(number)))
        self.canvas.hovered.connect(lambda number: self._hovered(number))

    def release(self) -> None:
        """Disconnect from viewer and session."""
        self._context.disconnect(*self._links)
        self._job_status.close()

    def _tidy(self) -> None:
        """Remove mark, lasso and selection, which cannot be removed without the plot."""
        session = self._context.session
        for scan in session.scans:
            self._context.binding.drop(scan, "mark", "lasso")
        if session.features is not None and session.scan.selection is not None:
            session.select(None)

    @property
    def _scatter(self) -> "Scatter | None":
        scan = self._context.session.scan
        return scan.scatter if scan else None

    # User actions

    def _compute(self) -> None:
        self._context.session.compute_scatter(_METHODS[self.method.currentText()])

    def _show_all(self) -> None:
        self._context.session.select(None)
        scatter, features = self._scatter, self._context.session.features
        if scatter is not None and not np.array_equal(scatter.inside, features.body_at(features.strides[0])):
            self._compute()

    def _lasso(self, polygon: NDArray) -> None:
        session = self._context.session
        mask = session.lasso(polygon)
        if not mask.data.any() and session.scan.selection is None:
            self._context.notify("No points inside the lasso.")
            return
        self._mask = mask
        self._show_state()

    def _label(self) -> None:
        if self._mask is None:
            raise CoralBayError("no points are selected", hint="draw a lasso around points with the left mouse button")
        painting = self._context.painting
        value = painting.add_mask(self._mask, "lasso")
        self._context.binding.drop(self._context.session.scan, "lasso")
        self._context.notify(
            f"Class {painting.names()[value]} added: {np.count_nonzero(self._mask.data):,} voxels. See tab Segment."
        )

    def _go_to(self, number: int) -> None:
        place = self._places[number]
        self._context.binding.go_to(place)
        self._context.binding.mark(place)
        self.canvas.mark(number)

    # Linked cursor

    def _hovered(self, number: int | None) -> None:
        if self._context.session.scan is None or number is None:
            self._show_about()
            return
        self.canvas.mark(number)
        self._context.binding.mark(self._places[number])
        known = self._context.session.scan.volume.known_axes
        self.about.setText(place_text(self._places[number], known) + " mm")

    def _hovered_in_canvas(self, position_mm: Any) -> None:
        scatter = self._scatter
        if scatter is not None and len(scatter.points):
            self.canvas.mark(scatter.point_at(position_mm))

    # Session events

    def _points_changed(self, _: Any = None) -> None:
        scatter = self._scatter
        self._mask = None
        if scatter is None:
            self._places = np.zeros((0, 3))
            self.canvas.set_points(np.zeros((0, 2), np.float32))
        else:
            self._places = scatter.position_mm
            self.canvas.set_points(scatter.points)
            self._recolor()
        self._selection_changed()

    def _selection_changed(self, _: Any = None) -> None:
        scan, scatter = self._context.session.scan, self._scatter
        selection = scan.selection if scan else None
        if selection is None and scan is not None:
            self._mask = None
        chosen = None if selection is None or scatter is None else selection[scatter.inside]
        self.canvas.choose(None if chosen is None or chosen.all() else chosen)
        self._show_state()

    def _recolor(self, scan: "Scan | None" = None) -> None:
        scatter, active = self._scatter, self._context.session.scan
        if scatter is None or (scan is not None and scan is not active):
            return
        chosen = self.colors.currentText()
        labels = active.clusters if chosen == _CLUSTERS else active.segmentation
        if chosen != _COLORS and labels is not None:
            self.canvas.set_colors(label_colors_at(labels, self._places))
        elif active.pca is not None and active.pca.rgb.grid == scatter.grid:
            shown = active.pca.rgb.components[:, scatter.inside].T
            self.canvas.set_colors(np.rint(255 * shown.clip(0, 1)).astype(np.uint8))

    def _job_started(self, job: "Job") -> None:
        if job.kind == "scatter":
            self._job, self._asked_method = job, self.method.currentIndex()
            self._job_status.show(job, "Computing…", self._context.session.scan)

    def _computed(self, job: "Job") -> None:
        if job is not self._job:
            return  # another one is on its way
        self._job = None
        if job.state == "done":
            self._shown_method = self._asked_method
        else:
            self.method.setCurrentIndex(self._shown_method)

    def _show_state(self) -> None:
        scan = self._context.session.scan
        selected = scan is not None and scan.selection is not None
        self.inside.setEnabled(selected)
        self.all.setEnabled(selected)
        self.to_labels.setEnabled(self._mask is not None)
        self._show_about()

    def _show_about(self) -> None:
        count = len(self._places)
        text = f"{count:,} voxels. Left drag: lasso; right drag: pan; wheel: zoom; double click: show all."
        self.about.setText(self._job_status.text or (text if count else "No points yet."))


def label_colors_at(labels: LabelVolume, places_mm: NDArray) -> NDArray[np.uint8]:
    """Return class colors at world positions, (N, 3); gray without a label."""
    at = np.rint(labels.grid.to_index(places_mm)).astype(int).clip(0, np.array(labels.shape) - 1)
    values = labels.data[tuple(at.T)]
    known, index = np.unique(values, return_inverse=True)
    colors = [QColor(class_color(int(v))).getRgb()[:3] if v else _GRAY for v in known]
    return np.array(colors, np.uint8).reshape(-1, 3)[index]
