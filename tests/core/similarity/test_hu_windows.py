"""The same question under several HU windows: core and session."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core import features_for, load_encoder
from coralbay_core.errors import Cancelled, CoralBayError, InputError, OutsideVolumeError
from coralbay_core.extraction.cache import FeatureStore, key_of, signature
from coralbay_core.extraction.sliding_window import ExtractionCallbacks
from coralbay_core.similarity import HeatMap, heat_map
from coralbay_core.similarity.hu_windows import (
    WindowAnswer,
    WindowComparison,
    WindowedEncoder,
    compare_windows,
    rank_map,
)
from coralbay_core.spatial import Volume
from coralbay_viz import Session
from coralbay_viz.model.palette import Window
from tests.support.encoders import PoolingEncoder
from tests.support.scans import cut

pytestmark = pytest.mark.forward

WINDOWS = {"lung": (-1350, 150), "soft": (-160, 240), "bone": (-500, 1300)}
MODEL = "hu-context"


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["L3"], half_mm=60)


@pytest.fixture(scope="module")
def place(phantom):
    return phantom.landmarks["L3"]


def test_an_exported_scan_looks_the_same(belly):
    """What an 8-bit export holds, read as HU by whoever scales it back to the encoder's range, gives these features."""
    low, high = WINDOWS["soft"]
    encoder = PoolingEncoder()
    own_low, own_high = encoder.preprocessing.window_hu
    gray = (np.clip(belly.data, low, high) - low) / (high - low)
    exported = Volume((own_low + gray * (own_high - own_low)).astype(np.float32), belly.grid)
    direct = features_for(belly, WindowedEncoder(encoder, (low, high)), store=False)
    # Resampling before clipping or after it is not quite the same, so away from edges only.
    indirect = features_for(exported, encoder, store=False)
    wanted, found = direct.stage(16).data, indirect.stage(16).data
    assert np.median(np.abs(wanted.astype(float) - found)) < 0.01
    np.testing.assert_array_equal(direct.body, features_for(belly, encoder, store=False).body)


def test_features_of_each_window_are_kept_apart(belly, tmp_path):
    encoder, store = PoolingEncoder(), FeatureStore(tmp_path)
    seen = [WindowedEncoder(encoder, window) for window in WINDOWS.values()]
    assert len({key_of(signature(belly, e)) for e in (encoder, *seen)}) == 4
    maps = [features_for(belly, e, store=store) for e in (encoder, *seen, encoder)]
    calls = encoder.calls
    again = features_for(belly, seen[1], store=store)
    assert encoder.calls == calls
    np.testing.assert_array_equal(again.stage(4).data, maps[2].stage(4).data)
    with pytest.raises(InputError, match="different models"):
        maps[0].require_same_encoder(maps[1])
    with pytest.raises(InputError, match="empty HU window"):
        WindowedEncoder(encoder, (40, 40))


@pytest.fixture(scope="module")
def compared(belly, place):
    return compare_windows(belly, load_encoder(MODEL), [place], windows=WINDOWS, radius_mm=30, store=False)


def test_what_a_comparison_says(compared, place):
    assert [answer.name for answer in compared.answers] == list(WINDOWS)
    assert compared.reference.correlation == pytest.approx(1)
    for answer in compared.answers:
        inside = answer.ranks[compared.inside]
        assert (inside.min(), inside.max()) == (0, 1)
        assert (answer.ranks[~compared.inside] == 0).all()
        assert -1 <= answer.correlation <= 1
        assert np.linalg.norm(answer.position_mm - place) < 8
        assert answer.score == pytest.approx(answer.heat.data.max())
    assert 0 <= compared.stability.min() <= compared.stability.max() <= 1
    assert compared.chance == 0.5


def test_one_window_agrees_with_itself(belly, place):
    own = load_encoder(MODEL).preprocessing.window_hu
    same = compare_windows(belly, load_encoder(MODEL), [place], windows={"a": own, "b": own}, radius_mm=30, store=False)
    assert (same.stability[same.inside] == 1).all()
    assert [a.correlation for a in same.answers] == pytest.approx([1, 1])


def made_of(compared, ranks):
    own = compared.reference
    return WindowComparison(own, tuple(WindowAnswer("", (0, 1), own.heat, r, 0, own.position_mm, 0) for r in ranks))


def test_independent_windows_give_chance_and_opposite_ones_nothing(compared):
    rng = np.random.default_rng(0)
    for count in (2, 3, 5):
        ranks = [rng.random(compared.grid.shape, np.float32) for _ in range(count)]
        made = made_of(compared, ranks)
        assert made.stability[made.inside].mean() == pytest.approx(made.chance, abs=0.02)
    ends = made_of(compared, [np.zeros(compared.grid.shape, np.float32), np.ones(compared.grid.shape, np.float32)])
    assert (ends.stability == 0).all()


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_ranks_follow_the_order_alone(compared, random):
    heat = compared.reference.heat
    factor = random.uniform(0.1, 10)
    other = HeatMap((np.tanh(heat.data.astype(float)) * factor - 3).astype(np.float64), heat.grid, heat.features)
    np.testing.assert_allclose(rank_map(other), rank_map(heat), atol=2e-3)


def test_nothing_is_shown_outside_of_the_box(compared, belly):
    shown = compared.resample_to(belly.grid, compared.stability)
    centers = belly.grid.to_world(np.stack(np.indices(belly.shape), -1))
    box = compared.reference.heat.features.grid
    assert (shown[~box.contains(centers)] == 0).all()
    assert shown.max() > 0.5
    assert compared.grid.spacing_mm.max() < 7


def test_bad_questions_are_refused(belly, place):
    encoder = load_encoder(MODEL)
    with pytest.raises(InputError, match="nothing to compare"):
        compare_windows(belly, encoder, [place], windows={})
    with pytest.raises(InputError, match="nothing to compare"):
        compare_windows(belly, encoder, np.zeros((0, 3)), windows=WINDOWS)
    with pytest.raises(OutsideVolumeError):
        compare_windows(belly, encoder, [place + 1e4], windows=WINDOWS)
    with pytest.raises(Cancelled):
        compare_windows(
            belly, encoder, [place], windows=WINDOWS, store=False, watch=ExtractionCallbacks(cancelled=lambda: True)
        )


# --- session ------------------------------------------------------------------------------------------------------


def test_the_inspector_of_a_session(belly, place):
    session, told = Session(model=MODEL), []
    scan = session.add(belly)
    session.windows.changed.connect(lambda s: told.append(s.windows))
    with pytest.raises(CoralBayError, match="no prompt to compare windows for"):
        session.windows.compare()
    session.click(place)
    job = session.windows.compare(radius_mm=30)
    assert job.progress.fraction == 1
    result = scan.windows
    assert list(result.shown) == ["Lung", "Soft tissue", "Bone"]
    assert result.grid == scan.overlay_grid
    assert all(shown.shape == result.stability.shape == result.grid.shape for shown in result.shown.values())
    assert result.clicks == scan.clicks.now
    assert scan.features is None  # no need of them
    session.windows.compare(place + 5, windows=["Brain", Window("mine", 0, 500)], radius_mm=20)
    assert list(scan.windows.shown) == ["Brain", "mine"]
    session.compute()
    assert scan.windows is told[-1]
    session.model = "hu-patch"
    session.compute()
    assert scan.windows is None
    with pytest.raises(InputError, match="unknown window"):
        session.windows.compare(windows=["Kidney"])


def test_the_answer_in_a_box_is_that_of_its_features(belly, place, compared):
    encoder = load_encoder(MODEL)
    roi = (place - 30, place + 30)
    direct = heat_map(features_for(belly, encoder, roi_mm=roi, store=False), place)
    np.testing.assert_array_equal(direct.data, compared.reference.heat.data)
