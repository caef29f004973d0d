"""A long day in one window: many of clicks and strokes with the same results and flat memory."""

import gc
from pathlib import Path

import numpy as np
import pytest

from coralbay_core.spatial import LabelVolume
from tests.support.scans import cut


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.slow
def test_many_clicks_strokes_and_steps_back(dock, hand, phantom):
    session = dock.session
    scan = session.add(cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 30))
    job = session.compute()
    hand.wait_for(lambda: not job.running)
    random = np.random.default_rng(0)
    grid = scan.volume.grid
    places = grid.to_world(random.uniform(0, np.array(grid.shape) - 1, (15, 3)))

    def idle():
        hand.wait_for(lambda: not session.controllers.workspace.runner.running())

    def ask(place):
        session.clear_clicks()
        session.click(tuple(place))
        idle()
        return scan.heat.shown.copy()

    def stroke(number):
        data = np.zeros(scan.label_grid.shape, np.uint8)
        data[2:5, 2 + number % 5 : 6 + number % 5, 2:6], data[10:14, 10:14, 10:14] = 1, 2
        session.segment(LabelVolume(data, scan.label_grid))
        idle()
        return scan.segmentation.data.copy()

    def day():
        heats = [ask(place) for place in places]
        segments = [stroke(number) for number in range(5)]
        for _ in range(4):
            session.undo_strokes()
            idle()
        for _ in range(4):
            session.redo_strokes()
            idle()
        np.testing.assert_array_equal(scan.segmentation.data, segments[-1])
        for _ in range(10):
            session.undo()
        for _ in range(10):
            session.redo()
        idle()
        np.testing.assert_array_equal(scan.heat.shown, heats[-1])
        return heats, segments

    first = day()
    day()
    before = resident_mb()
    for _ in range(3):
        heats, segments = day()
    for one, two in zip((*first[0], *first[1]), (*heats, *segments), strict=True):
        np.testing.assert_array_equal(one, two)
    assert resident_mb() - before < 60
    assert len(dock.viewer.layers) < 12
