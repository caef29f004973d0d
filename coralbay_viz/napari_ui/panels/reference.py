"""Choice of a reference: any labels layer of the viewer that CoralBay did not make itself."""

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QSizePolicy

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, LabelVolume

from ...display.napari_world import world_from_napari
from ..context import Context
from .base import fill

if TYPE_CHECKING:
    from napari.layers import Labels

_NONE = "no reference"


class ReferenceChooser(QComboBox):
    """Combo box of the labels layers in the viewer.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.setToolTip("Reference: a labels layer with the correct labels; equal values mean equal classes")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._context = context
        self._layers: list[Labels] = []
        events = context.viewer.layers.events
        context.connect(
            (events.inserted, self.list_layers),
            (events.removed, self.list_layers),
            (events.renamed, self.list_layers),
            (context.session.scan_changed, self.list_layers),
        )
        self.list_layers()

    def list_layers(self, event: Any = None) -> None:
        """Update the list of layers."""
        from napari.layers import Labels

        chosen = self.layer
        own = [layer for scan in self._context.session.scans for layer in self._context.binding.layers_of(scan)]
        found = [layer for layer in self._context.viewer.layers if isinstance(layer, Labels)]
        self._layers = [layer for layer in found if layer not in own]
        names = [_NONE, *(layer.name for layer in self._layers)]
        fill(self, names, self._layers.index(chosen) + 1 if chosen in self._layers else 0)

    @property
    def layer(self) -> "Labels | None":
        """Selected layer."""
        number = self.currentIndex() - 1
        return self._layers[number] if 0 <= number < len(self._layers) else None

    def labels(self, grid: Grid | None = None) -> LabelVolume | None:
        """Return the labels of the selected layer, resampled to `grid` if given; None if none is selected."""
        from coralbay_core.projection import labels_on

        if self.layer is None:
            return None
        labels = labels_of(self.layer)
        return labels if grid is None or labels.grid == grid else labels_on(labels, grid)


def labels_of(layer: "Labels") -> LabelVolume:
    """Convert a labels layer of the viewer to a label volume."""
    data = np.array(layer.data)
    if data.ndim != 3:
        raise InputError("reference is not 3-D", where=layer.name, found=f"{data.ndim} dimensions", expected="3")
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    places = world_from_napari(np.array([layer.data_to_world(corner)[-3:] for corner in corners]))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = (places[1:] - places[0]).T, places[0]
    return LabelVolume(data, Grid(data.shape, affine), layer.name, names=dict(layer.metadata.get("names", {})))
