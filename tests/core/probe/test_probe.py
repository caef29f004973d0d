"""Probes on features that are known: kinds, several scans, refinement, protection, suggestions, numbers, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.features.descriptors import joint_descriptors
from coralbay_core.features.linear_maps import descriptor_slabs, linear_maps
from coralbay_core.probe import (
    DEFAULT_KIND,
    KINDS,
    ScoreMap,
    fit_examples,
    fit_probe,
    fit_probe_to_scans,
    gather,
    label_statistics,
    load_probe,
    suggest_next,
)
from coralbay_core.probe.classifiers import Linear
from coralbay_core.spatial import Grid, LabelVolume, Volume
from coralbay_core.spatial.geometry import translate
from coralbay_core.spatial.resampling import resample
from coralbay_core.spatial.segmentation_metrics import dice
from tests.support.hostile_files import hostile_files
from tests.support.made_features import CT_GRID, GRID, TISSUES, made_features, strokes, tissue_map, world


@pytest.fixture(scope="module")
def features():
    return made_features()


@pytest.fixture(scope="module")
def probe(features):
    return fit_probe(features, strokes((1, 2, 3)))


def truth_on(grid) -> np.ndarray:
    return resample(tissue_map(), GRID, grid, order=0, fill=0)


# --- kinds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_finds_tissues_in_another_scan_and_keeps_values(kind, features, tmp_path):
    fitted = fit_probe(features, strokes((4, 300, 7)), kind=kind)
    again = load_probe(fitted.save(tmp_path / "p.safetensors"))
    other = made_features(seed=5)
    made = again.scores(other).segment(CT_GRID, probability=True)
    found, probability = made.labels, made.probability
    assert set(np.unique(found)) == {0, 4, 7, 300}
    truth = truth_on(CT_GRID)
    assert dice(found == 300, truth == 1) > 0.55  # cells are 6 and 12 mm, the cubes 30 mm
    assert dice(found == 7, truth == 3) > 0.55
    assert ((probability >= 0) & (probability <= 1)).all()
    np.testing.assert_array_equal(fitted.segment(other, CT_GRID), found)
    assert (again.kind, again.names, again.scans, again.sharpness) == (kind, {300: "left one"}, 1, fitted.sharpness)


@pytest.mark.parametrize("kind", KINDS)
def test_two_classes_and_one_example_each(kind, features):
    drawn = strokes((1, 2, 2)).data.copy()
    for value in (1, 2):
        rest = np.argwhere(drawn == value)[1:]
        drawn[tuple(rest.T)] = 0
    fitted = fit_probe(features, LabelVolume(drawn, CT_GRID), kind=kind)
    data = fitted.scores(features).data
    assert data.shape[0] == 2
    assert np.isfinite(data).all()


def test_the_metric_of_the_body_makes_its_cells_round(features):
    examples = gather(features, strokes((1, 2, 3)))
    inside = features.body_at(4)
    cells = joint_descriptors(features, features.finest.grid.to_world(np.argwhere(inside)))
    spread = np.cov((cells @ examples.body.metric).T)
    ends = np.linalg.eigvalsh(spread)
    before = np.linalg.eigvalsh(np.cov(cells.T))
    assert ends[-1] < 1.2
    assert ends[-1] / np.median(ends) < 0.2 * before[-1] / np.median(before)


def test_probes_are_reproducible(features):
    for kind in ("mlp", "discriminant"):
        first, second = (fit_probe(features, strokes((1, 2, 3)), kind=kind, seed=3) for _ in range(2))
        for name, array in first.classifier.arrays().items():
            np.testing.assert_array_equal(array, second.classifier.arrays()[name])


def test_a_class_with_many_examples_has_several_looks(features):
    data = np.zeros(CT_GRID.shape, np.uint8)
    truth = truth_on(CT_GRID)
    data[truth > 0] = 1  # three tissues, one class
    data[30:40, 40:60, 20:30] = 2
    fitted = fit_probe(features, LabelVolume(data, CT_GRID))
    assert isinstance(fitted.classifier, Linear)
    assert fitted.classifier.classes == 2
    assert len(fitted.classifier.bias) > 4
    found = fitted.segment(features, CT_GRID)
    for name in TISSUES:
        assert found[tuple(np.rint(CT_GRID.to_index(world(name))).astype(int))] == 1


def test_functions_of_descriptors_agree_with_descriptors(features):
    rng = np.random.default_rng(0)
    weights = {4: rng.normal(size=(24, 3)).astype(np.float32), 8: rng.normal(size=(24, 3)).astype(np.float32)}
    rows = np.concatenate(list(weights.values()))
    maps = linear_maps(features, weights).numpy()
    cells = np.argwhere(features.body_at(4))
    wanted = joint_descriptors(features, features.finest.grid.to_world(cells)) @ rows
    np.testing.assert_allclose(maps[(slice(None), *cells.T)].T, wanted, atol=1e-4)
    read = np.concatenate([d.numpy() for _, _, d in descriptor_slabs(features, (4, 8))])
    np.testing.assert_allclose(read @ rows, wanted, atol=1e-4)
    with pytest.raises(InputError, match="lack stages"):
        linear_maps(features, {16: weights[4]})


# --- several scans ------------------------------------------------------------------------------------------------


def test_training_goes_on_over_several_scans():
    first, second = made_features(seed=1), made_features(seed=2)
    left, right = strokes((1, 2, 0)), strokes((1, 0, 3))
    both = fit_probe_to_scans([(first, left), (second, right)])
    assert both.values == (1, 2, 3)
    assert both.scans == 2
    assert both.names == {2: "left one"}
    found, truth = both.segment(made_features(seed=3), CT_GRID), truth_on(CT_GRID)
    assert min(dice(found == 2, truth == 1), dice(found == 3, truth == 3)) > 0.55
    kept = [gather(first, left), gather(second, right)]
    np.testing.assert_array_equal(fit_examples(kept).classifier.arrays()["bias"], both.classifier.arrays()["bias"])
    with pytest.raises(InputError, match="different models"):
        fit_examples([kept[0], gather(made_features(fingerprint="other"), right)])
    with pytest.raises(InputError, match="nothing is painted"):
        fit_examples([gather(first, LabelVolume(np.zeros(CT_GRID.shape, np.uint8), CT_GRID))])


# --- maps, protection, refinement ---------------------------------------------------------------------------------


def test_probability_and_margin(probe, features):
    made = probe.scores(features).segment(CT_GRID, probability=True, margin=True)
    body = resample(features.body, features.grid, CT_GRID, order=0, fill=0)
    assert made.probability[body].min() >= 1 / 3 - 1e-3
    assert (made.margin <= made.probability + 1e-6).all()
    assert not made.probability[~body].any()
    assert not made.margin[~body].any()
    deep = tuple(np.rint(CT_GRID.to_index(world("left"))).astype(int))
    assert made.probability[deep] > 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("place", [0.0, 0.4, 1.0])
def test_a_slice_is_what_it_is_in_the_whole(kind, axis, place, features):
    fitted = fit_probe(features, strokes((1, 2, 3)), kind=kind)
    start, shape = np.zeros(3), list(CT_GRID.shape)
    start[axis], shape[axis] = round(place * (shape[axis] - 1)), 1
    plane = Grid(tuple(shape), CT_GRID.affine @ translate(start))
    near, whole = fitted.scores(features, around=plane), fitted.scores(features)
    assert near.data.size < whole.data.size / 4
    found, wanted = (scores.segment(plane, probability=True) for scores in (near, whole))
    np.testing.assert_array_equal(found.labels, wanted.labels)
    if kind != "knn":  # its cells outside of the body get the score of the farthest cell that was looked at
        np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-5)


def test_probabilities_of_the_labels_sum_to_one(probe, features):
    scores = probe.scores(features)
    body = resample(features.body, features.grid, CT_GRID, order=0, fill=0)
    of = {value: scores.probability_of(value, CT_GRID) for value in scores.values}
    np.testing.assert_allclose(sum(of.values()), body, atol=1e-5)
    made = scores.segment(CT_GRID, probability=True)
    np.testing.assert_allclose(np.max(list(of.values()), 0), made.probability, atol=1e-6)
    value = scores.values[-1]
    kept = np.zeros(CT_GRID.shape, np.uint16)
    kept[:3], kept[3:6] = value, value + 1
    held = scores.probability_of(value, CT_GRID, protected=LabelVolume(kept, CT_GRID))
    assert (held[:3] == 1).all()
    assert (held[3:6] == 0).all()
    np.testing.assert_array_equal(held[6:], of[value][6:])
    with pytest.raises(InputError, match="no such label"):
        scores.probability_of(value + 1, CT_GRID)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), share=st.floats(0, 1), refine=st.booleans())
def test_protected_labels_are_never_overwritten(probe, features, seed, share, refine):
    rng = np.random.default_rng(seed)
    kept = np.where(rng.random(CT_GRID.shape) < share, rng.integers(1, 400, CT_GRID.shape), 0)
    protected = LabelVolume(kept, CT_GRID)
    guide = Volume(rng.integers(-1000, 1000, CT_GRID.shape).astype(np.int16), CT_GRID) if refine else None
    made = probe.scores(features).segment(CT_GRID, guide=guide, protected=protected, margin=True)
    np.testing.assert_array_equal(made.labels[kept != 0], kept[kept != 0])
    free = probe.segment(features, CT_GRID, guide=guide)
    np.testing.assert_array_equal(made.labels[kept == 0], free[kept == 0])
    assert (made.margin[kept != 0] == 1).all()


def test_refinement_draws_borders_where_hu_change():
    """Cells know the truth as well as cells of 6 mm can; a ball of other HU is then found voxel by voxel."""
    features = made_features()
    fine = np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), -1)
    ball = np.linalg.norm(fine - (48, 42, 30), axis=-1) < 17
    rng = np.random.default_rng(0)
    volume = Volume((np.where(ball, 120, 0) + rng.normal(0, 15, GRID.shape)).astype(np.int16), GRID)
    share = resample(ball.astype(np.float32), GRID, features.finest.grid)
    data = np.log(np.clip([1 - share, share], 1e-3, 1)).astype(np.float32)
    scores = ScoreMap(data, features.finest.grid, (1, 2), 0, features)
    rough, refined = (scores.segment(GRID, guide=g).labels == 2 for g in (None, volume))
    assert dice(refined, ball) > 0.985
    assert dice(refined, ball) > dice(rough, ball) + 0.01


def test_refinement_of_a_slice_is_the_slice_of_the_refinement(probe, features):
    from coralbay_core.spatial import Grid, geometry

    volume = Volume(np.random.default_rng(0).integers(-200, 300, CT_GRID.shape).astype(np.int16), CT_GRID)
    whole = probe.segment(features, CT_GRID, guide=volume)
    one = Grid((1, *CT_GRID.shape[1:]), CT_GRID.affine @ geometry.translate((30, 0, 0)))
    np.testing.assert_array_equal(probe.segment(features, one, guide=volume)[0], whole[30])


# --- suggestions --------------------------------------------------------------------------------------------------


def doubtful(features, *places) -> ScoreMap:
    """Scores that are sure everywhere but around given places, the later the less so."""
    shape = features.finest.data.shape[1:]
    cells = features.finest.grid.to_world(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    gap = np.full(shape, 5.0)
    for number, place in enumerate(places):
        gap[np.linalg.norm(cells - place, axis=-1) < 18] = 0.1 + number
    return ScoreMap(
        np.stack([gap, np.zeros(shape), np.full(shape, -5.0)]).astype(np.float32),
        features.finest.grid,
        (1, 5, 9),
        0,
        features,
    )


def test_suggestions_go_where_doubt_is_and_can_be_skipped(features):
    first, second = world("left"), world("top")
    scores = doubtful(features, first, second)
    best, next_best = suggest_next(scores, count=2)
    assert np.linalg.norm(np.array(best.position_mm) - first) < 12
    assert np.linalg.norm(np.array(next_best.position_mm) - second) < 12
    assert best.doubt > next_best.doubt
    assert best.candidates == (1, 5)
    assert abs(best.slice_mm - first[2]) < 12
    (other,) = suggest_next(scores, skipped_mm=[best.position_mm])
    assert np.linalg.norm(np.array(other.position_mm) - second) < 12
    (away,) = suggest_next(scores, labelled_mm=[first])
    assert np.linalg.norm(np.array(away.position_mm) - first) >= 12


def test_suggestions_end(features):
    scores = doubtful(features, world("left"))
    many = suggest_next(scores, count=10**4)
    places = np.array([s.position_mm for s in many])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)[~np.eye(len(places), dtype=bool)]
    assert apart.min() >= 24 - 1e-6
    assert suggest_next(scores, skipped_mm=places, count=1) == [] or len(many) < 10**4
    with pytest.raises(InputError, match="number of suggestions"):
        suggest_next(scores, count=0)


# --- statistics ---------------------------------------------------------------------------------------------------


def test_statistics_against_a_reference():
    data, reference = np.zeros(CT_GRID.shape, np.uint8), np.zeros(CT_GRID.shape, np.uint8)
    data[10:20, 10:30, 10:20] = 3
    reference[10:20, 12:32, 10:20] = 3
    reference[50:52, 50:52, 5:7] = 9
    hu = np.zeros(CT_GRID.shape, np.int16)
    hu[10:20, 10:20] = 100
    labels = LabelVolume(data, CT_GRID, names={3: "cube"})
    three, nine = label_statistics(labels, Volume(hu, CT_GRID), LabelVolume(reference, CT_GRID, names={9: "lost"}))
    assert (three.value, three.name, nine.value, nine.name) == (3, "cube", 9, "lost")
    assert three.volume_ml == pytest.approx(2000 * 1.9 * 1.1 * 1.8 / 1000)
    assert three.dice == pytest.approx(0.9)
    assert three.mean_hu == pytest.approx(50)
    assert 0 < three.surface_mm < 2.2
    assert (nine.volume_ml, nine.dice, nine.surface_mm, nine.mean_hu) == (0, 0, None, None)
    assert nine.reference_ml > 0
    (alone,) = label_statistics(labels)
    assert (alone.dice, alone.mean_hu, alone.reference_ml) == (None, None, None)
    with pytest.raises(InputError, match="different grids"):
        label_statistics(labels, reference=LabelVolume(np.zeros(GRID.shape, np.uint8), GRID))


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DEFAULT_KIND, "knn", "mlp"])
def test_hostile_probes_are_refused_in_one_line(kind, features, tmp_path):
    good = fit_probe(features, strokes((1, 2, 3)), kind=kind).save(tmp_path / "good.safetensors").read_bytes()
    for name, content in hostile_files(good):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_probe(path)
        assert "\n" not in str(caught.value), name


@pytest.mark.parametrize(
    "changed",
    [
        {"values": [1, 2]},
        {"values": [1, 1, 2]},
        {"values": [-1, 1, 2]},
        {"values": [1, 2, 2**40]},
        {"values": "abc"},
        {"outside": -1},
        {"sharpness": 0},
        {"form": "os.system"},
        {"names": [1]},
        {"scans": "many"},
        {"strides": [4]},
        {"strides": 4},
    ],
)
def test_probes_whose_description_lies_are_refused(changed, probe, tmp_path):
    from coralbay_core.util.tensor_file import read_tensors, write_tensors

    path = probe.save(tmp_path / "p.safetensors")
    arrays, about = read_tensors(path, "probe", 1)
    write_tensors(path, "probe", 1, arrays, about | changed)
    with pytest.raises(InputError, match="damaged probe"):
        load_probe(path)


@pytest.mark.parametrize("kind", [DEFAULT_KIND, "knn", "mlp"])
def test_a_probe_without_the_weights_of_a_stage_is_refused(kind, features, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = fit_probe(features, strokes((1, 2, 3)), kind=kind).save(tmp_path / "p.safetensors")
    with safe_open(path, "np") as file:
        arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    removed = sorted(name for name in arrays if name.startswith("weights."))[-1]
    del arrays[removed]
    for known in (metadata, {key: metadata[key] for key in ("format", "probe")}):
        save_file(arrays, path, known)
        with pytest.raises(InputError, match=r"damaged.*weights.*instead of|damaged probe.*strides"):
            load_probe(path)


def test_a_probe_of_an_earlier_version_is_read(probe, tmp_path):
    from coralbay_core.util.tensor_file import read_tensors, write_tensors

    path = probe.save(tmp_path / "p.safetensors")
    arrays, about = read_tensors(path, "probe", 1)
    assert about.pop("strides") == list(probe.strides)
    assert load_probe(write_tensors(path, "probe", 1, arrays, about)).strides == probe.strides


def test_a_probe_reads_the_stages_that_it_was_fitted_on(probe, tmp_path):
    few = made_features()
    del few.stages[8]
    with pytest.raises(InputError, match="lack stages"):
        probe.segment(few, CT_GRID)
