"""From CoralBay's world to napari's, and what a layer shows. Knows no GUI toolkit.

CoralBay's world is RAS+ mm; napari's is ``(S, P, L)`` mm, so that a volume's array axes and napari's dimensions run the
same way: ``J`` maps ``(R, A, S)`` to ``(S, -A, -R)``. This is the only module that converts between the two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coralbay_core import geometry
from coralbay_core.geometry import Affine
from coralbay_core.volume import Grid, LabelVolume, Volume

from . import colors

# RAS+ mm -> napari world.
J: Affine = np.array([[0.0, 0, 1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
J.setflags(write=False)
_J_INVERSE = np.linalg.inv(J)

OVERLAY_SPACING_MM = 3.0
LABEL_SPACING_MM = 1.5
_MAX_VIEW_VOXELS = 256**3


def napari_from_world(position_mm: ArrayLike) -> NDArray[np.float64]:
    """RAS+ mm, shape (..., 3), to napari world coordinates."""
    return geometry.apply(J, position_mm)


def world_from_napari(position: ArrayLike) -> NDArray[np.float64]:
    """napari world coordinates, shape (..., 3), to RAS+ mm."""
    return geometry.apply(_J_INVERSE, position)


def world_affine(affine: ArrayLike) -> Affine:
    """Index to RAS+ mm, from an affine of index to napari's world."""
    return _J_INVERSE @ np.asarray(affine, float)


def is_sliceable(grid: Grid) -> bool:
    """Whether napari can slice this grid as it is.

    napari shows a rotated or sheared array as if it were not; what that would displace must stay under a quarter voxel.
    """
    straight = _straightened(grid)
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij"), -1).reshape(-1, 3)
    moved = np.abs(grid.to_world(corners) - geometry.apply(straight, corners)).max()
    return bool(moved <= 0.25 * grid.spacing_mm.min() + 1e-9)


def napari_affine(grid: Grid) -> Affine:
    """Affine of a napari layer on this grid; exactly axis-aligned where that is what the grid means.

    Files store affines with rounding noise (1e-7 and so), which alone makes napari refuse to slice out of plane.
    """
    return J @ shown_affine(grid)


def shown_affine(grid: Grid) -> Affine:
    """Index to RAS+ mm as a viewer shows the grid: exactly axis-aligned where that is what the grid means."""
    return _straightened(grid) if is_sliceable(grid) else grid.affine


def viewing_grid(grid: Grid) -> Grid:
    """The grid itself, or, where napari could not slice it, an axis-aligned box around it at (nearly) its spacing."""
    if is_sliceable(grid):
        return grid
    low, high = grid.bounds_mm
    extent = high - low
    # An isotropic box: slices of an oblique scan share their spacing with no world axis.
    spacing = max(float(grid.spacing_mm.min()), float(np.prod(extent) / _MAX_VIEW_VOXELS) ** (1 / 3))
    size = np.ceil(extent / spacing - 1e-6).astype(int)
    affine = np.zeros((4, 4))
    # Index (z, y, x) grows to S, P, L from the corner that is lowest, most anterior and rightmost.
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing, -spacing, -spacing
    affine[:, 3] = high[0] - spacing / 2, high[1] - spacing / 2, low[2] + spacing / 2, 1
    return Grid((int(size[2]), int(size[1]), int(size[0])), affine)


def viewing_volume(volume: Volume) -> Volume:
    """The volume as a viewer shows it; queries keep using the volume itself and its true affine."""
    grid = viewing_grid(volume.grid)
    if grid is volume.grid:
        return volume
    from coralbay_core.preprocess import resample

    data = resample(volume.data, volume.grid, grid, order=1, fill=float(colors.RANGE_HU[0]))
    return Volume(np.rint(data).astype(np.int16), grid, name=volume.name, path=volume.path, modality=volume.modality)


def overlay_grid(grid: Grid, spacing_mm: float = OVERLAY_SPACING_MM) -> Grid:
    """Grid over the same box with no step below a spacing, for maps that are smooth: quick to fill and to draw."""
    ratio = np.maximum(spacing_mm / grid.spacing_mm, 1)
    shape = tuple(max(1, int(np.ceil(n / r - 1e-6))) for n, r in zip(grid.shape, ratio, strict=True))
    return Grid(shape, geometry.coarsen(grid.affine, ratio))  # type: ignore[arg-type]


def planes_at(grid: Grid, position_mm: ArrayLike) -> tuple[Grid, ...]:
    """The three slices of a grid, one voxel thick, that hold a world position or are nearest to it."""
    index = np.clip(np.rint(grid.to_index(position_mm)), 0, np.asarray(grid.shape) - 1)
    planes = []
    for axis in range(3):
        start, shape = np.zeros(3), list(grid.shape)
        start[axis], shape[axis] = index[axis], 1
        planes.append(Grid(tuple(shape), grid.affine @ geometry.translate(start)))  # type: ignore[arg-type]
    return tuple(planes)


def _straightened(grid: Grid) -> Affine:
    """The affine with each array axis turned onto its nearest world axis, about the centre of the grid."""
    axes, signs = geometry.nearest_axes(grid.affine)
    straight = np.eye(4)
    straight[:3, :3] = 0
    straight[axes, np.arange(3)] = signs * np.abs(grid.affine[axes, np.arange(3)])
    centre = (np.asarray(grid.shape) - 1) / 2
    straight[:3, 3] = grid.to_world(centre) - straight[:3, :3] @ centre
    return straight


Kind = Literal["image", "labels", "points"]

# Name of a class that says "none of the others".
BACKGROUND = "background"
CLEAR = "#00000000"

# Keys of a layer's metadata: the scan that it is, the DICOM series chosen for it, and the scan that it was made on.
IS_SCAN, SERIES, MADE_ON = "coralbay", "coralbay_series", "coralbay_scan"

# From the bottom of a stack of layers to its top.
ROLES = (
    "ct", "pca", "clusters", "training_pca", "heat", "training_heat", "windows", "symmetry", "hover", "segmentation",
    "scores", "lasso", "strokes", "regions", "found", "suggestions", "mark", "clicks",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """What a viewer shows, in words that every viewer understands.

    Parameters
    ----------
    kind : str
        ``image``, ``labels`` or ``points``.
    role : str
        What it is to the session, one of `ROLES`.
    data : ndarray
        ``(z, y, x)``, ``(z, y, x, 4)`` for RGBA, or world mm of shape (n, 3) for points.
    grid : Grid, optional
        Of `data`; points have none.
    name : str
    colormap : str or (n, 4) array, optional
    contrast_limits : tuple of float, optional
    opacity : float
    blending : str
        As napari names it.
    interpolation : str
        Within a slice of an image.
    colors : dict
        Of label values.
    style : dict
        What else a points layer takes.
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
    def affine(self) -> Affine:
        """Affine of the napari layer, from array index to napari world."""
        return np.eye(4) if self.grid is None else napari_affine(self.grid)

    @property
    def is_rgb(self) -> bool:
        return self.kind == "image" and self.data.ndim == 4


def ct_spec(volume: Volume, window: str = colors.DEFAULT_WINDOW) -> LayerSpec:
    """A scan in gray; `metadata` carries the scan itself, whose affine is the true one."""
    shown = viewing_volume(volume)
    return LayerSpec(
        "image",
        "ct",
        shown.data,
        volume.name,
        shown.grid,
        colormap="gray",
        contrast_limits=colors.WINDOWS[window].limits_hu,
        blending="opaque",
        metadata={IS_SCAN: volume},
    )


def heat_spec(data: NDArray, grid: Grid, limits: tuple[float, float], name: str, role: str = "heat") -> LayerSpec:
    """A heat map; what lies below the lower limit is clear."""
    limits = heat_limits(*limits)
    return LayerSpec("image", role, data, name, grid, colormap=colors.heat_colors(), contrast_limits=limits)


def hover_spec(data: NDArray, grid: Grid, limits: tuple[float, float]) -> LayerSpec:
    """What a click under the cursor would light up, in a color that no answer has."""
    return LayerSpec(
        "image", "hover", data, "hover", grid, colormap=colors.hover_colors(), contrast_limits=heat_limits(*limits)
    )


def share_spec(data: NDArray, grid: Grid, role: str, name: str) -> LayerSpec:
    """Values in [0, 1], 0 being clear: ranks, agreement, probabilities."""
    return LayerSpec(
        "image", role, data, name, grid, colormap=colors.share_colors(), contrast_limits=(0.0, 1.0), opacity=0.7
    )


def found_spec(positions_mm: ArrayLike, texts: Sequence[str]) -> LayerSpec:
    """Places that were found for others: matches, counterparts, landmarks; world mm of shape (n, 3)."""
    points = np.asarray(positions_mm, float).reshape(-1, 3)
    text = {"string": list(texts), "size": 10, "color": colors.FOUND, "anchor": "upper_left"}
    style = {"symbol": "diamond", "face_color": "transparent", "border_color": colors.FOUND, "text": text}
    return LayerSpec("points", "found", points, "found", style=style)


def heat_limits(threshold: float, highest: float) -> tuple[float, float]:
    """Contrast limits of a heat map; viewers want the second above the first, whatever the map holds."""
    return threshold, max(highest, threshold + 1e-4 * max(1.0, abs(threshold)))


def scores_spec(data: NDArray, grid: Grid, name: str) -> LayerSpec:
    """Probabilities or margins in [0, 1]."""
    limits = (0.0, 1.0)
    return LayerSpec(
        "image", "scores", data, name, grid, colormap=colors.heat_colors(), contrast_limits=limits, opacity=0.7
    )


def rgb_spec(data: NDArray, grid: Grid, name: str, role: str = "pca") -> LayerSpec:
    """An RGB map of shape (z, y, x, 3), uint8, black = clear."""
    alpha = np.where(data.any(-1, keepdims=True), np.uint8(255), np.uint8(0))
    return LayerSpec("image", role, np.concatenate([data, alpha], -1), name, grid, opacity=0.6)


def labels_spec(labels: LabelVolume, role: str = "segmentation", opacity: float = 0.5) -> LayerSpec:
    """A label map in the fixed class colors; a class named background is clear, in strokes it is gray."""
    # Painting brings values that are not there yet, and to look for those of a large map takes longer than 256 colors.
    small = labels.data.dtype == np.uint8
    values = range(256) if small else [int(value) for value in np.unique(labels.data)]
    palette = label_colors(values, labels.names, colors.UNDECIDED if role == "strokes" else CLEAR)
    metadata = {"names": dict(labels.names), "grid": labels.grid}
    return LayerSpec(
        "labels", role, labels.data, labels.name, labels.grid, opacity=opacity, colors=palette, metadata=metadata
    )


def label_colors(values: Iterable[int], names: Mapping[int, str], background: str) -> dict[int | None, str]:
    """Colors of label values; 0 and what is not listed is clear."""
    palette: dict[int | None, str] = {None: CLEAR, 0: CLEAR}
    for value in values:
        if value:
            palette[value] = background if names.get(value) == BACKGROUND else colors.class_color(value)
    return palette


def clicks_spec(positive: ArrayLike, negative: ArrayLike) -> LayerSpec:
    """Clicked positions, world mm of shapes (n, 3) and (m, 3)."""
    positive, negative = (np.asarray(points, float).reshape(-1, 3) for points in (positive, negative))
    face = [colors.POSITIVE] * len(positive) + [colors.NEGATIVE] * len(negative)
    style = {"symbol": "disc", "face_color": face or colors.POSITIVE, "border_color": "white"}
    return LayerSpec("points", "clicks", np.concatenate([positive, negative]), "clicks", style=style)


def regions_spec(positions_mm: ArrayLike, marked: int | None = None) -> LayerSpec:
    """Top regions, best first, numbered from 1; the one that is marked, counted from 0, stands out."""
    points = np.asarray(positions_mm, float).reshape(-1, 3)
    text = {
        "string": [str(i + 1) for i in range(len(points))],
        "size": 10,
        "color": colors.REGION,
        "anchor": "upper_left",
    }
    border = [colors.MARKED if i == marked else colors.REGION for i in range(len(points))]
    style = {"symbol": "ring", "face_color": "transparent", "border_color": border or colors.REGION, "text": text}
    return LayerSpec("points", "regions", points, "top regions", style=style)


def suggestions_spec(positions_mm: ArrayLike) -> LayerSpec:
    """Places to label next, the most useful first, numbered from 1."""
    points = np.asarray(positions_mm, float).reshape(-1, 3)
    text = {"string": [str(i + 1) for i in range(len(points))], "size": 11, "color": colors.SUGGESTION}
    style = {"symbol": "diamond", "face_color": "transparent", "border_color": colors.SUGGESTION, "text": text}
    return LayerSpec("points", "suggestions", points, "label next", style=style)


def mark_spec(position_mm: ArrayLike) -> LayerSpec:
    """The place of the point that is marked in a scatter plot."""
    style = {"symbol": "cross", "face_color": colors.MARKED, "border_color": "black"}
    return LayerSpec("points", "mark", np.asarray(position_mm, float).reshape(1, 3), "marked point", style=style)
