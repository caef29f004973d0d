"""Colors of labels in DICOM objects."""

import numpy as np

from ..spatial.label_colors import Color

# sRGB to XYZ (IEC 61966-2-1) under D65, the white that DCMTK, highdicom and dcmjs use for these values.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(1)
_LINEAR_BELOW = (6 / 29) ** 3


def cielab_value(color: Color) -> list[int]:
    """Return a color as a Recommended Display CIELab Value (PS3.3 C.10.7.1.1)."""
    share = np.array(color) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = _TO_XYZ @ linear / _WHITE
    x, y, z = np.where(xyz > _LINEAR_BELOW, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
    shares = (lab + [0, 128, 128]) / [100, 255, 255]
    return [int(value) for value in np.rint(65535 * np.clip(shares, 0, 1))]
