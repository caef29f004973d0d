"""Several scans in the app: comparison, names, crosshairs."""

import numpy as np
import pytest

from tests.support.notebook_app import Sent, middle, settle
from tests.support.scans import cut

pytest.importorskip("anywidget")

from coralbay_core.errors import InputError
from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume
from coralbay_viz import show
from coralbay_viz.display import slices

pytestmark = pytest.mark.forward


def test_another_scan_stands_beside_and_answers(ready, belly):
    first = ready.session.scan
    ready.session.add(belly)
    ready.session.compute()
    settle(ready)
    assert ready.similar.panel.other.label == "no other scan"
    assert {text for text, _ in ready.similar.panel.other.options} > {f"1: {belly.name} (1)"}  # alike, told apart
    ready.similar.panel.other.value = 0
    assert "similarity to the same prompts" in ready.status.panel.text.value
    views = (ready.view, ready.views.second_view)
    longest = (np.array(belly.shape) * belly.grid.spacing_mm).max()
    assert [view.extent_mm for view in views] == pytest.approx([longest, longest])
    ready.view.enlarged, ready.view.zoom = "coronal", 2.0
    assert (views[1].enlarged, views[1].zoom) == ("coronal", 2.0)
    sent = Sent(ready.views.second_view)
    ready.view._receive(ready.view, {"kind": "pick", "mm": middle(ready).tolist(), "negative": False}, [])
    settle(ready)
    assert first.heat is not None
    assert ("heat", "axial") in sent.cuts()
    np.testing.assert_allclose(ready.views.second_view.cursor, ready.view.cursor, atol=10)  # the same scan twice
    assert not first.heat.provisional
    assert ready.views.second_view.title == f"{belly.name} (1)"
    # Either crosshair leads, and none leads on.
    place = belly.grid.to_world(np.array(belly.shape) // 3).tolist()
    ready.views.second_view.cursor = place
    settle(ready)
    np.testing.assert_allclose(ready.view.cursor, place, atol=10)
    np.testing.assert_allclose(ready.views.second_view.cursor, place, atol=1e-6)
    with pytest.raises(InputError, match="active one"):
        ready.compare(ready.session.scan)
    ready.similar.panel.other.value = ready.similar.panel.other.options[0][1]
    assert ready.views.second_binding is None
    ready.compare(first)
    ready.session.remove(first)
    settle(ready)
    assert ready.views.second_binding is None


def test_scans_of_one_name_are_told_apart_by_folder(belly, tmp_path):
    paths = [save_map(tmp_path / folder / "ct.nii.gz", belly.data, belly) for folder in ("before", "after")]
    app = show(*paths, model="hu-patch")
    settle(app)
    assert [text for text, _ in app.scans.panel.scans.options] == ["1: before/ct", "2: after/ct"]
    assert app.view.title == "after/ct"
    app.close()


def test_another_scan_begins_at_a_place_of_its_own(ready, belly):
    ready.go_to(belly.grid.to_world((1, 1, 1)))
    affine = belly.affine.copy()
    affine[2, 3] += 5000
    far = Volume(belly.data, Grid(belly.shape, affine), name="far")
    sent = Sent(ready.view)
    ready.session.add(far)
    settle(ready)
    assert far.grid.contains(ready.view.cursor)
    assert sent.cuts() == [("ct", view) for view in slices.VIEWS]


def test_each_scan_keeps_its_crosshair(app, belly):
    first = app.session.scan
    app.go_to(belly.grid.to_world((2, 3, 4)))
    place = list(app.view.cursor)
    app.session.add(cut(belly, belly.grid.to_world(np.array(belly.shape) / 2), 20.0))
    app.session.activate(first)
    settle(app)
    np.testing.assert_allclose(app.view.cursor, place)
    np.testing.assert_allclose(app.session.cursor_mm, place)
