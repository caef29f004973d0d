"""Layers that other readers and scripts added: images become scans, labels become strokes or references."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, LabelVolume, geometry
from coralbay_core.spatial.volume import labeled_voxels

from ..display.layer_geometry import Answers, Placement, directions_of_labels, place
from ..display.layer_specs import IS_SCAN, MADE_ON
from ..display.napari_world import world_affine
from ..tasks.files import freeze
from .layer_removal import remove_layers
from .layer_stack import set_visible

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer

    from ..model.scan import Scan
    from ..session import Session
    from .binding import Binding

Values = Literal["hu", "offset", "other"]
"""Meaning of an image's values: HU, HU that were stored from 0, or anything else."""

_OFFSET_HU = 1024
# Below this there is nothing but air in HU, and values of no other kind of image.
_AIR = -900
_OUTSIDE_VOXELS = 1.0
_MOST_CLASSES = 255
_SAMPLED = 96  # voxels along an axis


@dataclass(frozen=True)
class Facts:
    """Facts that an image layer holds about itself.

    Parameters
    ----------
    name : str
    shape : tuple of int
    data_to_world : (4, 4) array
        In mm if `unit` is known.
    unit : str or None
        Unit of its world; None for pixels.
    directions : tuple of str or None
        Directions in which its array axes grow, if they are known.
    values : str or None
        As `Values`, if the values leave no doubt.
    path : Path or None
        File that it was read from.
    """

    name: str
    shape: tuple[int, int, int]
    data_to_world: NDArray[np.float64]
    unit: str | None
    directions: tuple[str, str, str] | None
    values: Values | None
    path: Any

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of the voxels along each array axis, in the unit of the world."""
        first, second, third = geometry.spacing(self.data_to_world).tolist()
        return first, second, third

    @property
    def has_spacing(self) -> bool:
        """Whether the layer was given a scale; without one, voxels are a pixel apart."""
        return self.unit is not None or not np.allclose(self.spacing, 1)

    @property
    def is_known(self) -> bool:
        """Whether nothing has to be asked."""
        return None not in (self.unit, self.directions, self.values)


class ForeignLayers:
    """Layers of a viewer that CoralBay did not make.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    binding : Binding
    """

    def __init__(self, viewer: "napari.Viewer", session: "Session", binding: "Binding") -> None:
        self._viewer = viewer
        self._session = session
        self._binding = binding
        self._placed: WeakKeyDictionary[Scan, Placement] = WeakKeyDictionary()
        self._sources: WeakKeyDictionary[Scan, Image] = WeakKeyDictionary()
        self._waiting: list[Image] = []
        # The layer list must not be changed while it emits a change.
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._put_back)
        session.scan_removed.connect(self._removed)

    def close(self) -> None:
        """Disconnect from the session."""
        self._session.scan_removed.disconnect(self._removed)
        with suppress(RuntimeError):  # Qt may have deleted it before
            self._timer.stop()

    # Look-up

    def images(self) -> "list[Image]":
        """Image layers that can become scans."""
        from napari.layers import Image

        shown = (layer for layer in self._others() if isinstance(layer, Image) and IS_SCAN not in layer.metadata)
        return [layer for layer in shown if not layer.rgb and layer.ndim >= 3]

    def labels(self) -> "list[Labels]":
        """Labels layers that can become strokes or references."""
        from napari.layers import Labels

        return [layer for layer in self._others() if isinstance(layer, Labels)]

    def _others(self) -> "list[Layer]":
        own = {layer for scan in self._session.scans for layer in self._binding.layers_of(scan)}
        return [layer for layer in self._viewer.layers if layer not in own]

    def facts(self, layer: "Image") -> Facts:
        """Collect what an image layer states about itself."""
        transform, unit = data_to_world(layer), _unit(layer)
        data = self.sample(layer)
        return Facts(
            name=layer.name,
            shape=tuple(_level(layer).shape[-3:]),
            data_to_world=transform,
            unit=unit,
            directions=directions_of_labels([str(name) for name in layer.axis_labels[-3:]], transform),
            values="hu" if data.size and float(data.min()) <= _AIR else None,
            path=layer.source.path,
        )

    # Images

    def add(self, layer: "Image", answers: Answers, values: Values) -> "Scan":
        """Make a scan of an image layer; one in the patient's axes takes the place of the layer until it is closed."""
        from coralbay_core.io import load_volume

        placed = place(data_to_world(layer), answers)
        array = self._array(layer)
        if values == "offset":
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32) - _OFFSET_HU
        volume = freeze(load_volume((array, placed.affine)))
        notes = volume.notes if values != "other" else ("values are not Hounsfield units",)
        if "R" not in placed.known_axes:
            notes = (*notes, "which side is left is not known")
        volume = replace(
            volume,
            name=layer.name,
            modality="CT" if values != "other" else "other",
            notes=notes,
            known_axes=placed.known_axes,
        )
        scan = self._session.add(volume)
        self._placed[scan], self._sources[scan] = placed, layer
        remove_layers(self._viewer, [layer])
        return scan

    def _removed(self, scan: "Scan") -> None:
        layer = self._sources.pop(scan, None)
        if layer is not None:
            self._waiting.append(layer)
            self._timer.start(0)

    def _put_back(self) -> None:
        """Show the layers of scans that were closed again."""
        waiting, self._waiting = self._waiting, []
        for layer in waiting:
            self._viewer.layers.append(layer)

    def sample(self, layer: "Image") -> NDArray:
        """Take some voxels of a layer, evenly."""
        data = self._shown(layer)
        return np.asarray(data[tuple(slice(None, None, max(1, n // _SAMPLED)) for n in data.shape)])

    def _array(self, layer: "Image | Labels") -> NDArray:
        return np.asarray(self._shown(layer))

    def _shown(self, layer: "Image | Labels") -> Any:
        """Array of a layer, of the time point or channel that is shown."""
        data = _level(layer)
        before = data.ndim - 3
        if before > 0:
            point = np.asarray(self._viewer.dims.point, float)
            shown = layer.world_to_data(point[-layer.ndim :])[:before]
            step = np.clip(np.rint(shown), 0, np.array(data.shape[:before]) - 1).astype(int)
            data = data[tuple(step)]
        return data

    # Labels

    def label_volume(self, layer: "Labels", scan: "Scan | None" = None) -> LabelVolume:
        """Labels of a layer at their place in the patient.

        Parameters
        ----------
        layer : napari.layers.Labels
        scan : Scan, optional
            Scan that they belong to, by default the active one. If it was made of a layer, labels that lie on that
            layer belong to the same voxels.
        """
        data = self._array(layer)
        if data.ndim != 3:
            raise InputError("labels are not 3-D", where=layer.name, found=f"{data.ndim} dimensions", expected="3")
        data = np.array(data, np.uint8) if data.dtype == bool else np.array(data)
        transform = data_to_world(layer)
        scan = scan or self._session.scan
        grid = Grid(data.shape, self._to_patient(layer, transform, scan) @ transform)
        return LabelVolume(data, grid, layer.name, names=_names(layer))

    def take_strokes(self, layer: "Labels") -> None:
        """Add the labels of a layer to the strokes of the active scan; the layer is hidden, and its voxels stay.

        Where both are painted, the layer counts. `Session.undo_strokes` takes it back.
        """
        from coralbay_core.projection import labels_on

        scan = self._session.scan
        if scan is None:
            raise InputError(
                "no scan to paint on", where=layer.name, hint="open a scan, or choose an image layer as one"
            )
        labels = self.label_volume(layer, scan)
        if labels.data.min(initial=0) < 0 or labels.data.max(initial=0) > _MOST_CLASSES:
            found = f"{labels.data.min()} to {labels.data.max()}"
            raise InputError("too many classes for strokes", where=layer.name, found=found, expected="values 0 to 255")
        grid = scan.label_grid
        data = np.array(labels_on(labels, grid).data, np.uint8)
        _keep_thin(data, labels, grid)
        if not data.any():
            raise InputError("no label lies on the scan", where=layer.name, expected=f"labels drawn on {scan.name}")
        before, names = scan.strokes.now, {int(v): labels.names.get(int(v), f"class {v}") for v in np.unique(data) if v}
        if before is not None:
            data = np.where(data != 0, data, before.labels.data.astype(np.uint8))
            names = dict(before.names) | {value: name for value, name in names.items() if value not in before.names}
        self._session.paint(LabelVolume(data, grid, "strokes", names=names), scan)
        set_visible(layer, False)

    def _to_patient(self, layer: "Labels", transform: NDArray, scan: "Scan | None") -> NDArray[np.float64]:
        """Way from a layer's world to RAS+ mm: that of the layer which the scan was made of, or the canvas's."""
        canvas = world_affine(np.eye(4))
        placed = None if scan is None else self._placed.get(scan)
        if scan is None or placed is None or MADE_ON in layer.metadata or np.allclose(placed.from_layer, canvas):
            return canvas
        shape = _level(layer).shape[-3:]
        fitting = [way for way in (placed.from_layer, canvas) if _lies_in(Grid(shape, way @ transform), scan)]
        if len(fitting) != 1:
            raise InputError(
                "labels cannot be placed on the scan", where=layer.name,
                found="outside of it" if not fitting else "both on the scan as it is shown and on its image layer",
                expected=f"labels drawn on {scan.name}",
                hint="draw them on the scan, or give both layers the world S, P, L in mm",
            )  # fmt: skip
        return fitting[0]


def data_to_world(layer: "Layer") -> NDArray[np.float64]:
    """Affine from the last three array indices of a layer to its world, in mm if its unit is a length.

    Scale, translation, rotation, shear and affine of the layer are in it.
    """
    lead = np.zeros(layer.ndim - 3)
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    places = np.array([layer.data_to_world((*lead, *corner))[-3:] for corner in corners])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = (places[1:] - places[0]).T, places[0]
    factors = [(1 * unit).to("mm").magnitude if unit.is_compatible_with("mm") else 1.0 for unit in layer.units[-3:]]
    return np.diag([*factors, 1.0]) @ affine


def _unit(layer: "Layer") -> str | None:
    units = layer.units[-3:]
    return str(units[0]) if all(unit.is_compatible_with("mm") for unit in units) else None


def _level(layer: "Image | Labels") -> Any:
    """Array of a layer, of its finest level if there are several."""
    return layer.data[0] if layer.multiscale else layer.data


def _names(layer: "Labels") -> dict[int, str]:
    """Names of label values: those of CoralBay, or a column of the layer's features, as napari shows them."""
    if "names" in layer.metadata:
        return dict(layer.metadata["names"])
    features = layer.features
    column = next((name for name in ("name", "label", "class") if name in features), None)
    if column is None:
        return {}
    values = features.get("index", features.index)
    return {int(value): str(name) for value, name in zip(values, features[column], strict=True) if int(value) > 0}


def _lies_in(grid: Grid, scan: "Scan") -> bool:
    """Whether labels have no corner outside of a scan."""
    index = scan.volume.grid.to_index(grid.corner_positions)
    return bool(
        (index >= -_OUTSIDE_VOXELS).all() and (index <= np.array(scan.volume.shape) - 1 + _OUTSIDE_VOXELS).all()
    )


def _keep_thin(data: NDArray[np.uint8], labels: LabelVolume, grid: Grid) -> None:
    """Write into `data` what lies between its voxels: a stroke may be thinner than they are."""
    index = labeled_voxels(labels.data)
    places = labels.grid.cell_positions(index)
    inside = grid.contains(places)
    at = tuple(grid.nearest_index(places[inside]).T)
    values = labels.data.reshape(-1)[index][inside]
    free = data[at] == 0
    data[tuple(axis[free] for axis in at)] = values[free]
