"""Output of the readers, in the axis order of the file."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..spatial.geometry import Affine


@dataclass(frozen=True, eq=False)
class RawVolume:
    """An array in the axis order of its file.

    Parameters
    ----------
    data : 3-D array
        Finite HU, int16 or float32, or integer labels.
    affine : (4, 4) float64 array
        File index to RAS+ mm; rotation and shear as the file states them.
    header : object, optional
        NIfTI header to write results with.
    modality : str
        DICOM modality; ``"CT"`` for NIfTI, which has none.
    notes : tuple of str
        Notes for the user. They never contain patient data.
    series : str, optional
        As in `Volume`.
    """

    data: NDArray
    affine: Affine
    header: Any = None
    modality: str = "CT"
    notes: tuple[str, ...] = ()
    series: str | None = None
