"""Saving of napari layers as NIfTI."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, LabelVolume, Volume, geometry
from coralbay_core.spatial.volume import AXIS_CODES

from ..display.layer_specs import IS_SCAN, MADE_ON
from ..display.napari_world import world_affine
from ..model.grids import viewing_grid
from ..model.inputs import Inputs


def save_layer(path: Path, data: Any, attributes: dict[str, Any], is_labels: bool) -> Path:
    """Save an image or labels.

    Parameters
    ----------
    path : Path
        Ends in ``.nii`` or ``.nii.gz``.
    data : (z, y, x) array, or (z, y, x, 3 or 4) of an RGB image
    attributes : dict
        Of the layer, as napari gives them to writers.
    is_labels : bool
        Labels keep their values; an image that is not on its scan's grid is interpolated.

    Raises
    ------
    InputError
        For other dimensions.
    """
    from napari import current_viewer

    from coralbay_core.io import save_map
    from coralbay_core.spatial.resampling import resample

    require_free(path, current_viewer())
    data = np.asarray(data)
    rgb = bool(attributes.get("rgb"))
    if data.ndim != 3 + rgb:
        raise InputError(
            "layer cannot be written as NIfTI", where=attributes.get("name", "layer"), found=f"{data.ndim - rgb}-D",
            expected="3-D",
        )  # fmt: skip
    data = data[..., :3] if rgb else data
    grid = Grid(data.shape[:3], world_affine(data_to_world(attributes)))
    metadata = attributes.get("metadata", {})
    scan = metadata.get(MADE_ON) or metadata.get(IS_SCAN) or _open_scan(grid)
    if rgb and np.issubdtype(data.dtype, np.floating):
        data = np.rint(np.clip(data, 0, 1) * 255).astype(np.uint8)
    if isinstance(scan, Volume | LabelVolume) and is_labels and not _holds(scan.grid, grid, data):
        scan = None  # on the grid of the scan what was painted beside it would be lost
    if not isinstance(scan, Volume | LabelVolume):
        data, grid = _in_usual_order(data, grid)
        return save_map(path, data, LabelVolume(np.zeros(grid.shape, np.uint8), grid, name=path.name))
    if not _coincide(grid, scan.grid):
        channels = np.moveaxis(data, -1, 0) if rgb else data[None]
        order = 0 if is_labels else 1
        fills = [0.0 if is_labels else float(c.min()) for c in channels]
        parts = zip(channels, fills, strict=True)
        moved = np.stack([resample(c, grid, scan.grid, order=order, fill=fill) for c, fill in parts], -1)
        moved = np.rint(moved) if np.issubdtype(data.dtype, np.integer) else moved
        data = (moved if rgb else moved[..., 0]).astype(data.dtype)
    return save_map(path, data, scan)


def _open_scan(grid: Grid) -> Volume | None:
    """Return the scan that the current viewer shows on this grid: napari's own new labels name no scan."""
    from napari import current_viewer

    viewer = current_viewer()
    scans = [layer.metadata.get(IS_SCAN) for layer in (viewer.layers if viewer is not None else ())]
    shown = (scan for scan in scans if isinstance(scan, Volume) and _coincide(grid, viewing_grid(scan.grid)))
    return next(shown, None)


def require_free(path: Path, viewer: Any, inputs: Inputs | None = None) -> None:
    """Raise if a file would replace one that a layer of the viewer, or the session, was read from."""
    inputs = inputs or Inputs()
    inputs.require_free(path)
    shown = Inputs()
    for layer in () if viewer is None else viewer.layers:
        for source in (layer.source.path, layer.metadata.get(IS_SCAN), layer.metadata.get(MADE_ON)):
            shown.note(source)
    for done in inputs.written:
        shown.wrote(done)
    shown.require_free(path)


def _holds(scan: Grid, grid: Grid, labels: NDArray) -> bool:
    """Whether all labeled voxels of a grid lie in a scan."""
    return _coincide(grid, scan) or bool(scan.contains(grid.cell_positions(labels != 0)).all())


def _in_usual_order(data: NDArray, grid: Grid) -> tuple[NDArray, Grid]:
    """Turn an array to the axes S, P, L, as those of scans are: layers may run the other way, or along other axes."""
    order, flips = geometry.reorient(grid.affine, AXIS_CODES)
    turned = np.flip(data.transpose(*order, *range(3, data.ndim)), [axis for axis, flip in enumerate(flips) if flip])
    return turned, Grid(turned.shape[:3], geometry.reoriented_affine(grid.affine, grid.shape, order, flips))


def _coincide(one: Grid, other: Grid) -> bool:
    return one.shape == other.shape and np.allclose(one.affine, other.affine, atol=1e-3)


def data_to_world(attributes: dict[str, Any]) -> NDArray[np.float64]:
    """Return the affine from array index to napari's world, with the layer's scale, shear, rotation and translation."""
    from napari.utils.transforms import Affine

    own = {key: attributes.get(key) for key in ("scale", "translate", "rotate", "shear")}
    inner = Affine(**{key: value for key, value in own.items() if value is not None}, ndim=3)
    outer = np.asarray(attributes.get("affine", np.eye(4)), float)
    return outer @ inner.affine_matrix
