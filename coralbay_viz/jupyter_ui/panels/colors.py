"""Colors and the scatter plot."""

import ipywidgets as w
from psygnal import Signal

from .base import Panel, amount, button, note, row


class ColorsPanel(Panel):
    """Panel Colors: features as colors and as a scatter plot."""

    colors_wanted = Signal(str)
    scatter_wanted = Signal(str)
    everything_wanted = Signal()

    def __init__(self, scatter: w.Widget, umap: bool) -> None:
        self.pca = button("PCA colors", "Color the scan by the three main PCA components of the features")
        self.umap = button("UMAP colors", "Color the scan by a UMAP of the features")
        self.pca_points = button("PCA points", "Scatter plot of the voxels (PCA)")
        self.umap_points = button("UMAP points", "Scatter plot of the voxels (UMAP)")
        self.everything = button("Whole body", "Clear the lasso: compute colors and points for the whole body")
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
        """Show the state of the buttons and hints."""
        self.everything.disabled = lasso_ml is None
        if lasso_ml is not None:
            text = f"Lasso: {amount(lasso_ml)} ml. Press a button above to compute colors or points inside it."
        elif points:
            text = "Draw a lasso around points to show their positions; click a point to go there."
        else:
            text = "Press PCA points for a scatter plot of the voxels of the body."
        self.state.value = text
