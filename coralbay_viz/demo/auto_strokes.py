"""Automatic strokes and clicks for the tour and for tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume, Volume

from ..display.layer_specs import BACKGROUND

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.phantom import Phantom

_WORKING_MM = 3.0
_SOFT_TISSUE_HU = (0.0, 200.0)
_COUNT, _RADIUS_MM = 5, 5.0
_BACKGROUND = 1

# Tissues that HU separate, so that strokes in an unknown scan are correct.
_TISSUES_HU = {
    2: ("air and lung", -1100, -600),
    3: ("fat", -130, -70),
    4: ("soft tissue", 10, 110),
    5: ("bone", 250, 2500),
}

# Groups of the phantom's labels, by the beginning of their names.
_PHANTOM_CLASSES = {
    2: ("lungs", ("lung_",)),
    3: ("heart", ("heart_",)),
    4: ("aorta", ("aorta",)),
    5: ("liver", ("liver",)),
    6: ("spleen", ("spleen",)),
    7: ("kidneys", ("kidney_",)),
    8: ("stomach", ("stomach",)),
    9: ("spine", ("vertebrae_", "intervertebral_discs", "spinal_cord")),
    10: ("muscle", ("skeletal_muscle", "autochthon", "iliopsoas")),
    11: ("fat", ("subcutaneous_fat", "torso_fat", "skin")),
}


@dataclass(frozen=True, eq=False)
class Strokes:
    """Strokes, and a sentence on their origin."""

    labels: LabelVolume
    about: str


def deep_point(volume: Volume, features: "FeatureMaps") -> NDArray[np.float64]:
    """Return the position deepest inside homogeneous soft tissue: often the liver, the heart or the brain."""
    from scipy import ndimage

    hu, grid, body = _coarse(volume, features)
    mean = ndimage.uniform_filter(hu, 5)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(hu**2, 5) - mean**2, 0))
    low, high = _SOFT_TISSUE_HU
    soft = body & (mean > low) & (mean < high)
    calm = soft & (spread <= np.quantile(spread[soft], 0.5)) if soft.any() else body
    depth = ndimage.distance_transform_edt(np.pad(calm if calm.any() else body, 1))[1:-1, 1:-1, 1:-1]
    return grid.to_world(np.unravel_index(depth.argmax(), depth.shape))


def place(
    volume: Volume, features: "FeatureMaps", grid: Grid, phantom: "Phantom | None" = None, path: Path | None = None
) -> Strokes:
    """Return strokes from a file, else from the phantom's labels or from HU on `grid`."""
    if path is not None:
        from coralbay_core.io import load_labels

        return Strokes(load_labels(path, like=volume), f"Strokes: {path}")
    if phantom is not None:
        classes = phantom_classes(phantom.labels)
        labels = _balls(classes.data, classes.grid, classes.names, grid)
        return Strokes(
            labels,
            f"Strokes: {_COUNT} balls of {_RADIUS_MM:g} mm in each of {len(labels.names)} classes of the phantom.",
        )
    classes = _tissue_classes(volume, features)
    labels = _balls(classes.data, classes.grid, classes.names, grid)
    about = (
        f"Strokes: {_COUNT} balls of {_RADIUS_MM:g} mm per tissue, placed by Hounsfield units. They show how strokes "
        "become a segmentation; to separate organs, paint your own strokes."
    )
    return Strokes(labels, about)


def phantom_classes(truth: LabelVolume) -> LabelVolume:
    """Merge the phantom's labels into a few classes; unlabeled voxels are background."""
    table = np.zeros(int(truth.data.max()) + 1, np.uint8)
    table[0] = _BACKGROUND
    names = {_BACKGROUND: BACKGROUND}
    for value, (name, prefixes) in _PHANTOM_CLASSES.items():
        members = [old for old, label in truth.names.items() if label.startswith(prefixes) and old < len(table)]
        table[members] = value
        if members:
            names[value] = name
    return LabelVolume(table[truth.data], truth.grid, truth.name, names=names)


def _tissue_classes(volume: Volume, features: "FeatureMaps") -> LabelVolume:
    hu, grid, body = _coarse(volume, features)
    data = np.where(body, 0, _BACKGROUND).astype(np.uint8)
    names = {_BACKGROUND: BACKGROUND}
    for value, (name, low, high) in _TISSUES_HU.items():
        data[body & (hu > low) & (hu < high)] = value
        names[value] = name
    return LabelVolume(data, grid, volume.name, names=names)


def _coarse(volume: Volume, features: "FeatureMaps") -> tuple[NDArray, Grid, NDArray]:
    """Return HU, their grid and the body at a coarse spacing, for a fast search."""
    from coralbay_core.spatial.preprocessing import model_grid
    from coralbay_core.spatial.resampling import resample

    grid = model_grid(volume.grid, _WORKING_MM)
    hu = resample(volume.data, volume.grid, grid)
    body = resample(features.body.astype(np.uint8), features.grid, grid, order=0, fill=0) > 0
    return hu, grid, body


def _balls(
    classes: NDArray,
    source: Grid,
    names: dict[int, str],
    grid: Grid,
    count: int = _COUNT,
    radius_mm: float = _RADIUS_MM,
) -> LabelVolume:
    """Paint a few balls per class on another grid, far apart and deep inside it; none in a class that is too thin."""
    data = np.zeros(grid.shape, np.uint8)
    used = {}
    for value, name in names.items():
        for center in _deep_places(classes == value, source, count):
            _paint_ball(data, grid, center, radius_mm, value)
            used[value] = name
    from coralbay_core.spatial.resampling import resample

    data[resample(classes, source, grid, order=0, fill=0) != data] = 0  # a ball ends where its class does
    return LabelVolume(data, grid, name="strokes", names=used)


def _deep_places(mask: NDArray[np.bool_], grid: Grid, count: int) -> list[NDArray]:
    """Return world positions deep inside a mask, far from each other."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=grid.spacing_mm)[1:-1, 1:-1, 1:-1]
    deep = mask & (depth >= max(0.5 * depth.max(), 2 * float(grid.spacing_mm.min())))
    if not deep.any():
        return []
    positions, depths = grid.cell_positions(deep), depth[deep]
    chosen = [int(depths.argmax())]
    for _ in range(count - 1):
        away = np.min([np.linalg.norm(positions - positions[i], axis=1) for i in chosen], axis=0)
        chosen.append(int(away.argmax()))
    return [positions[i] for i in dict.fromkeys(chosen)]


def _paint_ball(data: NDArray, grid: Grid, center_mm: NDArray, radius_mm: float, value: int) -> None:
    box, near = grid.ball(center_mm, radius_mm)
    data[box][near] = value
