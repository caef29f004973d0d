"""One hit of a library search."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clicks import Point


@dataclass(frozen=True, eq=False)
class LibraryHit:
    """Hit in a scan of the library.

    Parameters
    ----------
    name, path : str
        Of the scan.
    position_mm : tuple of float
        World mm of that scan.
    score, size_ml : float
    thumbnail : (y, x) uint8 array, optional
        The axial slice around the place in a soft-tissue window, anterior up and the patient's right on the left; None
        if the CT is not available, and until it has been read.
    series : str, optional
        As in `LibraryEntry`.
    """

    name: str
    path: str
    position_mm: Point
    score: float
    size_ml: float
    thumbnail: NDArray[np.uint8] | None = None
    series: str | None = None
