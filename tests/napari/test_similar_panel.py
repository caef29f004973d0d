"""The preview under the cursor, the window inspector and the table of regions: each as a user would."""

import numpy as np

from coralbay_viz.controllers import ct_windows as ct_windows_controller


def test_hover_previews_while_picking(explored, viewer, hand, liver):
    hand.press(explored.similar_panel.hover)
    hand.move(liver)
    hand.wait_for(lambda: explored.session.scan.hover is not None)
    assert explored.binding.layer("hover") is not None
    assert not explored.session.clicks
    explored.tools.mode = "look"
    hand.wait_for(lambda: explored.binding.layer("hover") is None)
    explored.tools.mode = "pick"
    hand.move(liver + [9, 0, 0])
    hand.wait_for(lambda: explored.binding.layer("hover") is not None)
    hand.press(explored.similar_panel.hover)  # off, and the mouse is not over the canvas again
    hand.wait_for(lambda: explored.binding.layer("hover") is None)


def test_windows_and_regions_are_inspected(explored, hand, liver):
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    panel = explored.similar_panel.windows
    panel.parent().head.click()
    hand.settle()
    panel.inspect.click()
    hand.wait_for(lambda: explored.session.scan.windows is not None)
    assert panel.answers.topLevelItemCount() == 3
    layer = explored.binding.layer("windows")
    assert 0 <= layer.data.min() <= layer.data.max() <= 1
    panel.shown.setCurrentText("Lung")
    panel.shown.textActivated.emit("Lung")
    assert "lung" in layer.name
    assert (layer.data == explored.session.scan.windows.shown["Lung"]).all()
    panel.shown.setCurrentText("Nothing")
    panel.shown.textActivated.emit("Nothing")
    assert explored.binding.layer("windows") is None
    # Keys go from region to region.
    regions = explored.session.heat.regions
    explored.similar_panel.next_region()
    assert explored.session.scan.marked == 0
    np.testing.assert_allclose(explored.session.cursor_mm, regions[0].position_mm, atol=1.6)
    colors = explored.binding.layer("regions").border_color
    assert len(np.unique(colors, axis=0)) == min(2, len(regions))


def test_windows_that_come_while_another_scan_is_looked_at(explored, hand, belly, liver, held):
    session, panel, first = explored.session, explored.similar_panel.windows, explored.session.scan
    explored.tools.mode = "pick"
    hand.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    gate = held(ct_windows_controller, "inspect")
    panel.inspect.click()
    assert "…" in panel.hint.text()
    session.add(belly)
    assert panel.hint.text() == ""  # nothing is computed of this one
    gate.set()
    hand.wait_for(lambda: first.windows is not None)
    assert explored.binding.layer("windows") is None
    session.activate(first)
    assert panel.answers.topLevelItemCount() == 3
    assert explored.binding.layer("windows").visible
    assert not explored.binding.layer("heat").visible
    assert "by chance" in panel.hint.text()
