"""Every encoder that the package offers without a download gives the same features with and without a store."""

import numpy as np
import pytest

from coralbay_core.errors import MissingFileError
from coralbay_core.evaluate.methods import encoder_method, patch_and_position_method, position_method
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.sliding_window import ExtractionCallbacks
from coralbay_core.features.descriptors import joint_map, stage_descriptors
from coralbay_core.models.cards import WITHOUT_WEIGHTS
from coralbay_core.models.loading import load_encoder
from coralbay_core.models.model_card import list_cards, load_card
from coralbay_core.models.names import DEFAULT_MODEL, VARIANTS
from coralbay_core.models.swin_encoder import as_single_pass
from coralbay_core.similarity import heat_map
from coralbay_core.similarity.hu_windows import WindowedEncoder
from coralbay_core.spatial import Volume
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward

SHIPPED = [name for name in list_cards() if load_card(name).source is None]
VARIANT_NAMES = [f"{name}{variant}" for name in SHIPPED for variant in VARIANTS]
OFFERED = [*SHIPPED, *WITHOUT_WEIGHTS, *VARIANT_NAMES, "hu-patch:whole"]


def soft_tissue(shape=(70, 50, 60)) -> Volume:
    grid = ramp_volume(shape).grid
    data = np.random.default_rng(1).normal(40, 120, shape)
    data[shape[0] // 2 :] += 150
    return Volume(data.astype(np.float32), grid)


def assert_same(kept, direct):
    """Whatever is stated about the features, their values and all that is derived from them agree."""
    for fact in ("model", "fingerprint", "notice", "compact", "strides", "grid", "size_bytes"):
        assert getattr(kept, fact) == getattr(direct, fact), fact
    assert np.array_equal(kept.body, direct.body)
    for stride in direct.strides:
        assert kept.stage(stride).grid == direct.stage(stride).grid
        assert np.array_equal(kept.stage(stride).data, direct.stage(stride).data)
        ours, theirs = stage_descriptors(kept, stride), stage_descriptors(direct, stride)
        for part in ("unit", "mean", "scale"):
            assert np.array_equal(getattr(ours, part), getattr(theirs, part)), (stride, part)
    assert np.array_equal(joint_map(kept, 8).tokens, joint_map(direct, 8).tokens)


@pytest.mark.parametrize("name", OFFERED)
def test_features_are_the_same_with_and_without_a_store(name, tmp_path):
    encoder, volume = load_encoder(name, device="cpu"), soft_tissue()
    previews = []
    kept = features_for(volume, encoder, store=FeatureStore(tmp_path))
    again = features_for(volume, encoder, store=FeatureStore(tmp_path))
    direct = features_for(volume, encoder, store=False, watch=ExtractionCallbacks(preview=previews.append))
    assert_same(kept, direct)
    assert_same(again, direct)
    assert direct.compact == encoder.compact == name.endswith(":compact")
    assert direct.fingerprint == encoder.fingerprint
    assert {s: direct.stage(s).channels for s in direct.strides}.items() <= encoder.channels.items()
    assert (previews[0].compact, previews[0].fingerprint) == (direct.compact, direct.fingerprint)
    click = volume.grid.to_world((20, 25, 30))
    assert np.array_equal(heat_map(kept, click).data, heat_map(direct, click).data)


@pytest.mark.parametrize("name", OFFERED)
def test_an_encoder_states_all_facts_and_moves_to_a_device(name):
    encoder = load_encoder(name, device="cpu")
    assert encoder.channels == {stage.stride: stage.channels for stage in encoder.stages}
    assert encoder.working_bytes((64, 64, 64)) >= 0
    moved = encoder.to("cpu")
    facts = ("name", "fingerprint", "notice", "ignored", "compact", "tiling", "preprocessing", "stages")
    assert all(getattr(moved, fact) == getattr(encoder, fact) for fact in facts)
    seen = WindowedEncoder(moved, (-200.0, 300.0))
    assert (seen.compact, seen.notice, seen.channels) == (encoder.compact, encoder.notice, encoder.channels)
    assert seen.to("cpu").fingerprint == seen.fingerprint != encoder.fingerprint


def test_the_methods_of_an_evaluation_keep_the_facts(tmp_path):
    volume = soft_tissue((40, 40, 40))
    compact = encoder_method(load_encoder(f"{DEFAULT_MODEL}:compact", device="cpu"), store=FeatureStore(tmp_path))
    assert_same(compact.describe(volume, keep=True), compact.describe(volume, keep=False))
    for method in (position_method(), patch_and_position_method(load_encoder("hu-patch", device="cpu"))):
        assert method.describe(volume).fingerprint == method.fingerprint


def test_a_single_pass_leaves_its_argument_as_it_is():
    windows = load_encoder(DEFAULT_MODEL, device="cpu")
    before = (windows.name, windows.fingerprint, windows.tiling)
    single = as_single_pass(windows)
    assert (windows.name, windows.fingerprint, windows.tiling) == before
    assert (single.name, single.fingerprint) == (f"{before[0]}:whole", f"{before[1]}-whole")
    assert single.backbone is windows.backbone


def test_a_model_without_a_compact_form():
    with pytest.raises(MissingFileError, match="no compact form"):
        load_encoder("hu-context:compact", device="cpu")
