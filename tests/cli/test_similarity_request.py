"""One use case for similarity: commands, sessions and libraries give the same answer to the same request."""

import numpy as np
import pytest

from coralbay_core.errors import Cancelled, CoralBayError, InputError
from coralbay_core.io import load_volume
from coralbay_core.matching import PRIOR_PLACES, Alignment, SimilarityRequest, align, answer, deform, known_alignments
from coralbay_core.similarity import DistancePrior, auto_weights, make_query, merge_queries, search, top_regions
from coralbay_viz import Session
from tests.support.made_features import made_features, world
from tests.support.warped_features import ripple, shown_twice

pytestmark = pytest.mark.forward

MODEL = ("--model", "hu-context")


def at(position) -> str:
    return "--at=" + ",".join(f"{v:.1f}" for v in position)


@pytest.fixture(scope="module")
def features():
    return made_features()


def test_an_answer_is_the_composition_of_its_parts(features):
    clicks, against = [world("left"), world("left") + 6], [world("top")]
    saved = make_query(features, [world("right")])
    request = SimilarityRequest(
        target=features,
        positive_mm=clicks,
        negative_mm=against,
        queries=(saved,),
        weights="auto",
        prior_mm=40.0,
        top=3,
    )
    found = answer(request)
    query = merge_queries([make_query(features, clicks, against), saved])
    shares = auto_weights(features, clicks, against)
    expected = search(features, query, weights=shares, prior=DistancePrior(np.array(clicks), 40.0))
    np.testing.assert_array_equal(found.heat.data, expected.data)
    assert found.weights == expected.weights
    assert found.query.size == 3
    assert found.regions == tuple(top_regions(expected, 3))


def test_a_saved_query_alone_brings_its_weights_and_has_no_prior(features):
    saved = make_query(features, [world("left")])
    alone = answer(SimilarityRequest(target=features, queries=(saved,), weights="auto", prior_mm=20.0, top=0))
    np.testing.assert_array_equal(alone.heat.data, search(features, saved).data)
    assert alone.regions == ()
    with pytest.raises(InputError, match="nothing to look for"):
        SimilarityRequest(target=features, negative_mm=[world("left")])


def test_the_places_of_a_prior_are_thinned(features, monkeypatch):
    rng = np.random.default_rng(0)
    many = world("left") + rng.uniform(-5, 5, (10 * PRIOR_PLACES, 3))
    seen = []
    factor = DistancePrior.factor
    monkeypatch.setattr(
        DistancePrior, "factor", lambda self, grid: seen.append(len(self.centers_mm)) or factor(self, grid)
    )
    answer(SimilarityRequest(target=features, positive_mm=many, prior_mm=30.0, top=0))
    answer(SimilarityRequest(target=features, positive_mm=many[:7], prior_mm=30.0, top=0))
    assert seen == [PRIOR_PLACES, 7]


def test_an_unusable_prior_is_refused_before_scans_are_aligned(features, monkeypatch):
    monkeypatch.setattr("coralbay_core.matching.request.alignment_of", lambda *_, **__: pytest.fail("aligned"))
    other = made_features(1)
    request = SimilarityRequest(target=other, source=features, positive_mm=[world("left")], prior_mm=-3.0)
    with pytest.raises(InputError, match="unusable distance prior"):
        answer(request)


@pytest.mark.parametrize("after", range(7))
def test_an_answer_can_be_cancelled_between_its_stages(features, after):
    calls = []

    def cancelled() -> bool:
        calls.append(None)
        return len(calls) > after

    request = SimilarityRequest(target=features, positive_mm=[world("left")], negative_mm=[world("top")])
    with pytest.raises(Cancelled, match="cancelled"):
        answer(request, cancelled)
    assert len(calls) == after + 1


def test_command_and_session_give_the_same_heat_map(succeed, torsos, tmp_path):
    folder, (first, _) = torsos
    clicks = [np.round(first.landmarks[name], 1) for name in ("L3", "T6")]
    against = np.round(first.landmarks["liver_right_lobe"], 1)
    places = (*map(at, clicks), at(against).replace("--at", "--not"), "--prior-mm", 40)
    session = Session(model="hu-context")
    scans = [session.add(load_volume(folder / f"{name}.nii.gz")) for name in "ab"]
    for scan in scans:
        session.compute(scan=scan)
    session.activate(scans[0])
    session.prior_mm = 40.0
    for click in clicks:
        session.click(click)
    session.click(against, negative=True)
    succeed("query", folder / "a.nii.gz", *places, "-o", tmp_path / "same.nii.gz", *MODEL)
    written = load_volume(tmp_path / "same.nii.gz")
    np.testing.assert_allclose(scans[0].heat.heat.resample_to(written.grid), written.data, atol=1e-5)
    files = ("--in", folder / "b.nii.gz", "-o", tmp_path / "other.nii.gz")
    told = succeed("query", folder / "a.nii.gz", *places, *files, *MODEL)
    session.link_heat(scans[1])
    written = load_volume(tmp_path / "other.nii.gz")
    np.testing.assert_allclose(scans[1].heat.heat.resample_to(written.grid), written.data, atol=1e-5)
    best = scans[1].heat.regions[0].position_mm
    np.testing.assert_allclose(best, told["results"]["top"][0]["position_mm"], atol=1e-2)
    # The prior is centered where the clicks align.
    expected = align(scans[0].features, scans[1].features)(clicks)
    assert np.linalg.norm(expected - best, axis=1).min() < 80


def test_a_command_refuses_options_that_need_places(coralbay, torsos, tmp_path):
    folder, (first, _) = torsos
    kept = tmp_path / "l3.query"
    assert coralbay("query", folder / "a.nii.gz", at(first.landmarks["L3"]), "--save", kept, *MODEL)[0] == 0
    for option, word in (
        (("--prior-mm", 20), "a distance prior needs positions"),
        (("--stage-weights", "auto"), "auto weights"),
    ):
        code, _, err = coralbay("query", folder / "a.nii.gz", "--use", kept, *option)
        assert code == 2
        assert word in err


def test_places_in_another_scan_fall_back_openly(features):
    """Scans that cannot be aligned are searched as a whole, with the reason; a prior that was asked for is an error."""
    rng = np.random.default_rng(0)
    other = made_features(2)
    for stage in other.stages.values():
        stage.data[:] = rng.normal(size=stage.data.shape)
    asked = {"target": other, "source": features, "positive_mm": [world("left")]}
    found = answer(SimilarityRequest(**asked, scope="place", top=0))
    assert "cannot be aligned" in found.note
    assert found.note.endswith("the whole scan was searched")
    np.testing.assert_allclose(found.heat.data, answer(SimilarityRequest(**asked, top=0)).heat.data)
    with pytest.raises(CoralBayError, match="cannot be aligned"):
        answer(SimilarityRequest(**asked, prior_mm=30.0, top=0))


def test_places_in_another_scan_are_aligned_and_the_answer_tells_how_surely(monkeypatch):
    same = Alignment(np.eye(4), 100, 100, 1.0)
    monkeypatch.setattr(known_alignments, "deform", lambda a, b, **more: deform(a, b, prior=same, **more))
    first, second = shown_twice()
    place = np.array([5.0, 10, -20])
    found = answer(SimilarityRequest(target=second, source=first, positive_mm=[ripple(place)], scope="place"))
    assert found.note.startswith("alignment is reliable")
    assert "the aligned place is" in found.note
    assert np.linalg.norm(found.regions[0].position_mm - place) < 15
