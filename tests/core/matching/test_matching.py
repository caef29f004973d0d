"""From scan to scan, and from side to side."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from coralbay_core import load_encoder
from coralbay_core.errors import CoralBayError, InputError, OutsideVolumeError
from coralbay_core.evaluate.tasks.changes import _moved, _rotation
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.matching import Landmark, align, best_match, best_matches, propagate, read_landmarks, write_landmarks
from coralbay_core.matching.alignment import _similarity
from coralbay_core.phantom import make_phantom
from coralbay_core.similarity.symmetry import Midplane, compare_sides, find_midplane
from coralbay_core.spatial import geometry
from tests.support.made_features import GRID, TISSUES, made_features, world


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(device="cpu")


@pytest.fixture(scope="module")
def twins(phantom, encoder):
    """Two phantoms and their features."""
    phantoms = [phantom, make_phantom(1, (3.0, 3.0, 3.0))]
    return phantoms, [features_for(p.volume, encoder) for p in phantoms]


def test_a_match_returns_to_the_click():
    source, target = made_features(seed=1), made_features(seed=2)
    match = best_match(source, target, world("top"))
    assert np.abs(GRID.to_index(match.position_mm) - TISSUES["top"]).max() <= 12
    assert match.confirmed
    assert match.return_mm < 24
    several = best_matches(source, target, world("top"), 3)
    np.testing.assert_allclose(several[0].position_mm, match.position_mm)
    assert [m.score for m in several] == sorted((m.score for m in several), reverse=True)


def test_what_is_not_there_does_not_return():
    """The click is in a tissue that the other scan lacks: whatever matches there returns elsewhere."""
    source, target = made_features(seed=1, noise=1.0), made_features(seed=2, noise=1.0)
    for stride, stage in target.stages.items():
        low = [(c - 12) // stride for c in TISSUES["top"]]
        part = tuple(slice(a, a + 24 // stride + 1) for a in low)
        stage.data[(slice(None), *part)] = stage.data[:, 0:1, -1:, 0:1]
    match = best_match(source, target, world("top"))
    assert not match.confirmed


@pytest.mark.slow
@pytest.mark.forward
def test_alignment_puts_landmarks_near_and_the_prior_does_the_rest(twins):
    (first, second), (source, target) = twins
    names = sorted(set(first.landmarks) & set(second.landmarks))
    here, there = (np.array([p.landmarks[n] for n in names]) for p in (first, second))
    alignment = align(source, target)
    assert np.median(np.linalg.norm(alignment(here) - there, axis=1)) < 15
    places = [Landmark(n, tuple(p)) for n, p in zip(names, here, strict=True)]
    errors = {}
    for prior in (None, 40.0):
        found = propagate(places, source, target, prior_mm=prior)
        errors[prior] = np.linalg.norm([m.position_mm for m in found.matches] - there, axis=1)
        confirmed = np.array([m.confirmed for m in found.matches])
        assert errors[prior][confirmed].mean() <= errors[prior].mean()
    assert errors[40.0].mean() < 10 < errors[None].mean()


def test_scans_without_anything_in_common_are_not_aligned():
    rng = np.random.default_rng(0)
    source, target = made_features(seed=1), made_features(seed=2)
    for stage in target.stages.values():
        stage.data[:] = rng.normal(size=stage.data.shape)
    with pytest.raises(CoralBayError, match=r"cannot be aligned - found \d+ of \d+ matches agree vs expected at least"):
        align(source, target)


@given(st.integers(0, 10_000))
def test_the_closed_form_finds_a_similarity(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(5, 3)) * 50
    size, turn, shift = rng.uniform(0.7, 1.4), Rotation.random(None, rng).as_matrix(), rng.normal(size=3) * 100
    found = _similarity(points, size * points @ turn.T + shift)
    np.testing.assert_allclose(found[:3, :3], size * turn, atol=1e-6)
    np.testing.assert_allclose(found[:3, 3], shift, atol=1e-4)


# --- lists --------------------------------------------------------------------------------------------------------


def test_lists_of_landmarks(tmp_path):
    (tmp_path / "a.csv").write_text("Label,x,y,z,diameter\nnode,1,-2.5,3,12\n,4,5,6,\n", "utf-8-sig")
    first, second = read_landmarks(tmp_path / "a.csv")
    assert (first.name, first.position_mm, first.more) == ("node", (1, -2.5, 3), {"diameter": "12"})
    assert second.name == "2"
    (tmp_path / "b.json").write_text(json.dumps({"node": [1, -2.5, 3]}))
    assert read_landmarks(tmp_path / "b.json")[0].position_mm == first.position_mm
    (tmp_path / "c.json").write_text(json.dumps([{"name": "node", "position_mm": [1, -2.5, 3]}]))
    assert read_landmarks(tmp_path / "c.json") == read_landmarks(tmp_path / "b.json")


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "name,x_mm,y_mm,z_mm\nq,1,2,\n", "name,x_mm,y_mm,z_mm\nq,1,2,nan\n", "name,x,y,z\nq,1\n", "\0"],
)
def test_unreadable_lists_are_told_in_one_line(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError) as error:
        read_landmarks(tmp_path / "l.csv")
    assert "\n" not in str(error.value)


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip))
def test_no_cell_starts_a_formula(tmp_path_factory, name):
    path = write_landmarks(tmp_path_factory.mktemp("l") / "l.csv", [{"name": name, "x_mm": -1.0}])
    with path.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert row["name"][0] not in "=+@"
    assert row["name"].removeprefix("'") == name.removeprefix("'")
    assert row["x_mm"] == "-1"


# --- symmetry -----------------------------------------------------------------------------------------------------


def pairs(landmarks):
    return [
        (landmarks[n], landmarks[n.replace("left", "right")])
        for n in landmarks
        if n.endswith("_left") and n[:-4] + "right" in landmarks
    ]


@pytest.mark.forward
@pytest.mark.parametrize(
    "degrees",
    [(0, 0, 0), pytest.param((0, 0, 10), marks=pytest.mark.slow), pytest.param((0, 8, -12), marks=pytest.mark.slow)],
)
def test_the_midplane_of_a_patient_who_lies_askew(phantom, encoder, degrees):
    volume, there = _moved(_rotation(degrees))(phantom.volume, np.random.default_rng(0))
    plane = find_midplane(features_for(volume, encoder, store=False))
    landmarks = {name: geometry.apply(there, p) for name, p in phantom.landmarks.items()}
    sides = [(a, b) for a, b in pairs(landmarks) if np.linalg.norm(a - b) > 40]
    assert len(sides) >= 4
    assert np.median([np.linalg.norm(plane.mirror(a) - b) for a, b in sides]) < 18
    expected = _rotation(degrees) @ [1, 0, 0]
    assert np.degrees(np.arccos(np.clip(plane.normal @ expected, -1, 1))) < 4


@given(st.lists(st.floats(-500, 500), min_size=3, max_size=3), st.floats(-180, 180), st.floats(-50, 50))
def test_mirroring_twice_changes_nothing(position, yaw, offset):
    angle = np.radians(yaw)
    normal = np.array([np.cos(angle), np.sin(angle), 0])
    plane = Midplane(offset * normal, normal)
    there = plane.mirror(position)
    np.testing.assert_allclose(plane.mirror(there), position, atol=1e-6)
    assert (np.array(position) + there) @ normal / 2 == pytest.approx(offset, abs=1e-6)


@pytest.mark.slow
@pytest.mark.forward
def test_sides_that_differ_stand_out(twins):
    (phantom, _), (features, _) = twins
    plane = find_midplane(features)
    middle = compare_sides(features, phantom.landmarks["T6"], plane=plane)
    liver = compare_sides(features, phantom.landmarks["liver_right_lobe"], plane=plane)
    assert np.linalg.norm(middle.mirror_mm - middle.position_mm) < 20
    assert liver.difference > middle.difference + 0.2
    assert middle.rank < 0.2 < liver.rank
    assert liver.difference == pytest.approx(np.mean(list(liver.by_stage.values())), abs=1e-6)
    with pytest.raises(OutsideVolumeError, match="other side"):
        compare_sides(features, phantom.landmarks["T6"], plane=Midplane(np.array([900.0, 0, 0]), np.array([1.0, 0, 0])))
