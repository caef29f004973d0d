"""The weights of the scales, set with the sliders of the panel."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel


@pytest.fixture
def mixer(dock, hand, belly, liver):
    """The sliders, in sight, of a scan with a heat map."""
    dock.session.model = "hu-patch"
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.go_to(liver)
    dock.session.scope = "everywhere"
    dock.session.click(liver)
    hand.wait_for(lambda: dock.session.heat is not None)
    dock.show_tab("Similar")
    mixer = dock.similar_panel.mixer
    hand.press(mixer.parent().head)
    hand.wait_for(mixer.isVisible)
    return mixer


def end_of(slider, share):
    """Pixel of a slider at a share of its length."""
    return QPoint(round(2 + share * (slider.width() - 5)), slider.height() // 2)


def drag(slider, start, end):
    """A real drag of a slider's handle from one share of its length to another."""
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(slider, left, none, end_of(slider, start))
    for share in np.linspace(start, end, 5)[1:]:
        QTest.mouseMove(slider, end_of(slider, share))
    QTest.mouseRelease(slider, left, none, end_of(slider, end))


def heat_with(hand, session, weights):
    """The heat map once it was made with these weights."""
    hand.wait_for(lambda: session.heat is not None and dict(session.heat.heat.weights) == pytest.approx(weights))
    return session.heat


def test_a_slider_changes_the_weights_and_the_heat_map(dock, hand, mixer):
    session = dock.session
    assert session.weights is None
    assert tuple(mixer.sliders) == session.features.strides
    assert [slider.value() for slider in mixer.sliders.values()] == [100] * len(mixer.sliders)
    spacing = float(session.features.grid.spacing_mm.min())
    labels = {label.text() for label in mixer.findChildren(QLabel)}
    assert labels == {f"{spacing * stride:.3g} mm" for stride in mixer.sliders}

    before = session.heat
    shown = np.array(dock.binding.layer("heat").data)
    coarse = max(mixer.sliders)
    drag(mixer.sliders[coarse], 1.0, 0.0)
    assert mixer.sliders[coarse].value() == 0
    assert session.weights == {stride: float(stride != coarse) for stride in mixer.sliders}
    rest = len(mixer.sliders) - 1
    heat = heat_with(hand, session, {stride: 1 / rest for stride in mixer.sliders if stride != coarse})
    assert np.abs(heat.heat.data - before.heat.data).max() > 0.01
    hand.wait_for(lambda: not np.array_equal(dock.binding.layer("heat").data, shown))
    # The same as is answered to these weights from code.
    session.weights = None
    heat_with(hand, session, dict.fromkeys(mixer.sliders, 1 / (rest + 1)))
    assert [slider.value() for slider in mixer.sliders.values()] == [100] * len(mixer.sliders)
    np.testing.assert_allclose(session.heat.heat.data, before.heat.data, atol=1e-6)


def test_all_sliders_at_zero_keep_the_last_weights_and_those_of_code_are_shown(dock, mixer):
    fine, *_, last = mixer.sliders
    for stride, slider in mixer.sliders.items():
        slider.setFocus()
        QTest.keyClick(slider, Qt.Key.Key_Home)
        assert (slider.value() == 0) == (stride != last)
    # The weights of before stay, which still have this stage, and the panel shows them.
    assert mixer.sliders[last].value() == 100
    assert {stride for stride, weight in dock.session.weights.items() if weight} == {last}
    assert dock.session.heat is not None
    dock.session.weights = {fine: 2.0, last: 1.0}
    values = {stride: slider.value() for stride, slider in mixer.sliders.items()}
    assert values == {stride: {fine: 100, last: 50}.get(stride, 0) for stride in mixer.sliders}
    assert dock.session.weights == {fine: 2.0, last: 1.0}  # showing them has not changed them
    dock.session.weights = "auto"
    assert mixer.auto.isChecked()


def test_weights_from_the_clicks_and_back_to_equal_ones(dock, hand, mixer):
    session = dock.session
    hand.press(mixer.auto)
    assert session.weights == "auto"
    assert not any(slider.isEnabled() for slider in mixer.sliders.values())
    hand.wait_for(lambda: sum(session.heat.heat.weights.values()) == pytest.approx(1))
    hand.press(mixer.auto)
    assert session.weights is None
    assert all(slider.isEnabled() and slider.value() == 100 for slider in mixer.sliders.values())
    heat_with(hand, session, {stride: 1 / len(mixer.sliders) for stride in mixer.sliders})
