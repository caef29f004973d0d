"""Small pictures of places in a scan."""

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Volume
from coralbay_core.spatial.preprocessing import to_unit

from .clicks import Point
from .palette import DEFAULT_WINDOW, WINDOWS

PIXELS = 64
WIDTH_MM = 96.0


def thumbnail(volume: Volume, position_mm: Point, width_mm: float = WIDTH_MM) -> NDArray[np.uint8]:
    """Cut the axial slice around a place, in gray; black outside the scan.

    Only the pixels are interpolated, so that it takes a millisecond in a scan of any size.

    Parameters
    ----------
    volume : Volume
    position_mm : three floats
        World mm.
    width_mm : float

    Returns
    -------
    (y, x) uint8 array
        The front of the patient is up, the patient's left on the right.
    """
    from scipy.ndimage import map_coordinates

    away = (np.arange(PIXELS) - (PIXELS - 1) / 2) * width_mm / PIXELS
    places = np.zeros((PIXELS, PIXELS, 3)) + np.asarray(position_mm)
    places[..., 0] -= away  # R to L
    places[..., 1] -= away[:, None]  # A to P
    limits = WINDOWS[DEFAULT_WINDOW].limits_hu
    index = volume.grid.to_index(places.reshape(-1, 3)).T
    hu = map_coordinates(volume.data, index, np.float32, order=1, mode="constant", cval=limits[0])
    return np.rint(to_unit(hu.reshape(PIXELS, PIXELS), limits) * 255).astype(np.uint8)
