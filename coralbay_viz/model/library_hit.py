"""One hit of a library search."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralbay_core.io.dicom_series import series_key
from coralbay_core.spatial import Volume

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

    def is_in(self, volume: Volume) -> bool:
        """Whether the hit is a place of this volume."""
        if volume.path is None or Path(volume.path).resolve() != Path(self.path).resolve():
            return False
        # Libraries of earlier versions hold UIDs.
        return None in (volume.series, self.series) or volume.series in (self.series, series_key(str(self.series)))
