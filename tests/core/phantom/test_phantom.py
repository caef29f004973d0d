"""The phantom: anatomy in the right place, of plausible size and HU, and the same for the same seed."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes

from coralbay_core.errors import InputError
from coralbay_core.phantom import LABELS, Phantom, _make_grid, make_phantom
from coralbay_core.phantom.shapes import grow_tree, smooth_max, smooth_min, wander
from coralbay_core.phantom.subject import make_subject
from coralbay_core.spatial.geometry import axis_codes

COARSE_MM = 3.0
SEEDS = (0, 1, 2)

# Structure, least and most volume in mL of an adult in this field of view.
VOLUMES_ML = {
    "liver": (1100, 2300),
    "spleen": (90, 350),
    "kidney_left": (100, 260),
    "kidney_right": (100, 260),
    "pancreas": (20, 120),
    "stomach": (150, 700),
    "gallbladder": (10, 70),
    "colon": (150, 900),
    "small_bowel": (200, 1000),
    "duodenum": (15, 100),
    "aorta": (130, 380),
    "inferior_vena_cava": (40, 160),
    "heart_myocardium": (100, 300),
    "heart_ventricle_left": (50, 180),
    "heart_ventricle_right": (50, 220),
    "heart_atrium_left": (25, 120),
    "heart_atrium_right": (25, 130),
    "sternum": (25, 120),
    "rib_left": (100, 320),
    "rib_right": (100, 320),
    "vertebrae_T6": (10, 35),
    "vertebrae_L2": (28, 80),
    "spinal_cord": (40, 140),
    "autochthon_left": (250, 800),
    "iliopsoas_right": (40, 350),
    "subcutaneous_fat": (1500, 9000),
    "skeletal_muscle": (2200, 6000),
    "skin": (400, 1500),
}
# Structure, least and most median HU in the phases that are drawn.
MEDIAN_HU = {
    "liver": (85, 130),
    "spleen": (100, 150),
    "kidney_left": (135, 210),
    "aorta": (150, 230),
    "inferior_vena_cava": (110, 180),
    "portal_vein_and_splenic_vein": (110, 210),
    "heart_ventricle_left": (140, 230),
    "heart_myocardium": (80, 140),
    "skeletal_muscle": (25, 70),
    "autochthon_right": (25, 65),
    "subcutaneous_fat": (-115, -85),
    "torso_fat": (-115, -60),
    "lung_lower_lobe_right": (-890, -740),
    "lung_upper_lobe_left": (-890, -740),
    "trachea": (-1000, -550),
    "gallbladder": (-5, 40),
    "vertebrae_L2": (140, 300),
    "rib_left": (180, 500),
    "spinal_cord": (0, 45),
}
# Structure on the right (greater R) of another by at least so many mm.
TO_THE_RIGHT = (
    ("liver", "spleen", 80),
    ("liver", "stomach", 50),
    ("kidney_right", "kidney_left", 90),
    ("inferior_vena_cava", "aorta", 15),
    ("heart_atrium_right", "heart_ventricle_left", 35),
    ("lung_lower_lobe_right", "lung_lower_lobe_left", 110),
    ("gallbladder", "spleen", 90),
    ("rib_right", "rib_left", 120),
)
# Structure in front of (greater A) or above (greater S) another, by at least so many mm.
IN_FRONT = (("sternum", "vertebrae_T7", 90), ("heart_ventricle_right", "heart_atrium_left", 20), ("colon", "aorta", 5))
ABOVE = (("heart_myocardium", "liver", 50), ("liver", "colon", 20), ("trachea", "kidney_left", 150))


@cache
def made(seed: int) -> Phantom:
    return make_phantom(seed, COARSE_MM)


@pytest.fixture(params=SEEDS)
def phantom(request) -> Phantom:
    return made(request.param)


@pytest.fixture
def pair() -> tuple[Phantom, Phantom]:
    return made(0), made(1)


def middle(phantom: Phantom, name: str) -> np.ndarray:
    """Mean position of a structure, RAS mm."""
    return phantom.volume.grid.to_world(np.argwhere(phantom.mask(name)).mean(0))


def test_is_a_ct_with_labels_on_one_grid(phantom):
    volume, labels = phantom.volume, phantom.labels
    assert volume.data.dtype == np.int16
    assert labels.data.dtype == np.uint8
    assert volume.grid == labels.grid
    assert axis_codes(volume.affine) == ("S", "P", "L")
    np.testing.assert_allclose(volume.grid.spacing_mm, COARSE_MM)
    assert volume.data.min() >= -1024
    assert 400 < volume.data.max() <= 3071


def test_default_size_keeps_features_affordable():
    subjects = [make_subject(seed) for seed in range(60)]
    shapes = np.array([_make_grid(subject, np.full(3, 2.0)).shape for subject in subjects])
    assert (shapes <= (210, 175, 215)).all()
    assert (shapes >= (165, 110, 150)).all()


def test_same_seed_same_voxels():
    first, again = (make_phantom(7, 8.0) for _ in range(2))
    np.testing.assert_array_equal(first.volume.data, again.volume.data)
    np.testing.assert_array_equal(first.labels.data, again.labels.data)
    assert first.volume.grid == again.volume.grid
    for name, position in first.landmarks.items():
        np.testing.assert_array_equal(position, again.landmarks[name])


def test_two_seeds_differ(pair):
    one, other = pair
    assert one.volume.grid != other.volume.grid
    size = [np.linalg.norm(p.landmarks["kidney_left"] - p.landmarks["aortic_arch"]) for p in pair]
    assert abs(size[0] - size[1]) > 1
    assert one.subject.noise_hu != other.subject.noise_hu
    common = tuple(slice(40, min(a, b) - 10) for a, b in zip(one.volume.shape, other.volume.shape, strict=True))
    assert np.mean(one.labels.data[common] != other.labels.data[common]) > 0.1


def test_every_label_is_there_and_named(phantom):
    present = set(np.unique(phantom.labels.data).tolist()) - {0}
    assert present == set(LABELS.values()) == set(phantom.labels.names)
    assert max(LABELS.values()) <= 255
    # The smallest structures are the adrenal glands.
    counts = np.bincount(phantom.labels.data.ravel())[1:]
    assert counts.min() * phantom.volume.grid.voxel_ml > 0.4


@pytest.mark.parametrize("name", VOLUMES_ML)
def test_volume_is_plausible(phantom, name):
    low, high = VOLUMES_ML[name]
    assert low < phantom.mask(name).sum() * phantom.volume.grid.voxel_ml < high


@pytest.mark.parametrize("name", MEDIAN_HU)
def test_hu_is_plausible(phantom, name):
    low, high = MEDIAN_HU[name]
    assert low < np.median(phantom.volume.data[phantom.mask(name)]) < high


def test_laterality_and_order_in_world_mm(phantom):
    for axis, rules in ((0, TO_THE_RIGHT), (1, IN_FRONT), (2, ABOVE)):
        for one, other, least in rules:
            gap = middle(phantom, one)[axis] - middle(phantom, other)[axis]
            assert gap > least, f"{one} and {other}: {gap:.0f} mm on axis {'RAS'[axis]}"


def test_vertebrae_follow_each_other(phantom):
    heights = [middle(phantom, name)[2] for name in LABELS if name.startswith("vertebrae_")]
    assert (np.diff(heights) < -8).all()


def test_labels_cover_the_body_and_only_the_body(phantom):
    bare = make_phantom(int(phantom.volume.name.split("-")[1]), COARSE_MM, table=False)
    np.testing.assert_array_equal(bare.labels.data, phantom.labels.data)
    outside = bare.labels.data == 0
    # Outside there is air, but for voxels that the skin fills to less than a half.
    assert np.mean(bare.volume.data[outside] > -400) < 0.02
    assert np.median(bare.volume.data[outside]) < -950
    # Inside there is no gap: each axial slice of the label map is filled.
    for z in range(0, bare.labels.shape[0], 10):
        np.testing.assert_array_equal(binary_fill_holes(~outside[z]), ~outside[z])


def test_landmarks_lie_in_their_structures(phantom):
    grid = phantom.labels.grid
    assert phantom.landmarks.keys() == phantom.landmark_structures.keys()
    wrong = {}
    for name, position in phantom.landmarks.items():
        grid.require_inside(position, name)
        found = int(phantom.labels.data[tuple(np.rint(grid.to_index(position)).astype(int))])
        if found != LABELS[phantom.landmark_structures[name]]:
            wrong[name] = phantom.labels.names.get(found, "air")
    assert not wrong


def test_landmarks_correspond_between_subjects(pair):
    one, other = pair
    assert one.landmarks.keys() == other.landmarks.keys()
    for name, position in one.landmarks.items():
        np.testing.assert_allclose(other.from_canonical(one.to_canonical(position)), other.landmarks[name], atol=1e-6)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    point=st.tuples(st.floats(-180, 180), st.floats(-130, 130), st.floats(0, 392)),
)
def test_warp_is_inverted_exactly_and_keeps_orientation(seed, point):
    warp = make_subject(seed).warp
    np.testing.assert_allclose(warp.to_canonical(warp.from_canonical(point)), point, atol=1e-8)
    moved = warp.from_canonical(np.add(point, np.vstack([np.zeros(3), np.eye(3)])))
    jacobian = (moved[1:] - moved[0]).T
    assert 0.5 < np.linalg.det(jacobian) < 1.8


def test_noise_can_be_chosen():
    quiet, loud = (make_phantom(3, 6.0, noise_hu=level, table=False) for level in (0.0, 30.0))
    liver = quiet.mask("liver")
    assert loud.volume.data[liver].std() > quiet.volume.data[liver].std() + 8
    np.testing.assert_array_equal(quiet.labels.data, loud.labels.data)


def test_spacing_may_differ_between_axes():
    phantom = make_phantom(2, (9.0, 5.0, 6.0))
    np.testing.assert_allclose(phantom.volume.grid.spacing_mm, (9, 5, 6))
    assert middle(phantom, "liver")[0] > middle(phantom, "spleen")[0] + 80


@pytest.mark.parametrize(("seed", "spacing"), [(-1, 2.0), (0.5, 2.0), (0, 0.1), (0, (2, 2, 50)), (0, float("nan"))])
def test_bad_arguments_are_one_line_errors(seed, spacing):
    with pytest.raises(InputError, match=r"of (a|make_)[ ]?phantom - found .* vs expected"):
        make_phantom(seed, spacing)


@given(a=st.floats(-50, 50), b=st.floats(-50, 50), blend=st.floats(0.5, 20))
def test_smooth_union_and_intersection_bound_the_sharp_ones(a, b, blend):
    one, other = np.float64(a), np.float64(b)
    assert min(a, b) - blend / 4 - 1e-9 <= smooth_min(one, other, blend) <= min(a, b) + 1e-9
    assert max(a, b) - 1e-9 <= smooth_max(one, other, blend) <= max(a, b) + blend / 4 + 1e-9


def test_a_tree_reaches_its_targets_in_one_piece():
    rng = np.random.default_rng(0)
    targets = rng.uniform(-50, 50, (80, 3))
    tree = grow_tree((0, 0, 0), targets, tip_mm=0.6, root_mm=6)
    starts = {tuple(p) for p in tree[:, 0, :3]}
    ends = {tuple(p) for p in tree[:, 1, :3]}
    assert ends == {tuple(p) for p in targets}
    assert starts <= ends | {(0.0, 0.0, 0.0)}
    assert tree[..., 3].max() <= 6
    bent = wander(tree, rng)
    loose = {tuple(p.round(6)) for p in bent[:, 0, :3]} - {tuple(p.round(6)) for p in bent[:, 1, :3]}
    assert len(loose) == 1  # the root
    assert len(bent) >= len(tree)
