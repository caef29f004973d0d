"""Masks of structures, which may overlap, as one label map."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

_LISTED = 5


def stack(
    masks: Iterable[tuple[int, NDArray[np.bool_]]], shape: tuple[int, ...], names: Mapping[int, str]
) -> tuple[NDArray[np.unsignedinteger], tuple[str, ...]]:
    """Join masks; a voxel of several goes to the smallest, so that a lesion inside of an organ is kept.

    Parameters
    ----------
    masks : iterable of (int, bool array)
        Value above 0 and mask of each structure, read one at a time.
    shape : tuple of int
    names : mapping of int to str
        Names of the values, for the note.

    Returns
    -------
    data : unsigned integer array
    notes : tuple of str
        What overlaps.
    """
    largest = max(names, default=1)
    data = np.zeros(shape, np.uint8 if largest < 256 else np.uint16 if largest < 65536 else np.uint32)
    sizes: dict[int, int] = {}
    shared, pairs = 0, set()
    for value, mask in masks:
        size = sizes[value] = int(np.count_nonzero(mask))
        taken = data[mask]
        for other in (int(v) for v in np.unique(taken) if v):
            pairs.add((other, value))
            shared += int(np.count_nonzero(taken == other))
            if sizes[other] <= size:
                mask = mask & (data != other)
        data[mask] = value
    if not shared:
        return data, ()
    listed = ", ".join(f"{names[a]} and {names[b]}" for a, b in sorted(pairs)[:_LISTED])
    more = f" and {len(pairs) - _LISTED} more pairs" if len(pairs) > _LISTED else ""
    note = f"structures overlap in {shared} voxels, which went to the smaller one: {listed}{more}"
    return data, (note,)
