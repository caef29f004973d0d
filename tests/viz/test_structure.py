"""What a click asks for, and regions that become labels."""

import numpy as np
import pytest

from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.io import load_labels
from coralbay_core.similarity import HereWeights
from coralbay_viz import Session
from coralbay_viz.model.results import ScoreScale
from tests.support.scans import cut

pytestmark = pytest.mark.forward


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"])


@pytest.fixture(scope="module")
def liver(phantom):
    labels = cut(phantom.labels, phantom.landmarks["liver_right_lobe"])
    return labels.data == next(value for value, name in phantom.labels.names.items() if name == "liver")


@pytest.fixture
def session(belly):
    session = Session()
    session.add(belly)
    session.compute()
    return session


@pytest.fixture
def place(phantom):
    return tuple(phantom.landmarks["liver_right_lobe"])


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_the_threshold_of_a_structure_comes_with_the_click(session, place):
    session.scope = "here"
    session.click(place)
    assert session.threshold == pytest.approx(session.heat.heat.threshold, rel=0.05)
    session.body_fraction = 0.99  # and stays the user's to drag
    assert session.threshold < session.heat.heat.threshold
    session.scope = "everywhere"
    assert session.heat.heat.threshold is None
    assert session.body_fraction == 0.03


def test_a_region_is_accepted_and_another_is_not_this(session, place):
    session.click(place)
    best, second = session.heat.regions[0], session.heat.regions[-1]
    session.click_region(len(session.heat.regions) - 1, negative=True)
    assert session.clicks.negative == (second.position_mm,)
    session.undo()
    assert session.clicks.negative == ()
    session.click_region(0)
    assert session.clicks.positive == (place, best.position_mm)


def test_one_click_becomes_a_label(session, place, liver, tmp_path):
    session.scope = "here"
    session.click(place)
    session.accept_region(5, "liver")
    shown = session.segmentation
    assert shown.names == {5: "liver"}
    assert session.scan.probe is None
    assert dice(shown.data == 5, liver) > 0.4
    session.save_segmentation(tmp_path / "seg.nii.gz")
    read = load_labels(tmp_path / "seg.nii.gz", like=session.volume)
    np.testing.assert_array_equal(read.data == 5, shown.data == 5)
    session.set_class_color(5, "#ff00ff")
    session.save_segmentation(tmp_path / "seg.seg.nrrd")
    read = load_labels(tmp_path / "seg.seg.nrrd")
    assert (read.names, read.colors) == ({5: "liver"}, {5: (255, 0, 255)})
    session.compute_statistics()
    assert [row.name for row in session.scan.statistics] == ["liver"]
    session.undo_accept()
    assert session.segmentation is None
    assert session.undo_accept() is None


def test_a_name_finds_its_class_or_makes_one(session, place):
    session.scope = "here"
    session.click(place)
    session.body_fraction = 0.2
    session.accept_region(name="liver")
    value = {name: number for number, name in session.segmentation.names.items()}["liver"]
    session.body_fraction = 0.4
    session.accept_region(name="liver")
    assert list(session.segmentation.names.values()) == ["liver"]
    session.body_fraction = 0.8
    session.accept_region()
    assert session.segmentation.names == {value: "liver", value + 1: f"structure {value + 1}"}


def test_labels_that_are_there_are_protected(session, place):
    session.scope = "here"
    session.click(place)
    session.accept_region(1, "first")
    before = session.segmentation.data == 1
    session.body_fraction = min(1.0, 2 * session.body_fraction)
    session.accept_region(2, "second")
    np.testing.assert_array_equal(session.segmentation.data == 1, before)
    with pytest.raises(InputError, match="nothing to add"):
        session.accept_region(3)
    with pytest.raises(InputError, match="label out of range"):
        session.accept_region(0)


def test_settings_and_accepted_regions_come_back(session, place, belly, tmp_path):
    from coralbay_core.io import save_map

    path = tmp_path / "ct.nii.gz"
    save_map(path, belly.data, belly)
    first = Session()
    first.open(path)
    first.compute()
    first.scope, first.here_weights = "here", HereWeights(intensity=2)
    first.connectivity, first.keep_islands = 0.8, True
    first.click(place)
    first.accept_region(4, "liver")
    first.save(tmp_path / "s.coralbay")
    again = Session()
    again.load(tmp_path / "s.coralbay")
    assert (again.scope, again.here_weights) == ("here", HereWeights(intensity=2))
    assert (again.connectivity, again.keep_islands) == (0.8, True)
    np.testing.assert_array_equal(again.segmentation.data, first.segmentation.data)


def test_unknown_scopes_and_weights_are_refused(session):
    with pytest.raises(InputError, match="unknown scope"):
        session.scope = "there"
    with pytest.raises(InputError, match="unusable weights"):
        session.here_weights = HereWeights(-1)
    assert session.scope == "everywhere"


def test_a_fraction_and_its_score_are_inverse():
    scale = ScoreScale(np.random.default_rng(0).random(10_000))
    for fraction in (0.001, 0.03, 0.5):
        assert scale.fraction_of(scale.score_of(fraction)) == pytest.approx(fraction, rel=1e-3)


def test_what_is_no_setting_is_refused_and_changes_nothing(session):
    bad = [("kind", "zzz"), ("connectivity", 2), ("connectivity", "x"), ("prior_mm", "x"), ("body_fraction", "x")]
    before = {name: getattr(session, name) for name, _ in bad}
    for name, value in bad:
        with pytest.raises(InputError):
            setattr(session, name, value)
    for call in (session.paint, session.segment, session.protect_labels, session.protect):
        with pytest.raises((InputError, MissingFileError)):
            call("x")
    assert {name: getattr(session, name) for name in before} == before
    assert session.scan.strokes.now is None


def test_each_scan_has_the_border_of_its_own_structure(session, belly, place):
    session.scope = "here"
    first = session.scan
    session.click(place)
    near = session.body_fraction
    session.add(belly)
    session.compute()
    session.click(tuple(belly.grid.center_mm))
    assert session.body_fraction != near
    session.activate(first)
    assert session.body_fraction == pytest.approx(near)
