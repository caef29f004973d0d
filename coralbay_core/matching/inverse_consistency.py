"""Fields of opposite directions that undo each other."""

import numpy as np
import torch
from numpy.typing import NDArray

from .shared_features import sample_at

ROUNDS = 10

Field = NDArray[np.float32]
"""Displacement (3, z, y, x) in cells along the axes of the array."""


def undoing(there: Field, back: Field, rounds: int = ROUNDS) -> tuple[Field, Field]:
    """Make two fields of one lattice undo each other: each becomes the mean of itself and the other's inverse.

    The fixed-point iteration of ConvexAdam (Siebert, Hansen, Heinrich 2021).
    """
    for _ in range(rounds):
        there, back = (
            np.float32(0.5) * (there - after(there, back)),
            np.float32(0.5) * (back - after(back, there)),
        )
    return there, back


def after(first: Field, second: Field) -> Field:
    """Return the second field at the places to which the first one moves the cells."""
    moved = np.indices(first.shape[1:], np.float32) + first
    return sample_at(torch.from_numpy(second), torch.from_numpy(moved.reshape(3, -1))).numpy().reshape(first.shape)


def composed(first: Field, second: Field) -> Field:
    """Join two fields: the first one moves, then the second one, both in cells."""
    return first + after(first, second)


def inverse(field: Field, rounds: int = ROUNDS) -> Field:
    """Field that undoes a smooth one, by fixed-point iteration."""
    back = -field
    for _ in range(rounds):
        back = -after(back, field)
    return back
