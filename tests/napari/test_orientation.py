"""Head up, the patient's left on the right of the picture, nothing mirrored: seen in the pixels of all four views."""

import numpy as np

from coralbay_core.spatial import Grid, Volume
from coralbay_viz.napari_ui import views

BODY, LEFT, FRONT, HEAD = -150, 235, 160, 60
WINDOW = (-160, 240)  # the soft-tissue preset: HU to gray is (hu + 160) / 400 * 255
SHAPE = (61, 71, 81)


def marked_volume() -> Volume:
    """A dim block with bright markers on the patient's left, front and head; index order S, P, L."""
    data = np.full(SHAPE, BODY, np.int16)
    z, y, x = (n // 2 for n in SHAPE)
    data[z - 6 : z + 7, y - 6 : y + 7, -10:] = LEFT
    data[z - 6 : z + 7, :10, x - 6 : x + 7] = FRONT
    data[-10:, y - 6 : y + 7, x - 6 : x + 7] = HEAD
    affine = np.array([[0, 0, -2.0, 80], [0, -2.0, 0, 70], [2.0, 0, 0, -60], [0, 0, 0, 1]])
    return Volume(data, Grid(SHAPE, affine), name="marked")


def place_of(picture: np.ndarray, hu: int) -> np.ndarray | None:
    """Median (column, row) of the pixels of a marker from the middle of the picture; None where there are none."""
    gray = (hu - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) * 255
    rows, columns = np.nonzero(np.abs(picture.mean(-1) - gray) < 6)
    if len(rows) < 800:  # fewer are the blurred edges of a brighter marker
        return None
    return np.array([np.median(columns), np.median(rows)]) - np.array(picture.shape[1::-1]) / 2


def test_slices(dock, hand):
    dock.session.add(marked_volume())
    for view, expected in (
        (views.AXIAL, {LEFT: (1, 0), FRONT: (0, -1), HEAD: None}),
        (views.CORONAL, {LEFT: (1, 0), HEAD: (0, -1), FRONT: None}),
        (views.SAGITTAL, {FRONT: (-1, 0), HEAD: (0, -1), LEFT: None}),
    ):
        button = dock.scan_panel.views.button(views.VIEWS.index(view))
        if not button.isChecked():
            hand.press(button)
        picture = hand.picture()
        for hu, direction in expected.items():
            place = place_of(picture, hu)
            if direction is None:
                assert place is None
                continue
            along, across = place @ direction, abs(place @ direction[::-1])
            assert along > 50
            assert across < 20


def test_volume_is_not_mirrored(viewer, dock, hand):
    dock.session.add(marked_volume())
    hand.press(dock.scan_panel.views.button(views.VIEWS.index(views.VOLUME)))
    dock.binding.layer("ct").contrast_limits = WINDOW
    picture = hand.picture()
    left, front, head = (place_of(picture, hu) for hu in (LEFT, FRONT, HEAD))
    assert left[0] > 50  # seen from the front
    assert head[1] < -50
    assert front[1] > 10  # from a little above
    assert viewer.scene.camera.handedness == "left"


def test_what_is_in_front_hides_what_is_behind(viewer, dock, hand):
    """The check that a maximum projection cannot make: it looks the same from behind, with left and right swapped."""
    data = np.full(SHAPE, -1000, np.int16)
    data[20:40, :8, 20:60] = 60  # front
    data[20:40, -8:, 20:60] = 160  # back, brighter
    affine = marked_volume().affine
    dock.session.add(Volume(data, Grid(SHAPE, affine), name="plates"))
    layer = dock.binding.layer("ct")
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1), (2, 1, 0)):
        viewer.dims.ndisplay = 2
        viewer.dims.order = order
        viewer.dims.ndisplay = 3  # napari's own button
        layer.rendering = "attenuated_mip"
        layer.attenuation = 0.5
        layer.contrast_limits = WINDOW
        displayed = list(viewer.dims.displayed)
        posterior, superior = np.eye(3)[1][displayed], np.eye(3)[0][displayed]
        viewer.scene.camera.set_view_direction(posterior, superior)
        viewer.reset_view()
        viewer.scene.camera.set_view_direction(posterior, superior)
        middle = hand.picture()
        rows, columns = (n // 2 for n in middle.shape[:2])
        gray = middle[rows - 5 : rows + 5, columns - 5 : columns + 5].mean()
        assert gray < (110 + 160) / 400 * 255, order  # nearer to the front plate than to the back one


def test_napari_buttons_cannot_mirror(viewer, dock, hand):
    dock.session.add(marked_volume())
    hand.press(dock.scan_panel.views.button(views.VIEWS.index(views.CORONAL)))
    viewer.dims.ndisplay = 3
    assert viewer.scene.camera.handedness == ("left" if views._parity(tuple(viewer.dims.order)) == 0 else "right")
    viewer.dims.ndisplay = 2
    viewer.dims.order = (0, 1, 2)
    assert dock.scan_panel.views.button(views.VIEWS.index(views.AXIAL)).isChecked()
    assert place_of(hand.picture(), LEFT)[0] > 50
