"""Colors and the scatter plot."""

import ipywidgets as w
from psygnal import Signal

from .base import Panel, amount, button, note, row


class ColorsPanel(Panel):
    """Features as colors and as points of a plane."""

    colors_wanted = Signal(str)
    scatter_wanted = Signal(str)
    everything_wanted = Signal()

    def __init__(self, scatter: w.Widget, umap: bool) -> None:
        self.pca = button("PCA colors", "The three main directions of the features as colors")
        self.umap = button("UMAP colors", "A UMAP of the features as colors")
        self.pca_points = button("PCA points", "Cells of the scan as points of a plane")
        self.umap_points = button("UMAP points", "The same by UMAP")
        self.everything = button("All of the body", "Undo the lasso: the next colors are about the whole body")
        self.state = note()
        slow = note("UMAP takes minutes on a CPU." if umap else "")
        for widget in (self.umap, self.umap_points):
            widget.disabled = not umap
            widget.tooltip += "" if umap else " (pip install 'coralbay[umap]')"
        buttons = (row(self.pca, self.umap), row(self.pca_points, self.umap_points), slow)
        rows = (*buttons, row(self.everything), self.state)
        super().__init__(w.HBox([w.VBox(list(rows)), scatter], layout=w.Layout(flex_flow="row wrap")))
        self._press(self.pca, self.colors_wanted, "pca")
        self._press(self.umap, self.colors_wanted, "umap")
        self._press(self.pca_points, self.scatter_wanted, "pca")
        self._press(self.umap_points, self.scatter_wanted, "umap")
        self._press(self.everything, self.everything_wanted)

    def show_state(self, points: bool, lasso_ml: float | None) -> None:
        self.everything.disabled = lasso_ml is None
        if lasso_ml is not None:
            text = f"The lasso holds {amount(lasso_ml)} ml. Press a button above for colors or points of it alone."
        elif points:
            text = "Drag a lasso around points to see where they lie; click a point to go there."
        else:
            text = "PCA points shows the cells of the body as points of a plane, to select among."
        self.state.value = text
