"""Features as colors over the scan and as points of a plane, linked both ways."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from .control import Control
from .looking import Looking
from .panels import ColorPanel
from .scatter import ScatterBinding
from .view import ScatterView


class Coloring(Control):
    """The panel of colors, and the scatter plot in it."""

    def __init__(self, looking: Looking, *wires: Any) -> None:
        super().__init__(*wires)
        self.looking = looking
        self.view = ScatterView()
        self.scatter = ScatterBinding(self.session, self.view)
        self.panel = panel = ColorPanel(self.view, umap=find_spec("umap") is not None)
        self.obey(panel.colors_wanted, self._color)
        self.obey(panel.scatter_wanted, self.session.compute_scatter)
        self.obey(panel.everything_wanted, lambda: self.session.select(None))
        self.obey(self.view.ready, self.scatter.show)
        self.obey(self.view.lassoed, self._lassoed)
        self.obey(self.view.picked, lambda at: looking.go_to(self.session.place_of(at)))
        moved = self.told(self._cursor_moved)
        looking.view.observe(lambda change: moved(), "cursor")

    def close(self) -> None:
        super().close()
        self.scatter.close()
        self.view.close()

    def _color(self, method: str) -> None:
        self.looking.reveal("pca", instead_of=("heat", "segmentation"))
        (self.session.compute_umap if method == "umap" else self.session.compute_pca)()

    def _lassoed(self, corners: Any) -> None:
        mask = self.session.lasso(corners)
        millilitres = float(np.count_nonzero(mask.data) * mask.grid.voxel_ml)
        self.panel.state.value = f"The lasso holds {millilitres:.0f} ml; colors and points are about them from now on."

    def _cursor_moved(self) -> None:
        if self.looking.view.cursor:
            self.scatter.show_place(self.looking.view.cursor)
