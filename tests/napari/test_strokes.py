"""Strokes in a real window."""

import numpy as np


def test_strokes_become_a_segmentation_once_there_are_two_classes(explored, hand, told):
    panel = explored.segment_panel
    assert not panel.segment.isEnabled()
    hand.press(panel.strokes)
    layer = explored.binding.layer("strokes")
    assert layer.mode == "paint"
    assert explored.tools.mode != "pick"  # a stroke is no click
    hand.press(panel.segment)
    hand.wait_for(lambda: any("two classes" in text for text in told))
    assert explored.session.segmentation is None
    data = np.asarray(layer.data).copy()
    data[:6, :6, :6], data[-6:, -6:, -6:] = 1, 5
    layer.data = data
    hand.press(panel.segment)
    hand.wait_for(lambda: explored.session.segmentation is not None)
    assert set(np.unique(explored.binding.layer("segmentation").data)) <= {0, 1, 5}
    assert (np.asarray(layer.data) == data).all()
    assert panel.save.isEnabled()
