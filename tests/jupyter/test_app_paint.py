"""Strokes and segmentations in the app, without a browser."""

import numpy as np
import pytest

from tests.support.notebook_app import middle, settle

pytest.importorskip("anywidget")

from coralbay_viz.jupyter_ui.panels.base import amount

pytestmark = pytest.mark.forward


def test_strokes_make_a_probe_and_undo_takes_them_back(ready):
    panel, grid = ready.paint.panel, ready.session.volume.grid
    for label, corner in ((1, (20, 15, 15)), (2, (20, 30, 30))):
        panel.label.value = label
        points = np.array([grid.to_world(corner)], np.float32)
        ready.view._receive(ready.view, {"kind": "stroke", "view": "axial"}, [points.tobytes()])
        settle(ready)
    assert ready.session.scan.strokes.now.classes == (1, 2)
    assert set(np.unique(ready.session.segmentation.data)) >= {1, 2}
    panel.measure.click()
    settle(ready)
    assert "ml" in panel.statistics.value
    ready.views.choose_tool("paint")
    ready.view._receive(ready.view, {"kind": "undo"}, [])
    settle(ready)
    assert ready.session.scan.strokes.now.classes == (1,)
    ready.views.choose_tool("erase")
    ready.view._receive(
        ready.view, {"kind": "stroke", "view": "axial"}, [np.array(middle(ready), np.float32).tobytes()]
    )
    panel.name.value = "liver"
    settle(ready)
    assert ready.session.scan.strokes.now.names == {2: "liver"}


def test_the_background_can_be_painted(ready):
    panel, grid = ready.paint.panel, ready.session.volume.grid
    (background,) = [value for text, value in panel.label.options if text == "background"]
    for label, corner in ((1, (20, 15, 15)), (2, (20, 30, 30)), (background, (5, 5, 5))):
        panel.label.value = label
        point = np.array([grid.to_world(corner)], np.float32)
        ready.view._receive(ready.view, {"kind": "stroke", "view": "axial"}, [point.tobytes()])
        settle(ready)
        missing = "background" in panel.hint.value
        assert ("second class" in panel.hint.value) == (label == 1)
        assert missing == (label != background)
    assert ready.session.scan.strokes.now.names == {background: "background"}
    assert [text for text, _ in panel.label.options].count("background") == 1


def test_volumes_are_written_out():
    assert amount(15983.4) == "15\N{NO-BREAK SPACE}983"
    assert amount(0.12345) == "0.1235"
    assert amount(None) == ""
