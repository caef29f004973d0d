"""How large the classes of a segmentation are, what HU they hold, and how they compare with a reference."""

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QLabel

from coralbay_core.errors import InputError
from coralbay_core.volume import Grid, LabelVolume

from ...layers import world_from_napari
from ..context import Context
from .base import Section, button, combo, fill, fill_table, table

if TYPE_CHECKING:
    from napari.layers import Layer

    from coralbay_core.probe import LabelStatistics

_NO_REFERENCE = "no reference"


class Statistics(Section):
    """A table that is filled on request.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._references: list[Layer] = []
        self.measure = button("Statistics", "Volume and HU of each class, on the scan's own grid")
        self.reference = combo("A label layer of the viewer to compare with; equal values mean equal classes")
        self.row(self.measure, QLabel("against"), self.reference, stretch=2)
        self.results = table("Of the segmentation on the scan's own grid", ["Class", "ml", "HU", "Dice"], 120)
        self.rows.addWidget(self.results)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.measure.clicked.connect(context.told(self._measure))
        session, events = context.session, context.viewer.layers.events
        context.connect(
            (session.statistics_changed, self.show_state),
            (session.segmentation_changed, self.show_state),
            (session.scan_changed, self.show_state),
            (events.inserted, self._list_layers),
            (events.removed, self._list_layers),
            (events.renamed, self._list_layers),
        )
        self._list_layers()
        self.show_state()

    def _measure(self, *_: Any) -> None:
        session = self._context.session
        number = self.reference.currentIndex() - 1
        reference = None
        if 0 <= number < len(self._references):
            reference = labels_of_layer(self._references[number], session.scan.volume.grid)
        session.compute_statistics(reference)

    def _list_layers(self, event: Any = None) -> None:
        """Label layers that are not CoralBay's own of this scan."""
        from napari.layers import Labels

        number = self.reference.currentIndex() - 1
        chosen = self._references[number] if 0 <= number < len(self._references) else None
        own = self._context.binding.layers_of(self._context.session.scan)
        found = [layer for layer in self._context.viewer.layers if isinstance(layer, Labels) and layer not in own]
        self._references = found
        fill(
            self.reference,
            [_NO_REFERENCE, *(layer.name for layer in found)],
            found.index(chosen) + 1 if chosen in found else 0,
        )

    def show_state(self, _: Any = None) -> None:
        """The rows that there are."""
        scan = self._context.session.scan
        rows = scan.probing.statistics if scan else ()
        self.measure.setEnabled(bool(scan and scan.probe and scan.features))
        fill_table(self.results, [statistics_cells(row) for row in rows])
        self.results.setVisible(bool(rows))


def statistics_cells(row: "LabelStatistics") -> list[str]:
    """A class in the words of the table."""
    volume = f"{row.volume_ml:.1f}" if row.volume_ml < 100 else f"{row.volume_ml:.0f}"
    hu = "" if row.mean_hu is None else f"{row.mean_hu:.0f} ± {row.sd_hu:.0f}"
    return [row.name or f"label {row.value}", volume, hu, "" if row.dice is None else f"{row.dice:.3f}"]


def labels_of_layer(layer: "Layer", grid: Grid) -> LabelVolume:
    """What a label layer of the viewer says on a grid, wherever the layer lies; 0 beyond it."""
    from coralbay_core.projection import labels_on

    data = np.asarray(layer.data)
    if data.ndim != 3:
        raise InputError("reference is not 3-D", where=layer.name, found=f"{data.ndim} dimensions", expected="3")
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    places = world_from_napari(np.array([layer.data_to_world(corner)[-3:] for corner in corners]))
    affine = np.eye(4)
    affine[:3, 3] = places[0]
    affine[:3, :3] = (places[1:] - places[0]).T
    names = layer.metadata.get("names", {})
    labels = LabelVolume(data, Grid(data.shape, affine), layer.name, names=dict(names))
    return labels if labels.grid == grid else labels_on(labels, grid)
