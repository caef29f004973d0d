"""An overview picture without a plotting library."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..util.atomic_file import write_atomically

_GAP = 6


def overview(hu: NDArray, rgb: NDArray[np.uint8], body: NDArray[np.bool_], window_hu: tuple[float, float]) -> NDArray:
    """Three planes through the middle of the body, the CT above the colors, (height, width, 3) uint8.

    Parameters
    ----------
    hu : (z, y, x) array
    rgb : (z, y, x, 3) uint8 array
    body : (z, y, x) bool array
    window_hu : tuple of float
        HU shown black and white.

    All on one isotropic grid with axes S, P, L: axial as radiologists see it, coronal and sagittal with the head up.
    """
    from ..spatial.preprocessing import to_unit

    gray = np.repeat(np.rint(255 * to_unit(hu, window_hu)).astype(np.uint8)[..., None], 3, -1)
    middle = [int(np.median(ends)) if len(ends) else n // 2 for ends, n in zip(body.nonzero(), body.shape, strict=True)]
    columns = [
        np.concatenate([upper, _gap(upper), lower])
        for upper, lower in zip(_planes(gray, middle), _planes(rgb, middle), strict=True)
    ]
    return _side_by_side(columns)


def _planes(image: NDArray, at: list[int]) -> tuple[NDArray, NDArray, NDArray]:
    return image[at[0]], image[::-1, at[1]], image[::-1, :, at[2]]


def _gap(image: NDArray) -> NDArray:
    return np.zeros((_GAP, *image.shape[1:]), image.dtype)


def _side_by_side(images: list[NDArray]) -> NDArray:
    height = max(len(image) for image in images)
    padded = [np.pad(image, ((0, height - len(image)), (0, _GAP), (0, 0))) for image in images]
    return np.concatenate(padded, 1)[:, :-_GAP]


def write_png(path: Path, image: NDArray[np.uint8]) -> Path:
    """Write (height, width, 3) uint8, whole or not at all."""
    height, width, _ = image.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], 1)
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows.tobytes(), 6)),
            (b"IEND", b""),
        )
    )
    return write_atomically(path, content)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
