"""Slices as pixels: nothing is mirrored, values survive, and the still pictures are made of the same."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError, OutsideVolumeError
from coralbay_core.spatial import Grid, LabelVolume, Volume
from coralbay_viz import Session
from coralbay_viz.display import brush, figures, layer_specs, slices

SPACING = (2.0, 1.0, 1.5)


def grid(shape=(12, 10, 8), spacing=SPACING):
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing[0], -spacing[1], -spacing[2]
    affine[:, 3] = 5, 7, -20, 1
    return Grid(shape, affine)


def scan_with_markers():
    """Bright voxels at the patient's left, front and head of the middle."""
    volume = np.full((12, 10, 8), -1000, np.int16)
    volume[6, 5, 7], volume[6, 0, 4], volume[11, 5, 4] = 100, 200, 300
    return Volume(volume, grid(), name="markers")


@pytest.mark.parametrize(
    ("view", "left", "front", "head"),
    [("axial", "right", "top", None), ("coronal", "right", None, "top"), ("sagittal", None, "left", "top")],
)
def test_the_patient_is_not_mirrored(view, left, front, head):
    volume = scan_with_markers()
    spec = layer_specs.ct_spec(volume)
    plane = slices.plane_at(spec.grid, view, volume.grid.to_world((6, 5, 4)))
    cut = slices.encoded(spec, plane)
    for value, edge in ((100, left), (200, front), (300, head)):
        rows, columns = np.nonzero(cut == value)
        if edge is None:
            assert not len(rows)
            continue
        at = {"right": columns[0] == cut.shape[1] - 1, "left": columns[0] == 0, "top": rows[0] == 0}
        assert at[edge]
    letters = slices.edge_letters(plane)
    expected = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}[view]
    assert "".join(letters[edge] for edge in ("left", "right", "top", "bottom")) == expected


@given(st.tuples(*[st.floats(-0.49, n - 0.51) for n in (12, 10, 8)]), st.sampled_from(slices.VIEWS))
def test_a_pixel_lies_where_its_voxel_does(index, view):
    volume = scan_with_markers()
    position = volume.grid.to_world(index)
    plane = slices.plane_at(volume.grid, view, position)
    row, column = plane.shape[0] // 3, plane.shape[1] // 2
    world = plane.corner_mm + row * plane.down_mm + column * plane.right_mm
    voxel = np.rint(volume.grid.to_index(world)).astype(int)
    np.testing.assert_allclose(volume.grid.to_world(voxel), world, atol=1e-9)
    assert slices.pixels(volume.data, plane)[row, column] == volume.data[tuple(voxel)]
    axis = slices.VIEWS.index(view)
    assert abs(voxel[axis] - index[axis]) <= 0.5 + 1e-9  # half way between two slices either will do


def test_outside_there_is_no_slice():
    assert slices.plane_at(grid(), "axial", grid().to_world((12, 5, 4))) is None


def test_a_heat_map_is_clear_below_its_threshold():
    data = np.linspace(0, 1, 12 * 10 * 8, dtype=np.float32).reshape(12, 10, 8)
    spec = layer_specs.heat_spec(data, grid(), (0.5, 1.0), "heat")
    plane = slices.plane_at(spec.grid, "coronal", grid().to_world((6, 5, 4)))
    cut, values = slices.encoded(spec, plane), slices.pixels(data, plane)
    assert cut.dtype == np.uint8
    assert (cut[values <= 0.5] == 0).all()
    assert (cut[values > 0.5] > 0).all()
    assert (np.diff(cut.astype(int).ravel()[np.argsort(values.ravel())]) >= 0).all()
    assert slices.palette(spec)[0, 3] == 0
    assert slices.palette(spec)[1, 3] > 0


def test_labels_keep_their_colors_and_names():
    data = np.zeros((12, 10, 8), np.int32)
    data[6, 5, 4], data[6, 5, 5] = 7, 900
    spec = layer_specs.labels_spec(LabelVolume(data, grid(), name="l", names={7: "liver"}))
    plane = slices.plane_at(spec.grid, "axial", grid().to_world((6, 5, 4)))
    picture = slices.painted(spec, plane, (0, 1))
    assert picture[0, 0, 3] == 0
    assert tuple(picture[5, 4, :3]) == tuple(bytes.fromhex(spec.colors[7][1:]))
    assert tuple(picture[5, 5, :3]) == tuple(bytes.fromhex(spec.colors[900][1:]))
    assert picture[5, 4, 3] == round(255 * spec.opacity)
    assert slices.label_values(spec)[slices.encoded(spec, plane)[5, 4]] == 7


@given(st.floats(1.0, 6.0), st.lists(st.tuples(*[st.floats(2, 7)] * 3), min_size=1, max_size=4))
def test_a_brush_paints_what_is_near(radius, corners):
    data = np.zeros((12, 10, 8), np.uint8)
    points = grid().to_world(corners)
    brush.paint(data, grid(), points, radius, 3)
    for corner in corners:
        assert data[tuple(np.rint(corner).astype(int))] == 3
    away = grid().to_world(np.argwhere(data))[:, None] - _line(points)
    assert np.linalg.norm(away, axis=-1).min(1).max() <= radius + np.linalg.norm(SPACING)


def _line(points):
    return np.concatenate([points[:1], *[np.linspace(a, b, 50) for a, b in pairwise(points)]])


def test_a_flat_brush_stays_in_its_slice_and_an_eraser_undoes_it():
    data = np.zeros((12, 10, 8), np.uint8)
    place = grid().to_world((6, 5, 4))
    brush.paint(data, grid(), [place], 3.0, 1, through=0)
    assert set(np.nonzero(data)[0]) == {6}
    painted = np.count_nonzero(data)
    assert painted == np.count_nonzero(_disc(3.0))
    brush.paint(data, grid(), [place], 10.0, 0)
    assert not data.any()


def _disc(radius):
    y, x = np.mgrid[-5:5, -4:4] * np.array([1.0, 1.5])[:, None, None]
    return np.hypot(y, x) <= radius


def test_a_brush_beyond_the_edge_paints_what_is_inside():
    data = np.zeros((12, 10, 8), np.uint8)
    brush.paint(data, grid(), [grid().to_world((-2, 0, 0)), grid().to_world((30, 0, 0))], 2.0, 1)
    assert data[:, 0, 0].all()


def test_still_pictures_show_what_lies_over_the_scan():
    session = Session()
    session.add(scan_with_markers())
    plain = session.plot()._repr_png_()
    assert plain.startswith(b"\x89PNG")
    strokes = LabelVolume(np.ones((12, 10, 8), np.uint8), session.scan.label_grid, name="strokes")
    session.paint(strokes)
    assert session.plot(show=["strokes"])._repr_png_() != plain
    assert session.plot(show=[])._repr_png_() == plain
    assert session.plot(window=(0, 2000))._repr_png_() != plain


def test_pictures_say_what_they_cannot_show():
    session = Session()
    session.add(scan_with_markers())
    with pytest.raises(InputError, match="unknown layer"):
        session.plot(show=["liver"])
    with pytest.raises(InputError, match="unknown window"):
        session.plot(window="Liverish")
    with pytest.raises(InputError, match="unusable window"):
        figures.limits_of((40, -1))
    with pytest.raises(OutsideVolumeError):
        session.plot((1000, 0, 0))
