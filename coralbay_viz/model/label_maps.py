"""Label maps told from CTs by their values, and by their names where the values leave a doubt.

Formats do not say which of the two a file holds, and neither does the range of its values: a CT of eight bits has none
below 0, a label map may have values below 0 or in the thousands. What differs is the texture: neighbors within a
structure have the same label, while noise makes neighbors within an organ differ.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume, Volume

_SLICES = 48
# Fraction of equal neighbors: below .4 in CTs of eight bits and phantoms, above .7 in label maps of 5 mm and finer.
_CALM = 0.55
_FEW = 32
_AIR_HU = -200
# Distance from whole numbers, absolute and relative, of some that went through a scale factor.
_WHOLE, _WHOLE_RELATIVE, _WHOLE_MOST = 1e-3, 2e-5, 0.1

_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_LABEL_WORDS = re.compile(
    r"(?<![a-z])(labels?(t[rs])?|segs?|segmentations?|masks?|d?seg|aseg|aparc|parcellation|atlas|rois?|strokes"
    r"|annotations?)(?![a-z])"
)
_CT_WORDS = re.compile(r"(?<![a-z])(ct|images?(t[rs])?|scan|volume|hu)(?![a-z])")


def as_labels(volume: Volume) -> LabelVolume | None:
    """Return a file that was read as a scan as labels if it is a label map, else None."""
    if volume.modality != "CT" or not _is_label_map(volume):
        return None
    path = volume.path
    if path is not None and path.name.lower().endswith(_FILES):
        from coralbay_core.io import load_labels

        try:
            return load_labels(path)  # large values exactly, with the notes of labels instead of those of scans
        except InputError:
            pass  # not quite whole numbers
    data = np.rint(volume.data).astype(np.int64)
    data = data.astype(np.result_type(*(np.min_scalar_type(int(v)) for v in (data.min(), data.max()))))
    return LabelVolume(data, volume.grid, volume.name, path, volume.source, names=_names_beside(path))


def _is_label_map(volume: Volume) -> bool:
    data = volume.data
    if np.issubdtype(data.dtype, np.floating) and not _is_whole(data):
        return False
    if _names_beside(volume.path):
        return True
    part = data[:: -(-len(data) // _SLICES)]
    values, counts = np.unique(part, return_counts=True)
    named = _named_as_labels(volume.path)
    if values[0] <= _AIR_HU or len(values) == 1:
        return named is True and len(values) <= _FEW
    if len(values) <= _FEW:
        return named is not False
    calm = _calm(part, values, values[counts.argmax()])
    return calm >= {None: _CALM, True: 0.75 * _CALM, False: 1.25 * _CALM}[named]


def _calm(data: NDArray, values: NDArray, ground: float) -> float:
    """Fraction of the voxels whose next one in the row is equal, without the ground and without clipped extremes."""
    here, there = data[..., :-1], data[..., 1:]
    inner = (here != ground) & (here != values[0]) & (here != values[-1])
    return float((here == there)[inner].mean()) if inner.any() else 1.0


def _is_whole(data: NDArray) -> bool:
    return all((np.abs(part - np.rint(part)) <= _slack(part)).all() for part in data)


def _slack(data: NDArray) -> NDArray:
    return np.minimum(_WHOLE + _WHOLE_RELATIVE * np.abs(data), _WHOLE_MOST)


def _named_as_labels(path: Path | None) -> bool | None:
    """Whether a file is called as label maps (True) or CTs (False) are, or neither; its folder counts after it."""
    for name in () if path is None else (path.name, path.resolve().parent.name):
        words = name.lower().replace("_", " ")
        if _LABEL_WORDS.search(words):
            return True
        if _CT_WORDS.search(words):
            return False
    return None


def _names_beside(path: Path | None) -> dict[int, str]:
    """Names of labels in a file of the same name next to a map, or in its header."""
    from coralbay_core.io.label_tables import find_table

    return {} if path is None else find_table(path).names
