"""Images from elsewhere: their place in the patient follows from their transform and from answers alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.spatial import geometry
from coralbay_viz.display.layer_geometry import Answers, directions_of_labels, place
from tests.support.strategies import affines

_LINES = ("SI", "PA", "LR")


@st.composite
def directions(draw):
    """Directions of three axes, one along each line of the patient."""
    return tuple(draw(st.sampled_from(line)) for line in draw(st.permutations(_LINES)))


@given(affines(max_degrees=40), directions(), st.floats(0.001, 1000))
def test_every_voxel_lies_where_transform_and_answers_put_it(transform, codes, unit_mm):
    spacing = geometry.spacing(transform) * unit_mm
    placed = place(transform, Answers(codes, tuple(spacing), unit_mm))
    assert geometry.axis_codes(placed.affine) == codes
    np.testing.assert_allclose(geometry.spacing(placed.affine), spacing)
    # Angles and distances are those that the viewer shows: the way to the patient only turns, mirrors and measures.
    turn = placed.from_layer[:3, :3] / unit_mm
    np.testing.assert_allclose(np.abs(turn).sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(np.abs(turn).sum(1), 1, atol=1e-6)
    index = np.array([1.0, 2, 3])
    there = geometry.apply(placed.from_layer, geometry.apply(transform, index))
    np.testing.assert_allclose(there, geometry.apply(placed.affine, index), rtol=1e-6, atol=1e-6 * unit_mm)
    assert placed.known_axes == "RAS"


@given(affines(max_degrees=40), directions(), st.integers(0, 2))
def test_what_is_not_known_stays_unknown(transform, codes, hidden):
    told = tuple(None if axis == hidden else code for axis, code in enumerate(codes))
    placed = place(transform, Answers(told, (1.0, 2.0, 3.0)))
    line = next(line for line in _LINES if codes[hidden] in line)
    assert placed.known_axes == "RAS".replace(line[0] if line[0] in "RAS" else line[1], "")
    assert [a for a, b in zip(geometry.axis_codes(placed.affine), told, strict=True) if b is not None and a != b] == []


def test_two_axes_cannot_run_along_one_line():
    with pytest.raises(InputError, match="one line"):
        place(np.eye(4), Answers(("S", "I", "L"), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, np.nan, 1.0), (1.0, -1.0, 1.0)])
def test_spacing_must_be_lengths(spacing):
    with pytest.raises(InputError, match="spacing"):
        place(np.eye(4), Answers(("S", "P", "L"), spacing))


def test_names_of_axes_may_tell_the_directions():
    assert directions_of_labels(("S", "P", "L"), np.eye(4)) == ("S", "P", "L")
    assert directions_of_labels(("superior", "Posterior", "left"), np.diag([-2.0, 1, 1, 1])) == ("I", "P", "L")
    assert directions_of_labels(("z", "y", "x"), np.eye(4)) is None
    assert directions_of_labels(("S", "I", "L"), np.eye(4)) is None
