"""The crosshair of the notebook app and the cursor of the session: each follows the other, once."""

import numpy as np
import pytest

from coralbay_core.spatial import Grid, Volume
from tests.support.notebook_app import settle

pytest.importorskip("anywidget")

from coralbay_viz import show
from coralbay_viz.model.places import nearest_inside


def places(grid, count, seed=0):
    """Positions in and around a grid, those at its edges included."""
    draw = np.random.default_rng(seed)
    index = draw.uniform(-0.2, 1.2, (count, 3)) * grid.shape
    return grid.to_world(index)


def assert_set_once(app, position_mm):
    """Set a place, then again: the session keeps it, the view shows it, and nothing more is said."""
    session, told = app.session, []
    session.cursor_mm = tuple(position_mm)
    kept, shown = session.cursor_mm, list(app.view.cursor)
    assert kept == nearest_inside(session.volume.grid, position_mm)
    assert np.abs(np.subtract(shown, kept)).max() <= np.linalg.norm(session.volume.grid.spacing_mm)
    session.cursor_changed.connect(told.append)
    session.cursor_mm = tuple(position_mm)
    assert (session.cursor_mm, list(app.view.cursor), told) == (kept, shown, [])
    app.view.cursor = shown[:]
    app.view.cursor = [value + 1e-13 for value in shown]  # as a page that rounds otherwise sends it back
    assert len(told) <= 1
    session.cursor_changed.disconnect(told.append)


def oblique():
    """Grid whose edges no binary fraction names, turned about two axes."""
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xz", (0.31, 0.17)).as_matrix() * (1.1, 0.7, 2.3)
    affine[:3, 3] = 83.1, -127.7, -401.9
    return affine


@pytest.fixture
def small():
    """An app with a small scan on a grid."""
    opened = []

    def open_(shape, affine):
        data = np.random.default_rng(0).integers(-1000, 400, shape).astype(np.int16)
        opened.append(show(Volume(data, Grid(shape, affine)), model="hu-patch"))
        settle(opened[-1])
        return opened[-1]

    yield open_
    for app in opened:
        app.close()


def test_a_cursor_at_the_edge_of_a_scan_ends(small):
    # Rounding: the nearest position of the grid had another nearest position, and so on.
    affine = np.array([[0, 0, -2.5390625, 136.95044], [0, -2.5390625, 0, 127.34], [3.0, 0, 0, -82.15001231226432]])
    app = small((30, 20, 20), np.vstack([affine, [0, 0, 0, 1]]))
    for position in places(app.session.volume.grid, 40):
        assert_set_once(app, position)


def test_a_cursor_in_an_oblique_scan_is_set_once(small):
    app = small((12, 14, 10), oblique())
    for position in places(app.session.volume.grid, 40):
        assert_set_once(app, position)


def test_a_view_told_no_position_stays_where_it_was(small):
    app = small((12, 14, 10), oblique())
    app.session.cursor_mm = before = tuple(app.session.volume.grid.center_mm.tolist())
    app.view.cursor = [float("nan"), 0.0, 0.0]
    assert app.session.cursor_mm == before
    assert app.view.cursor == list(before)


@pytest.mark.slow
def test_a_cursor_in_real_scans_is_set_once(ct_pack):
    from coralbay_core.io import load_volume

    folders = sorted(path.parent for path in (ct_pack / "labelled").glob("*/ct.nii.gz"))
    known = {"openkbp_265": (87.4440186599227, -5.460006713867131, -82.15001231226432)}
    assert folders
    for folder in folders:
        app = show(load_volume(folder / "ct.nii.gz"), model="hu-patch")
        grid = app.session.volume.grid
        for position in places(grid, 60):
            assert_set_once(app, position)
        if folder.name in known:
            assert_set_once(app, known[folder.name])
        app.close()
