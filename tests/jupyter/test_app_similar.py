"""Clicks, heat maps and the weights of the scales in the app, without a browser."""

import numpy as np
import pytest

from tests.support.notebook_app import Sent, middle, settle

pytest.importorskip("anywidget")

from coralbay_viz.display import slices

pytestmark = pytest.mark.forward


def test_a_click_on_the_page_is_a_click_of_the_session(ready):
    sent = Sent(ready.view)
    place = middle(ready)
    ready.view._receive(ready.view, {"kind": "pick", "mm": place.tolist(), "negative": False}, [])
    settle(ready)
    np.testing.assert_allclose(ready.session.clicks.positive, [ready.session.cursor_mm])
    assert {cut for cut in sent.cuts() if cut[0] == "heat"} == {("heat", view) for view in slices.VIEWS}
    assert {points["role"] for points in sent.of("points")} >= {"clicks", "regions"}
    assert sent.size < 2 * np.prod(ready.session.volume.shape)  # never the whole volume
    sent.clear()
    ready.session.click(place + 6, negative=True)
    settle(ready)
    assert ("heat", "axial") in sent.cuts()


def test_a_share_is_sent_as_slices_of_the_heat_map(ready):
    ready.session.click(middle(ready))
    settle(ready)
    sent = Sent(ready.view)
    ready.similar.panel.slider.value = 200
    settle(ready)
    assert ready.session.body_fraction == pytest.approx(0.1)
    assert f"score ≥ {ready.session.threshold:.3f}" in ready.similar.panel.threshold.value
    assert set(sent.cuts()) == {("heat", view) for view in slices.VIEWS}
    (layer,) = sent.of("layer")
    assert layer["bar"]["title"] == "similarity"
    np.testing.assert_allclose(layer["bar"]["limits"], (ready.session.threshold, ready.session.heat.scale.high))


def test_the_weights_of_the_scales_change_the_heat_map(ready):
    """Equal weights, weights from the clicks, and back; weights from code are shown as such."""
    session, control = ready.session, ready.similar.panel.weights
    session.scope = "everywhere"
    session.click(middle(ready))
    settle(ready)
    equal, sent = session.heat, Sent(ready.view)
    assert control.value == "equal"
    assert dict(equal.heat.weights) == pytest.approx({s: 1 / len(equal.heat.weights) for s in session.features.strides})
    control.value = "auto"
    settle(ready)
    assert session.weights == "auto"
    assert session.heat is not equal
    assert sum(session.heat.heat.weights.values()) == pytest.approx(1)
    assert {cut for cut in sent.cuts() if cut[0] == "heat"} == {("heat", view) for view in slices.VIEWS}
    fine, *_ = session.features.strides
    session.weights = {fine: 1}
    settle(ready)
    assert control.value == "code"
    assert np.abs(session.heat.heat.data - equal.heat.data).max() > 0.01
    control.value = "equal"
    settle(ready)
    assert session.weights is None
    assert "code" not in [value for _, value in control.options]
    np.testing.assert_allclose(session.heat.heat.data, equal.heat.data, atol=1e-6)
