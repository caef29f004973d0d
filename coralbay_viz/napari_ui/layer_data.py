"""Conversion of a `LayerSpec` to a napari layer."""

from typing import TYPE_CHECKING, Any

import numpy as np

from coralbay_core.spatial import Volume

from ..display.layer_specs import MADE_ON, LayerSpec
from ..display.napari_world import napari_from_world
from ..display.raycast import ATTENUATION
from ..model.palette import RANGE_HU

if TYPE_CHECKING:
    from napari.layers import Layer

AXES = ("S", "P", "L")
UNITS = ("mm", "mm", "mm")

# napari shows points that lie within half a data unit of the slice, and steps through slices by the smallest data unit
# of all layers: points measured in their own diameter are seen as far as they reach, and leave the steps to the scan.
POINT_MM = 8.0


def layer_data(spec: LayerSpec) -> tuple[Any, dict[str, Any], str]:
    """Return the tuple (data, attributes, type) that readers return and `napari.layers.Layer.create` takes."""
    attributes: dict[str, Any] = {
        "name": spec.name,
        "affine": spec.affine,
        "opacity": spec.opacity,
        "blending": spec.blending,
        "metadata": dict(spec.metadata),
        "units": UNITS,
        "axis_labels": AXES,
    }
    attributes |= {"image": _image, "labels": _labels, "points": _points}[spec.kind](spec)
    data = napari_from_world(spec.data) / POINT_MM if spec.kind == "points" else spec.data
    return data, attributes, spec.kind


def make_layer(spec: LayerSpec, scan: Volume | None = None) -> "Layer":
    """Create the napari layer; its metadata hold the scan that it was made on."""
    from napari.layers import Layer

    layer = Layer.create(*layer_data(spec))
    layer.metadata[MADE_ON] = scan
    if spec.role == "ct":
        layer.contrast_limits_range = RANGE_HU
    if spec.kind == "points":
        layer.editable = False
    return layer


def update_points(layer: "Layer", spec: LayerSpec, restyle: bool) -> None:
    """Replace the points of a layer, then their style."""
    set_points(layer, layer_data(spec)[0])
    looks = _points(spec) if restyle else {}
    for name in ("features", "face_color", "border_color"):
        if name in looks:
            setattr(layer, name, looks[name])


def set_points(layer: "Layer", data: Any) -> None:
    """Replace the points of a layer, also by fewer.

    Until the next slicing, which a hidden layer skips, napari 0.9 looks up texts and colors of the previous slice's
    points, and fails if these do not exist any more.
    """
    if np.array_equal(layer.data, data):
        return  # napari would slice and draw them again
    with layer.text.events.blocker_all():
        layer.data = data
    if not layer.visible:
        layer.set_view_slice()


def empty(layer: "Layer") -> None:
    """Empty a layer of points or of a map, and free its array."""
    from napari.layers import Points

    if isinstance(layer, Points):
        set_points(layer, np.zeros((0, 3)))
    else:
        layer.data = np.full((1, 1, 1), layer.contrast_limits[0], layer.data.dtype)


def _image(spec: LayerSpec) -> dict[str, Any]:
    attributes: dict[str, Any] = {"rgb": spec.is_rgb, "interpolation2d": spec.interpolation}
    if not spec.is_rgb:
        attributes |= {"colormap": _colormap(spec.colormap), "contrast_limits": spec.contrast_limits}
    if spec.role == "ct":
        attributes |= {"rendering": "attenuated_mip", "attenuation": ATTENUATION}
    return attributes


def _colormap(colormap: Any) -> Any:
    return {"colors": colormap, "name": "coralbay"} if isinstance(colormap, np.ndarray) else colormap


def _labels(spec: LayerSpec) -> dict[str, Any]:
    return {"colormap": spec.colors} if spec.colors else {}


def _points(spec: LayerSpec) -> dict[str, Any]:
    attributes = {"ndim": 3, "scale": (POINT_MM,) * 3, "size": 1, **spec.style}
    if "text" in spec.style:
        # By a feature: a list of texts must have as many as there are points at every moment.
        text = spec.style["text"]
        attributes |= {"features": {"text": np.array(text["string"], object)}, "text": {**text, "string": "{text}"}}
    return attributes
