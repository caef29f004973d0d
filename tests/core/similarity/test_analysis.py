"""Similarity, projection and probes on features that are known, and on the shipped model with the phantom."""

import numpy as np
import pytest

from coralbay_core.errors import InputError, MissingFileError, OutsideVolumeError
from coralbay_core.probe import fit_probe, load_probe
from coralbay_core.projection import pca_rgb
from coralbay_core.similarity import heat_map, top_regions
from coralbay_core.spatial import Grid, LabelVolume, geometry
from tests.support.made_features import CT_GRID, GRID, TISSUES, made_features, strokes, tissue_map, world


def test_heat_lights_up_what_was_clicked():
    heat = heat_map(made_features(), world("left"))
    assert heat.at(world("left"))[0] > 0.9
    assert max(heat.at(world("right"))[0], heat.at(world("top"))[0]) < 0.5
    shown = heat.resample_to(CT_GRID)
    assert shown.dtype == np.float32
    assert np.isfinite(shown).all()
    peak = CT_GRID.to_world(np.unravel_index(shown.argmax(), shown.shape))
    assert np.abs(peak - world("left")).max() < 16
    assert np.allclose(shown[:, 0], heat.minimum)
    assert heat.minimum == pytest.approx(shown.min())


def test_several_and_negative_clicks():
    features = made_features()
    both = heat_map(features, [world("left"), world("top")])
    assert min(both.at(world("left"))[0], both.at(world("top"))[0]) > 0.9
    background = GRID.to_world((48, 60, 30))
    alike = heat_map(features, [world("left"), background])
    assert alike.at(background)[0] > 0.5
    without = heat_map(features, [world("left")], [background])
    assert without.at(world("left"))[0] > 0.9 > 0.1 > without.at(background)[0]
    torn = heat_map(features, [world("left"), world("top")], [world("top")])
    assert torn.at(world("left"))[0] > 0.9
    assert torn.at(world("top"))[0] == pytest.approx(0.5 * both.at(world("top"))[0], rel=0.1)


def test_query_in_another_scan():
    heat = heat_map(made_features(seed=1), world("top"), query_features=made_features(seed=2))
    assert np.linalg.norm(np.array(top_regions(heat, 1)[0].position_mm) - world("top")) < 20


def test_top_regions_are_distinct_peaks_with_a_size():
    features = made_features()
    regions = top_regions(heat_map(features, [world("left"), world("top")]), k=2)
    found = [np.array(region.position_mm) for region in regions]
    assert {min(TISSUES, key=lambda name: np.linalg.norm(world(name) - p)) for p in found} == {"left", "top"}
    for region in regions:
        assert region.size_ml == pytest.approx(20**3 * 1.5**3 / 1000, rel=0.5)
    assert regions[0].score >= regions[1].score


def test_no_region_where_nothing_is_similar_and_no_cell_in_two():
    heat = heat_map(made_features(), world("left"))
    listed = [GRID.to_index(region.position_mm) for region in top_regions(heat, k=10, least=0.7)]
    assert all(np.abs(index - TISSUES["left"]).max() <= 12 for index in listed)
    everything = top_regions(heat, k=1000, distance_mm=0, level=0, least=-9)
    assert len(everything) > 1
    body_ml = float(heat.inside.sum() * heat.grid.voxel_ml)
    assert sum(region.size_ml for region in everything) <= body_ml * (1 + 1e-6)


def test_scale_weights():
    features = made_features()
    fine = heat_map(features, world("left"), weights={4: 1, 8: 0})
    coarse = heat_map(features, world("left"), weights={8: 2})
    mixed = heat_map(features, world("left"))
    np.testing.assert_allclose(mixed.data, (fine.data + coarse.data) / 2, atol=1e-5)
    with pytest.raises(InputError, match="scale weights"):
        heat_map(features, world("left"), weights={16: 1})


def test_bad_queries():
    with pytest.raises(OutsideVolumeError, match=r"expected mm within R -?\d"):
        heat_map(made_features(), (900, 0, 0))
    with pytest.raises(InputError, match="no positive point"):
        heat_map(made_features(), [], [world("left")])
    with pytest.raises(InputError, match="different models"):
        heat_map(made_features(), world("left"), query_features=made_features(fingerprint="other"))


def test_pca_separates_tissues_and_keeps_its_signs():
    features = made_features(noise=0.05)
    rgb = pca_rgb(features)
    colors = {
        name: rgb.resample_to(CT_GRID)[tuple(np.rint(CT_GRID.to_index(world(name))).astype(int))] for name in TISSUES
    }
    names = list(TISSUES)
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            assert np.abs(colors[name].astype(int) - colors[other]).max() > 60
    again = pca_rgb(made_features(noise=0.05), seed=1)
    assert np.abs(again.components - rgb.components).mean() < 0.03
    assert not rgb.resample_to(CT_GRID)[:, 0].any()
    assert list(rgb.explained) == sorted(rgb.explained, reverse=True)


@pytest.mark.parametrize("kind", ["ridge", "prototype"])
def test_probe_gives_back_painted_values(kind, tmp_path):
    features = made_features()
    probe = fit_probe(features, strokes((1, 300, 7)), kind=kind)
    path = probe.save(tmp_path / "probe.safetensors")
    made = load_probe(path).scores(made_features(seed=5)).segment(CT_GRID, probability=True)
    segmented, probability = made.labels, made.probability
    assert set(np.unique(segmented)) == {0, 1, 7, 300}
    assert not segmented[:, 0].any()
    kinds = tissue_map()
    index = np.rint(
        GRID.to_index(CT_GRID.to_world(np.stack(np.meshgrid(*map(np.arange, CT_GRID.shape), indexing="ij"), -1)))
    )
    truth = kinds[tuple(np.moveaxis(np.clip(index.astype(int), 0, np.array(GRID.shape) - 1), -1, 0))]
    for value, kind_of_tissue in ((300, 1), (7, 3)):
        overlap = ((segmented == value) & (truth == kind_of_tissue)).sum()
        dice = 2 * overlap / ((segmented == value).sum() + (truth == kind_of_tissue).sum())
        assert dice > 0.55  # cells are 6 and 12 mm, the cubes 30 mm
    assert ((probability >= 0) & (probability <= 1)).all()
    assert load_probe(path).names == {300: "left one"}


def test_probe_scores_do_not_depend_on_slabs(monkeypatch):
    features = made_features()
    probe = fit_probe(features, strokes((1, 2, 3)))
    whole = probe.segment(features, CT_GRID)
    tall = Grid((400, 100, 50), CT_GRID.affine @ geometry.scale((72 / 400, 1, 1)))
    assert probe.segment(features, tall).shape == tall.shape
    assert np.array_equal(probe.segment(features, CT_GRID), whole)


def test_bad_probes(tmp_path):
    features = made_features()
    with pytest.raises(InputError, match="two classes"):
        fit_probe(features, strokes((2, 2, 2)))
    with pytest.raises(InputError, match="unknown probe"):
        fit_probe(features, strokes((1, 2, 3)), kind="forest")
    probe = fit_probe(features, strokes((1, 2, 3)))
    with pytest.raises(InputError, match="another model"):
        probe.segment(made_features(fingerprint="other"), CT_GRID)
    with pytest.raises(MissingFileError):
        load_probe(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is no probe")
    with pytest.raises(InputError, match="not a probe"):
        load_probe(tmp_path / "text.safetensors")


def test_background_painted_in_air_is_the_value_outside_the_body():
    data = strokes((1, 2, 3)).data.copy()
    data[:, 0] = 1
    probe = fit_probe(made_features(), LabelVolume(data, CT_GRID))
    assert (probe.segment(made_features(), CT_GRID)[:, 0] == 1).all()
