"""Colors and the scatter plot in the app, without a browser."""

import numpy as np
import pytest

from tests.support.notebook_app import Sent, middle, settle

pytest.importorskip("anywidget")

from coralbay_core.errors import InputError

pytestmark = pytest.mark.forward


def test_points_and_slices_are_linked(ready):
    sent = Sent(ready.colors.view)
    assert ready.colors.view.layout.display == "none"
    ready.colors.panel.pca.click()
    ready.colors.panel.pca_points.click()
    settle(ready)
    scatter = ready.session.scan.scatter
    ready.colors.view._receive(ready.colors.view, {"kind": "ready"}, [])
    count = len(scatter.points)
    assert ready.colors.view.layout.display == ""
    assert sent.all[-2][1] == [4 * count, 3 * count] or sent.all[-3][1] == [4 * count, 3 * count]
    low, high = scatter.points.min(0), scatter.points.max(0)
    half = np.array([low, [high[0], low[1]], [high[0], low.mean()], [low[0], high[1]]], np.float32)
    ready.colors.view._receive(ready.colors.view, {"kind": "lasso"}, [half.tobytes()])
    settle(ready)
    assert 0 < ready.session.scan.selection.sum() < count
    assert "Lasso:" in ready.colors.panel.state.value
    ready.colors.panel.everything.click()
    assert ready.session.scan.selection is None
    assert "Lasso:" not in ready.colors.panel.state.value
    assert "Lasso cleared" in ready.status.panel.text.value
    at = scatter.points[count // 3].astype(float)
    ready.colors.view._receive(ready.colors.view, {"kind": "pick", "at": at.tolist()}, [])
    settle(ready)
    np.testing.assert_allclose(ready.session.cursor_mm, ready.session.place_of(at), atol=1.6)
    assert sent.of("place")[-1]["at"] is not None


def test_colors_that_fail_leave_the_heat_map(ready, monkeypatch):
    ready.session.click(middle(ready))
    settle(ready)

    def fail(*arguments):
        raise InputError("no colors today")

    monkeypatch.setattr("coralbay_viz.controllers.projections.colors", fail)
    ready.colors.panel.pca.click()
    with pytest.raises(InputError):
        settle(ready)
    assert "no colors today" in ready.status.panel.text.value
    assert "heat" in ready.views.shown()
    monkeypatch.undo()
    ready.colors.panel.pca.click()
    settle(ready)
    assert "pca" in ready.views.shown()
    assert "heat" not in ready.views.shown()
