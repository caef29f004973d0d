"""Labels of one scan copied to another one, and a linked cursor over their alignment, without a window."""

import time

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.spatial import LabelVolume
from tests.support.linked_scans import linked_session
from tests.support.warped_features import ripple


@pytest.fixture
def session(monkeypatch):
    return linked_session(monkeypatch)


def test_labels_are_copied_and_taken_back_and_the_cursor_follows_at_once(session):
    first, second = session.scans
    data = np.zeros(first.label_grid.shape, np.uint8)
    center = first.label_grid.center_mm
    part, ball = first.label_grid.ball(center, 25)
    data[part][ball] = 5
    told, words = [], []
    session.transferred.connect(lambda scan, made: told.append((scan, made)))
    session.message.connect(words.append)
    with pytest.raises(CoralBayError, match="no labels to copy"):
        session.transfer(second)
    with pytest.raises(InputError, match="to the same scan"):
        session.transfer(first)
    labels = LabelVolume(data, first.label_grid, names={5: "ball"})
    session.transfer(second, labels=labels, refine=False)
    assert told[0][0] is second
    assert second.segmentation.names[5] == "ball"
    inside = second.label_grid.to_world(np.argwhere(second.segmentation.data == 5))
    assert np.linalg.norm(np.mean(ripple(inside), 0) - center) < 4
    assert "alignment is" in words[-1]
    session.link_cursor(second)
    started = time.perf_counter()
    session.cursor_mm = tuple(center)
    assert time.perf_counter() - started < 5  # 50 ms on an idle machine; a search takes longer than that by far
    assert np.linalg.norm(ripple(second.matched.position_mm) - center) < 6
    assert 0 < second.matched.score <= 1
    assert second.matched.confirmed
    session.link_cursor(None)
    session.activate(second)
    session.undo_accept()
    assert second.segmentation is None
