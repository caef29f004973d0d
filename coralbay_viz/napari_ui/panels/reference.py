"""Choice of a reference: any labels layer of the viewer that CoralBay did not make itself."""

from coralbay_core.spatial import Grid, LabelVolume

from ..context import Context
from .layer_picker import LayerPicker

_NONE = "no reference"


class ReferenceChooser(LayerPicker):
    """Combo box of the labels layers in the viewer.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        tip = "Ground truth: a labels layer with the correct labels; equal values mean equal classes"
        super().__init__(context, context.foreign.labels, tip, _NONE)

    def labels(self, grid: Grid | None = None) -> LabelVolume | None:
        """Return the labels of the selected layer, resampled to `grid` if given; None if none is selected."""
        from coralbay_core.projection import labels_on

        layer = self.layer
        if layer is None:
            return None
        labels = self._context.foreign.label_volume(layer)
        return labels if grid is None or labels.grid == grid else labels_on(labels, grid)
