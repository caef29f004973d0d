"""The task ``transfer`` on two scans whose correspondence is known."""

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.evaluate.cases import make_case
from coralbay_core.evaluate.methods import Method
from coralbay_core.evaluate.summary import summarize
from coralbay_core.evaluate.tasks import TASKS, Setting
from coralbay_core.matching import Alignment, deform, known_alignments
from coralbay_core.spatial import Volume
from tests.support.warped_features import GRID, ripple, shown_twice

NAMES = {1: "liver", 2: "spleen", 3: "heart"}
CENTERS = {1: (50, 40, 40), 2: (80, 50, 70), 3: (60, 60, 80)}


def painted(place):
    """Three boxes of the made-up body, in a scan that shows at each position what lies at `place(position)`."""
    position_mm = place(GRID.cell_positions(np.ones(GRID.shape, bool)))
    index = GRID.to_index(position_mm).reshape(*GRID.shape, 3)
    labels = np.zeros(GRID.shape, np.uint8)
    for value, center in CENTERS.items():
        labels[(np.abs(index - center) <= 9).all(-1)] = value
    return labels


@pytest.fixture
def setting(monkeypatch):
    features = dict(zip(("one", "two"), shown_twice(), strict=True))
    same = Alignment(np.eye(4), 100, 100, 1.0)
    monkeypatch.setattr(known_alignments, "deform", lambda a, b, **more: deform(a, b, prior=same, **more))
    cases = [
        make_case(
            name,
            Volume(np.zeros(GRID.shape, np.int16), GRID, name),
            painted(place),
            NAMES,
            landmarks={"corner": np.array(at, float)},
        )
        for name, place, at in (
            ("one", lambda p: p, ripple(np.array([10.0, 5, 20]))),
            ("two", ripple, np.array([10.0, 5, 20])),
        )
    ]
    return Setting(Method("made", lambda volume, keep: features[volume.name]), cases)


def test_labels_and_landmarks_travel_in_both_directions(setting):
    records = list(TASKS["transfer"](setting))
    labels = [r for r in records if r.task == "transfer"]
    assert {(r.keys["case"], r.keys["target"], r.keys["structure"]) for r in labels} == {
        (*pair, name) for pair in (("one", "two"), ("two", "one")) for name in NAMES.values()
    }
    mean = {
        kind: np.mean([r.values[kind] for r in labels])
        for kind in ("dice", "dice_warp", "dice_affine", "dice_identity")
    }
    assert mean["dice_warp"] > mean["dice_affine"] + 0.05
    assert mean["dice_affine"] == pytest.approx(mean["dice_identity"], abs=0.02)  # the affine is that of the identity
    found = summarize(records)["real"]["made"]
    assert found["transfer_warp"].value == pytest.approx(mean["dice_warp"])
    assert found["transfer_mm"].value < found["transfer_affine_mm"].value


def test_pairs_that_cannot_be_aligned_count_as_nothing(setting, monkeypatch):
    def fails(*scans, **more):
        raise CoralBayError("cannot")

    monkeypatch.setattr(known_alignments, "deform", fails)
    records = list(TASKS["transfer"](setting))
    assert {r.task for r in records} == {"transfer"}
    assert all(r.values["dice"] == r.values["dice_warp"] == 0 < r.values["dice_identity"] for r in records)
