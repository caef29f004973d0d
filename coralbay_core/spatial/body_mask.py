"""Mask of the patient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TISSUE_HU = -500.0
_WORKING_MM = 3.0
# Table tops, straps and clothes are thinner than this, bodies are not.
_OPENING_MM = 12.0
_SMALLEST_PART = 0.05
# A pocket of air that is cut by the edge of the image is lung and not room if even its darkest tenth is above this.
_ROOM_AIR_HU = -940.0
_DARKER_PERCENT = 10


def body_mask(hu: NDArray, spacing_mm: ArrayLike) -> NDArray[np.bool_]:
    """Compute a mask of the body, with lungs and other air inside it, without the table if it can be separated.

    Works on cells of about 3 mm: tissue by threshold, thin structures dropped by opening, small parts dropped, holes
    filled slice by slice.

    Parameters
    ----------
    hu : (z, y, x) array
    spacing_mm : three floats
        Along z, y, x.

    Returns
    -------
    bool array of the shape of `hu`
    """
    spacing = np.broadcast_to(np.asarray(spacing_mm, float), 3)
    pool = np.maximum(1, np.round(_WORKING_MM / spacing)).astype(int)
    coarse = _pooled(hu, pool)
    cells_mm = spacing * pool
    body = _large_parts(coarse > _TISSUE_HU, cells_mm)
    return _unpooled(_filled(body, coarse), pool, hu.shape)


def _pooled(hu: NDArray, pool: NDArray) -> NDArray[np.float32]:
    """Means over cells of `pool` voxels; the last cell of an axis may be smaller and repeats its edge."""
    pad = [(0, int(-n % p)) for n, p in zip(hu.shape, pool, strict=True)]
    padded = np.pad(hu, pad, mode="edge") if any(high for _, high in pad) else hu
    nz, ny, nx = (n // p for n, p in zip(padded.shape, pool, strict=True))
    cells = padded.reshape(nz, pool[0], ny, pool[1], nx, pool[2])
    return cells.mean((1, 3, 5), dtype=np.float32)


def _unpooled(mask: NDArray[np.bool_], pool: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    for axis, factor in enumerate(pool):
        mask = mask.repeat(factor, axis)
    return np.ascontiguousarray(mask[: shape[0], : shape[1], : shape[2]])


def _large_parts(tissue: NDArray[np.bool_], cells_mm: NDArray) -> NDArray[np.bool_]:
    """Tissue without thin sheets and small parts.

    Opening drops structures thinner than its diameter; the rest is grown back by the same distance inside the tissue,
    so that ears and fingers return but the table, which lies further away, does not.
    """
    from scipy import ndimage

    element = _ball(_OPENING_MM / 2, cells_mm)
    # Eroding with a border of tissue keeps bodies that the field of view cuts.
    core = ndimage.binary_erosion(tissue, element, border_value=1)
    parts, count = ndimage.label(core)
    if not count:
        return tissue
    sizes = np.bincount(parts.ravel())[1:]
    keep = np.append(False, sizes >= _SMALLEST_PART * sizes.max())
    return ndimage.binary_dilation(keep[parts], _ball(_OPENING_MM / 2 + cells_mm.max(), cells_mm)) & tissue


def _ball(radius_mm: float, cells_mm: NDArray) -> NDArray[np.bool_]:
    reach = [np.arange(-int(radius_mm // mm), int(radius_mm // mm) + 1) * mm for mm in cells_mm]
    z, y, x = np.meshgrid(*reach, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2 + 1e-6


def _filled(body: NDArray[np.bool_], hu: NDArray) -> NDArray[np.bool_]:
    """All but the room around the patient: holes are filled slice by slice, since lungs may open at the ends."""
    from scipy import ndimage

    room = _room(~body, hu)
    filled = np.empty_like(body)
    for index, air in enumerate(~body):
        parts, _ = ndimage.label(air)
        outside = np.unique(parts[_border(air.shape) & room[index]])
        filled[index] = ~np.isin(parts, outside[outside > 0])
    return filled


def _room(air: NDArray[np.bool_], hu: NDArray) -> NDArray[np.bool_]:
    """Pockets of air that reach the edge of the image and are as dark as a room; in crops, lung reaches it too."""
    from scipy import ndimage

    parts, count = ndimage.label(air)
    is_room = np.zeros(count + 1, bool)
    at_border = np.unique(parts[:, _border(air.shape[1:])])
    for part in at_border[at_border > 0]:
        is_room[part] = np.percentile(hu[parts == part], _DARKER_PERCENT) < _ROOM_AIR_HU
    return is_room[parts]


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    border = np.ones(shape, bool)
    border[1:-1, 1:-1] = False
    return border
