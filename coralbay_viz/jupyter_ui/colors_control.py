"""Controller of the panel Colors: features as colors and as a linked scatter plot."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from .control import Control
from .panels.colors import ColorsPanel
from .scatter import ScatterBinding
from .view import ScatterView
from .views_control import ViewsControl


class ColorsControl(Control):
    """Controller of the panel Colors and its scatter plot."""

    def __init__(self, views: ViewsControl, *wires: Any) -> None:
        super().__init__(*wires)
        self.views = views
        self.view = ScatterView()
        self.scatter = ScatterBinding(self.session, self.view)
        self.panel = panel = ColorsPanel(self.view, umap=find_spec("umap") is not None)
        self.on_request(panel.colors_wanted, self._color)
        self.on_request(panel.scatter_wanted, self.session.compute_scatter)
        self.on_request(panel.everything_wanted, self._take_all)
        self.view.ready.connect(self.guarded(self.scatter.show))
        self.on_request(self.view.lassoed, self._lassoed)
        self.on_request(self.view.picked, lambda at: views.go_to(self.session.place_of(at)))
        for signal in (self.session.selection_changed, self.session.scatter_changed, self.session.scan_changed):
            self.on_event(signal, self._show_state)
        self._show_state()
        moved = self.guarded(self._cursor_moved)
        views.view.observe(lambda change: moved(), "cursor")

    def close(self) -> None:
        """Disconnect from session and view."""
        super().close()
        self.scatter.close()
        self.view.close()

    def _color(self, method: str) -> None:
        job = (self.session.compute_umap if method == "umap" else self.session.compute_pca)()
        self.views.reveal_result(job, "pca")

    def _lassoed(self, corners: Any) -> None:
        self.session.lasso(corners)
        if self.session.scan.selection is None:
            self._status.say("No points inside the lasso: colors and points are of the whole body.")

    def _take_all(self) -> None:
        self.session.select(None)
        self._status.say("Lasso cleared. Press a button to compute colors or points again for the whole body.")

    def _show_state(self, changed: Any = None) -> None:
        scan = self.session.scan
        cells = None if scan is None or scan.features is None else scan.selection
        ml = None if cells is None else float(np.count_nonzero(cells) * scan.features.finest.grid.voxel_ml)
        self.panel.show_state(points=self.scatter.points is not None, lasso_ml=ml)

    def _cursor_moved(self) -> None:
        if self.views.view.cursor:
            self.scatter.show_place(self.views.view.cursor)
