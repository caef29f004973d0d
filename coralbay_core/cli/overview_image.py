"""The overview picture of ``project``: three planes of the CT above the same planes in colors."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..util.atomic_file import atomic_path

_GAP = 6


def overview(hu: NDArray, rgb: NDArray[np.uint8], body: NDArray[np.bool_], window_hu: tuple[float, float]) -> NDArray:
    """Three planes through the middle of the body, the CT above the colors, (height, width, 3) uint8.

    Parameters
    ----------
    hu : (z, y, x) array
        Volume on an isotropic grid with axes S, P, L.
    rgb : (z, y, x, 3) uint8 array
        Colors on the same grid.
    body : (z, y, x) bool array
        Mask of the body on the same grid.
    window_hu : tuple of float
        HU shown black and white.
    """
    from ..evaluate.pictures import PLANES, plane
    from ..spatial.preprocessing import to_unit

    gray = np.repeat(np.rint(255 * to_unit(hu, window_hu)).astype(np.uint8)[..., None], 3, -1)
    middle = tuple(
        int(np.median(ends)) if len(ends) else n // 2 for ends, n in zip(body.nonzero(), body.shape, strict=True)
    )
    columns = []
    for name in PLANES:
        upper, lower = plane(gray, middle, name), plane(rgb, middle, name)
        columns.append(np.concatenate([upper, _gap(upper), lower]))
    return _side_by_side(columns)


def _gap(image: NDArray) -> NDArray:
    return np.zeros((_GAP, *image.shape[1:]), image.dtype)


def _side_by_side(images: list[NDArray]) -> NDArray:
    height = max(len(image) for image in images)
    padded = [np.pad(image, ((0, height - len(image)), (0, _GAP), (0, 0))) for image in images]
    return np.concatenate(padded, 1)[:, :-_GAP]


def write_png(path: Path, image: NDArray[np.uint8]) -> Path:
    """Write a (height, width, 3) uint8 image atomically."""
    from PIL import Image  # a dependency of matplotlib

    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="png")
    return path
