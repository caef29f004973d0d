"""Descriptions of layers, independent of the viewer that draws them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume
from coralbay_core.spatial.geometry import Affine
from coralbay_core.spatial.label_colors import hexadecimal

from ..model import palette
from ..model.grids import viewing_volume
from .napari_world import napari_affine

Kind = Literal["image", "labels", "points"]

# Name of the class of everything else.
BACKGROUND = "background"
CLEAR = "#00000000"
_NONE_CHOSEN: Mapping[int, str] = MappingProxyType({})

# Keys of a layer's metadata: the scan that it is, and the scan that it was made on.
IS_SCAN, MADE_ON = "coralbay", "coralbay_scan"

# From the bottom of a stack of layers to its top.
ROLES = (
    "ct", "warped", "pca", "clusters", "training_pca", "heat", "training_heat", "windows", "symmetry", "hover",
    "segmentation", "scores", "lasso", "strokes", "regions", "found", "suggestions", "mark", "clicks",
)  # fmt: skip


HU_ROLES = ("ct", "warped")
"""Roles of images in HU, drawn in the gray scale of the scan."""


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """Layer of a viewer, independent of the viewer.

    Parameters
    ----------
    kind : str
        ``image``, ``labels`` or ``points``.
    role : str
        Meaning in the session, one of `ROLES`.
    data : ndarray
        ``(z, y, x)``, ``(z, y, x, 4)`` for RGBA, or world mm of shape (n, 3) for points.
    grid : Grid, optional
        Of `data`; points have none.
    name : str
    colormap : str or (n, 4) array, optional
    contrast_limits : tuple of float, optional
    opacity : float
    blending : str
        Name of a napari blending mode.
    interpolation : str
        Within a slice of an image.
    colors : dict
        Of label values.
    style : dict
        Other arguments of a points layer.
    metadata : dict
    """

    kind: Kind
    role: str
    data: NDArray
    name: str
    grid: Grid | None = None
    colormap: str | NDArray | None = None
    contrast_limits: tuple[float, float] | None = None
    opacity: float = 1.0
    blending: str = "translucent_no_depth"
    interpolation: str = "linear"
    colors: dict[int | None, str] = field(default_factory=dict)
    style: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def domain(self) -> Grid:
        """Grid of an image or of labels."""
        if self.grid is None:
            raise ValueError(f"{self.role}: points have no grid")
        return self.grid

    @property
    def affine(self) -> Affine:
        """Affine of the napari layer, from array index to napari's world."""
        return np.eye(4) if self.grid is None else napari_affine(self.grid)

    @property
    def is_rgb(self) -> bool:
        """Whether the data are colors."""
        return self.kind == "image" and self.data.ndim == 4


def ct_spec(volume: Volume, window: str = palette.DEFAULT_WINDOW) -> LayerSpec:
    """Return the layer of a scan; `metadata` holds the scan itself, with its true affine."""
    shown = viewing_volume(volume)
    return LayerSpec(
        "image",
        "ct",
        shown.data,
        volume.name,
        shown.grid,
        colormap="gray",
        contrast_limits=palette.WINDOWS[window].limits_hu,
        blending="opaque",
        metadata={IS_SCAN: volume},
    )


def warped_spec(data: NDArray, grid: Grid, name: str) -> LayerSpec:
    """Return the layer of HU that cover a scan: gray, under the window of that scan."""
    return LayerSpec("image", "warped", data, name, grid, colormap="gray", blending="opaque")


def heat_spec(data: NDArray, grid: Grid, limits: tuple[float, float], name: str, role: str = "heat") -> LayerSpec:
    """Return the layer of a heat map; values below the lower limit are transparent."""
    limits = heat_limits(*limits)
    return LayerSpec("image", role, data, name, grid, colormap=palette.heat_colors(), contrast_limits=limits)


def hover_spec(data: NDArray, grid: Grid, limits: tuple[float, float]) -> LayerSpec:
    """Return the layer of a preview under the cursor, in a color that heat maps do not use."""
    return LayerSpec(
        "image", "hover", data, "hover", grid, colormap=palette.hover_colors(), contrast_limits=heat_limits(*limits)
    )


def fraction_spec(data: NDArray, grid: Grid, role: str, name: str) -> LayerSpec:
    """Return the layer of values in [0, 1] (ranks, agreement, probabilities); 0 is transparent."""
    return LayerSpec(
        "image", role, data, name, grid, colormap=palette.fraction_colors(), contrast_limits=(0.0, 1.0), opacity=0.7
    )


def found_spec(positions_mm: ArrayLike, texts: Sequence[str]) -> LayerSpec:
    """Return the layer of matched positions (matches, counterparts, landmarks), world mm of shape (n, 3)."""
    points = np.asarray(positions_mm, float).reshape(-1, 3)
    text = {"string": list(texts), "size": 10, "color": palette.FOUND, "anchor": "upper_left"}
    style = {"symbol": "diamond", "face_color": "transparent", "border_color": palette.FOUND, "text": text}
    return LayerSpec("points", "found", points, "found", style=style)


def heat_limits(threshold: float, highest: float) -> tuple[float, float]:
    """Return contrast limits of a heat map; the second is above the first, as viewers require."""
    return threshold, max(highest, threshold + 1e-4 * max(1.0, abs(threshold)))


def scores_spec(data: NDArray, grid: Grid, name: str) -> LayerSpec:
    """Return the layer of probabilities or uncertainties in [0, 1]."""
    limits = (0.0, 1.0)
    return LayerSpec(
        "image", "scores", data, name, grid, colormap=palette.heat_colors(), contrast_limits=limits, opacity=0.7
    )


def rgb_spec(data: NDArray, grid: Grid, name: str, role: str = "pca") -> LayerSpec:
    """Return the layer of an RGB map of shape (z, y, x, 3), uint8; black is transparent."""
    alpha = np.where(data.any(-1, keepdims=True), np.uint8(255), np.uint8(0))
    return LayerSpec("image", role, np.concatenate([data, alpha], -1), name, grid, opacity=0.6)


def labels_spec(
    labels: LabelVolume, role: str = "segmentation", opacity: float = 0.5, chosen: Mapping[int, str] = _NONE_CHOSEN
) -> LayerSpec:
    """Return the layer of a label map in the class colors; the class background is transparent, gray in strokes.

    Parameters
    ----------
    labels : LabelVolume
    role : str
    opacity : float
    chosen : mapping of int to str
        Colors in place of those of the palette and of the file that the labels were read from.
    """
    chosen = {value: hexadecimal(color) for value, color in labels.colors.items()} | dict(chosen)
    # Painting brings values that are not there yet, and to look for those of a large map takes longer than 256 colors.
    small = labels.data.dtype == np.uint8
    values = range(256) if small else [int(value) for value in np.unique(labels.data)]
    shown = label_colors(values, labels.names, palette.UNDECIDED if role == "strokes" else CLEAR, chosen)
    metadata = {"names": dict(labels.names), "grid": labels.grid}
    return LayerSpec(
        "labels", role, labels.data, labels.name, labels.grid, opacity=opacity, colors=shown, metadata=metadata
    )


def strokes_spec(strokes: LabelVolume, chosen: Mapping[int, str] = _NONE_CHOSEN) -> LayerSpec:
    """Strokes: almost opaque, to stand out against the segmentation below."""
    return labels_spec(strokes, "strokes", opacity=0.9, chosen=chosen)


def label_colors(
    values: Iterable[int], names: Mapping[int, str], background: str, chosen: Mapping[int, str] = _NONE_CHOSEN
) -> dict[int | None, str]:
    """Return colors of label values; 0 and unlisted values are transparent."""
    shown: dict[int | None, str] = {None: CLEAR, 0: CLEAR}
    for value in values:
        if value:
            shown[value] = background if names.get(value) == BACKGROUND else palette.class_color(value, chosen)
    return shown


def clicks_spec(positive: ArrayLike, negative: ArrayLike) -> LayerSpec:
    """Return the layer of clicks, world mm of shapes (n, 3) and (m, 3)."""
    positive, negative = (np.asarray(points, float).reshape(-1, 3) for points in (positive, negative))
    face = [palette.POSITIVE] * len(positive) + [palette.NEGATIVE] * len(negative)
    style = {"symbol": "disc", "face_color": face or palette.POSITIVE, "border_color": "white"}
    return LayerSpec("points", "clicks", np.concatenate([positive, negative]), "prompts", style=style)


def regions_spec(positions_mm: ArrayLike, marked: int | None = None) -> LayerSpec:
    """Return the layer of top regions, best first, numbered from 1; region `marked` (from 0) is highlighted."""
    points = np.asarray(positions_mm, float).reshape(-1, 3)
    text = {
        "string": [str(i + 1) for i in range(len(points))],
        "size": 10,
        "color": palette.REGION,
        "anchor": "upper_left",
    }
    border = [palette.MARKED if i == marked else palette.REGION for i in range(len(points))]
    style = {"symbol": "ring", "face_color": "transparent", "border_color": border or palette.REGION, "text": text}
    return LayerSpec("points", "regions", points, "similar regions", style=style)


def suggestions_spec(positions_mm: ArrayLike) -> LayerSpec:
    """Return the layer of suggested places, the most useful first, numbered from 1."""
    points = np.asarray(positions_mm, float).reshape(-1, 3)
    text = {"string": [str(i + 1) for i in range(len(points))], "size": 11, "color": palette.SUGGESTION}
    style = {"symbol": "diamond", "face_color": "transparent", "border_color": palette.SUGGESTION, "text": text}
    return LayerSpec("points", "suggestions", points, "suggestions", style=style)


def mark_spec(position_mm: ArrayLike) -> LayerSpec:
    """Return the layer of the point that is marked in a scatter plot."""
    style = {"symbol": "cross", "face_color": palette.MARKED, "border_color": "black"}
    return LayerSpec("points", "mark", np.asarray(position_mm, float).reshape(1, 3), "marked point", style=style)
