"""Transforms of other programs: what is written they read, and what they write is read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.io.transforms import read_transform, save_displacement, save_transform
from coralbay_core.spatial import Grid, geometry

sitk = pytest.importorskip("SimpleITK")

SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
GRID = Grid((20, 18, 16), geometry.translate((30, 40, -50)) @ SPL @ geometry.scale((4, 5, 6)))
LPS = np.array([-1, -1, 1])


def bump(position_mm):
    x, y, z = np.moveaxis(np.asarray(position_mm, float), -1, 0)
    return np.stack([5 * np.sin(z / 40), 4 * np.cos(x / 35), 3 * np.sin(y / 30)], -1)


@pytest.fixture
def field(tmp_path):
    position_mm = GRID.cell_positions(np.ones(GRID.shape, bool))
    path = save_displacement(tmp_path / "field.nii.gz", bump(position_mm).T.reshape(3, *GRID.shape), GRID)
    assert path.is_file()
    return path


def inner_places():
    low, high = GRID.bounds_mm
    return np.random.default_rng(0).uniform(low + 15, high - 15, (50, 3))


def test_itk_reads_the_field_at_the_same_place_with_the_same_sign(field):
    image = sitk.ReadImage(str(field), sitk.sitkVectorFloat64)
    assert image.GetDimension() == 3
    transform = sitk.DisplacementFieldTransform(image)
    for place in inner_places():
        found = np.array(transform.TransformPoint(tuple(place * LPS))) * LPS
        np.testing.assert_allclose(found, place + bump(place), atol=0.3)


def test_the_header_is_that_of_a_displacement_field(field):
    import nibabel

    header = nibabel.load(field).header
    assert header.get_data_shape() == (16, 18, 20, 1, 3)
    assert header.get_intent()[0] == "vector"
    assert header.get_xyzt_units()[0] == "mm"


def test_a_field_is_read_as_the_map_of_the_first_scan_to_the_second(field):
    """The file maps the second scan to the first one, as ITK resamples: reading inverts it."""
    places = inner_places()
    np.testing.assert_allclose(read_transform(field)(places + bump(places)), places, atol=0.5)


def test_scans_that_lie_far_apart_are_no_problem(tmp_path):
    """Tables of scanners begin anywhere: a displacement may be much larger than the scan."""
    position_mm = GRID.cell_positions(np.ones(GRID.shape, bool))
    away = bump(position_mm) + (0, 20, -700)
    path = save_displacement(tmp_path / "far.nii.gz", away.T.reshape(3, *GRID.shape), GRID)
    places = inner_places()
    mapped = places + bump(places) + (0, 20, -700)
    outside = mapped + (0, 0, 500)
    found = read_transform(path)(np.concatenate([mapped, outside]))
    np.testing.assert_allclose(found[:50], places, atol=0.5)
    assert np.abs(found[50:] - places - (0, 0, 500)).max() < 200


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_linear_transforms_are_read_in_our_world(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    matrix = np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))
    itk = sitk.AffineTransform(3)
    itk.SetMatrix(matrix.ravel())
    itk.SetTranslation(rng.uniform(-50, 50, 3))
    itk.SetCenter(rng.uniform(-50, 50, 3))
    places = rng.uniform(-100, 100, (5, 3))
    mapped = np.array([itk.TransformPoint(tuple(p * LPS)) for p in places]) * LPS
    folder = tmp_path_factory.mktemp("t")
    for name in ("t.tfm", "t.h5", "t.mat"):
        sitk.WriteTransform(itk, str(folder / name))
        np.testing.assert_allclose(read_transform(folder / name)(mapped), places, atol=1e-4)


def test_what_is_no_transform_is_told_in_one_line(tmp_path):
    with pytest.raises(MissingFileError, match="no such transform"):
        read_transform(tmp_path / "none.tfm")
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(InputError, match="not the name of a transform"):
        read_transform(tmp_path / "a.doc")
    for name in ("a.tfm", "a.h5", "a.mat", "a.nii.gz"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(InputError, match="not a readable transform") as error:
            read_transform(tmp_path / name)
        assert "\n" not in str(error.value)
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 1e-12))
    sitk.WriteTransform(flat, str(tmp_path / "flat.tfm"))
    with pytest.raises(InputError, match="cannot be inverted"):
        read_transform(tmp_path / "flat.tfm")
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkFloat32), str(tmp_path / "scalar.nii.gz"))
    with pytest.raises(InputError, match="not a displacement field"):
        read_transform(tmp_path / "scalar.nii.gz")


@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_a_field_as_a_transform_of_itk(tmp_path, shear):
    """Both that ITK maps positions as we do, and that reading inverts it, also for scans that lie far apart."""
    sheared = np.eye(4)
    sheared[1, 2] = shear
    grid = Grid(GRID.shape, GRID.affine @ sheared)
    position_mm = grid.cell_positions(np.ones(grid.shape, bool))
    away = bump(position_mm) + (0, 20, -700)
    path = save_transform(tmp_path / "field.h5", away.T.reshape(3, *grid.shape), grid)
    inside = np.random.default_rng(0).uniform(3, np.array(grid.shape) - 4, (40, 3))
    places = grid.to_world(inside)
    transform = sitk.ReadTransform(str(path))
    found = np.array([transform.TransformPoint(tuple(p * LPS)) for p in places]) * LPS
    np.testing.assert_allclose(found, places + bump(places) + (0, 20, -700), atol=0.4)
    np.testing.assert_allclose(read_transform(path)(found), places, atol=0.6)


def test_a_field_behind_an_affine_is_read(tmp_path):
    """Programs store an affine and a field as one transform, of which the field is 0 beyond its box."""
    position_mm = GRID.cell_positions(np.ones(GRID.shape, bool))
    save_transform(tmp_path / "field.h5", bump(position_mm).T.reshape(3, *GRID.shape), GRID)
    shift = sitk.TranslationTransform(3, (0.0, 0.0, 500.0))
    both = sitk.CompositeTransform(3)
    both.AddTransform(sitk.DisplacementFieldTransform(sitk.ReadTransform(str(tmp_path / "field.h5"))))
    both.AddTransform(shift)
    sitk.WriteTransform(both, str(tmp_path / "both.h5"))
    places = inner_places() - (0, 0, 500)
    mapped = places + (0, 0, 500) + bump(places + (0, 0, 500))
    np.testing.assert_allclose(read_transform(tmp_path / "both.h5")(mapped), places, atol=0.6)


@pytest.mark.parametrize("name", ["t.tfm", "t.txt", "t.mat"])
def test_the_nearest_affine_comes_back(tmp_path, name):
    affine = geometry.translate((5, -20, 700))
    affine[:3, :3] = np.diag([1.1, 0.9, 1.0]) + 0.05
    position_mm = GRID.cell_positions(np.ones(GRID.shape, bool))
    away = geometry.apply(affine, position_mm) - position_mm
    path = save_transform(tmp_path / name, away.T.reshape(3, *GRID.shape), GRID)
    places = inner_places()
    transform = sitk.ReadTransform(str(path))
    assert transform.IsLinear()
    found = np.array([transform.TransformPoint(tuple(p * LPS)) for p in places]) * LPS
    np.testing.assert_allclose(found, geometry.apply(affine, places), atol=1e-3)
    np.testing.assert_allclose(read_transform(path)(found), places, atol=1e-3)
