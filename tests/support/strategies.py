"""Grids for property tests: anisotropic, flipped, rotated, sheared and far from the origin."""

from itertools import permutations, product

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

shapes = st.tuples(*[st.integers(2, 7)] * 3)


@st.composite
def affines(draw, max_degrees=180.0):
    """Anisotropic, flipped, rotated and slightly sheared affines far from the origin."""
    spacing = [draw(st.floats(0.3, 6)) for _ in range(3)]
    flips = [draw(st.sampled_from((-1, 1))) for _ in range(3)]
    order = draw(st.permutations(range(3)))
    angles = [draw(st.floats(-max_degrees, max_degrees)) for _ in range(3)]
    shear = np.eye(3)
    shear[1, 2] = draw(st.floats(-0.3, 0.3))
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ shear
    affine[:3, :3] = turned[:, list(order)] * np.multiply(spacing, flips)
    affine[:3, 3] = [draw(st.floats(-900, 900)) for _ in range(3)]
    return affine


def orientations():
    """Yield anisotropic affines for the 48 ways in which the axes of a file can lie."""
    for order in permutations(range(3)):
        for signs in product((-1, 1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = 0
            for axis, (world, sign, spacing) in enumerate(zip(order, signs, (0.7, 1.5, 3.0), strict=True)):
                affine[world, axis] = sign * spacing
            affine[:3, 3] = (12.5, -40.25, 1003.0)
            yield affine
