"""A session with two scans whose true correspondence is known."""

from typing import Any

import numpy as np

from coralbay_core.matching import Alignment, deform, known_alignments
from coralbay_core.spatial import Volume
from coralbay_viz import Session
from coralbay_viz.jobs import Runner
from tests.support.warped_features import GRID, ripple, shown_twice


def linked_session(monkeypatch: Any, runner: Runner | None = None, counted: list | None = None) -> Session:
    """A session with two scans that needs no search for a rough alignment; calls of `deform` are noted in `counted`."""
    same = Alignment(np.eye(4), 100, 100, 1.0)

    def aligned(source, target, **more):
        if counted is not None:
            counted.append((source, target))
        return deform(source, target, prior=same, **more)

    monkeypatch.setattr(known_alignments, "deform", aligned)
    session = Session(runner)
    position_mm = GRID.cell_positions(np.ones(GRID.shape, bool))
    for number, (features, place) in enumerate(zip(shown_twice(), (position_mm, ripple(position_mm)), strict=True)):
        hu = np.rint(200 * np.sin(place / 25).sum(-1)).astype(np.int16).reshape(GRID.shape)
        scan = session.add(Volume(hu, GRID, f"scan {number}"))
        scan.update(features=features)
    session.activate(session.scans[0])
    return session
