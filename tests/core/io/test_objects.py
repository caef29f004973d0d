"""Volumes and label maps that other libraries hold: taken where they lie, and given back in the same form."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torchio
import xarray
from monai.data import MetaTensor

import coralbay
import coralbay_core
from coralbay_core import Volume, as_object, features_for, load_encoder, load_labels, load_volume
from coralbay_core.errors import InputError
from coralbay_core.io.objects import KINDS, kind_of
from coralbay_core.spatial import Grid

SHAPE = (5, 6, 7)
MARK = (1, 4, 2)
ORDERS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def affine_of(order, signs, spacing=(1.5, 2.0, 3.0)):
    """Affine of a file whose axes run in any order and direction."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[:3, 3] = (11, -22, 33)
    return affine


def hu():
    data = np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)
    data[MARK] = 1234
    return data


def held(kind, data, affine):
    """The object of a library that holds an array whose indices the affine leads to RAS+ mm."""
    if kind == "nibabel":
        return nib.Nifti1Image(data, affine)
    if kind == "metatensor":
        return MetaTensor(torch.from_numpy(data)[None], affine=torch.from_numpy(affine))
    if kind == "torchio":
        return torchio.ScalarImage(tensor=torch.from_numpy(data)[None], affine=affine)
    if kind == "simpleitk":
        image = sitk.GetImageFromArray(data.transpose())
        lps = np.diag([-1, -1, 1, 1]) @ affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        return image
    if kind == "xarray":
        coordinates = {}
        for axis in range(3):
            world = int(np.abs(affine[:3, axis]).argmax())
            coordinates["xyz"[world]] = affine[world, 3] + affine[world, axis] * np.arange(SHAPE[axis])
        return xarray.DataArray(data, coordinates, list(coordinates))
    return data, affine


@pytest.mark.parametrize("kind", KINDS)
def test_every_voxel_lies_where_the_object_says(kind):
    for order, signs in ORDERS:
        affine = affine_of(order, signs)
        volume = load_volume(held(kind, hu(), affine))
        (found,) = np.argwhere(volume.data == 1234)
        np.testing.assert_allclose(volume.grid.to_world(found), affine[:3, :3] @ MARK + affine[:3, 3], atol=1e-4)
        assert volume.data.dtype == np.int16
        assert volume.path is None


@pytest.mark.parametrize("kind", KINDS)
def test_maps_come_back_as_the_same_kind(kind):
    """What goes back is the array that came, on its grid, for any order of its axes."""
    for order, signs in ORDERS[::5]:
        affine = affine_of(order, signs)
        given = held(kind, hu(), affine)
        volume = load_volume(given)
        back = as_object(volume.data, volume, kind)
        assert kind_of(back) == kind
        again = load_volume(back)
        np.testing.assert_array_equal(again.data, volume.data)
        assert again.grid == volume.grid
        if kind == "nibabel":
            np.testing.assert_array_equal(np.asarray(back.dataobj), hu())
            np.testing.assert_allclose(back.affine, affine)
        if kind == "simpleitk":
            assert back.GetSize() == given.GetSize()
            assert back[MARK] == 1234
        if kind in ("metatensor", "torchio"):
            np.testing.assert_array_equal(np.asarray(back.numpy())[0], hu())


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_taken_on_the_axes_of_their_scan(kind):
    affine = affine_of((1, 0, 2), (-1, 1, -1))
    labels = np.zeros(SHAPE, np.uint8)
    labels[MARK] = 7
    volume = load_volume(held("nibabel", hu(), affine_of((0, 1, 2), (1, 1, 1))))
    own = load_volume((hu(), affine))
    taken = load_labels(held(kind, labels, affine), like=own)
    np.testing.assert_array_equal(np.argwhere(taken.data == 7), np.argwhere(own.data == 1234))
    assert load_labels(taken, like=own) is taken
    with pytest.raises(InputError, match="grid"):
        load_labels(held(kind, labels, affine), like=volume)


def test_masks_and_whole_floats_are_labels():
    affine = affine_of((0, 1, 2), (1, 1, 1))
    mask = hu() == 1234
    assert load_labels((mask, affine)).data.sum() == 1
    assert load_labels((mask.astype(np.float64) * 3, affine)).data.max() == 3
    with pytest.raises(InputError, match="non-integer"):
        load_labels((mask * 0.5, affine))


@pytest.mark.parametrize("kind", KINDS)
def test_the_array_of_the_caller_is_left_as_it_is(kind):
    for order, signs in ORDERS[::5]:
        data = hu()
        volume = load_volume(held(kind, data, affine_of(order, signs)))
        labels = load_labels(held(kind, data, affine_of(order, signs)))
        np.testing.assert_array_equal(data, hu())
        data[:] = 0
        assert volume.data.max() == labels.data.max() == 1234


def test_a_volume_is_returned_as_it_is():
    volume = Volume(hu(), Grid(SHAPE, affine_of((2, 1, 0), (1, -1, -1))))
    assert load_volume(volume) is volume


def test_lps_tensors_and_itk_coordinates_are_turned():
    affine = affine_of((0, 1, 2), (1, 1, 1))
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    tensor = MetaTensor(torch.from_numpy(hu()), affine=torch.from_numpy(lps), meta={"space": "LPS"})
    assert load_volume(tensor).grid == load_volume((hu(), affine)).grid
    # As itk.xarray_from_image writes it: dimensions z, y, x in LPS, rows of the direction in the same order.
    array = held("xarray", hu(), lps).transpose("z", "y", "x")
    array.attrs["direction"] = np.eye(3)
    assert load_volume(array).grid == load_volume((hu(), affine)).grid


def test_values_that_are_no_hu_are_replaced_with_a_note():
    data = hu().astype(np.float32)
    data[0, 0, 0] = np.nan
    for kind in KINDS:
        volume = load_volume(held(kind, data, affine_of((0, 1, 2), (1, 1, 1))))
        assert np.isfinite(volume.data).all()
        assert any("NaN" in note for note in volume.notes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (7, "not a volume"),
        (None, "not a volume"),
        (np.zeros(SHAPE), r"pair \(array, affine\)"),
        ((np.zeros(SHAPE), np.eye(3)), "not an affine"),
        ((np.zeros(SHAPE), "RAS"), "not a volume|not an affine"),
        ((np.zeros(SHAPE), np.zeros((4, 4))), "affine"),
        ((np.zeros((2, 3)), np.eye(4)), "not a 3-D image"),
        ((np.full(SHAPE, "a"), np.eye(4)), "not a scalar image"),
        (xarray.DataArray(np.zeros(SHAPE)), "dimensions x, y and z"),
        (nib.Nifti1Image(np.zeros((*SHAPE, 3), np.int16), np.eye(4)), "3"),
        (torch.zeros(SHAPE), "not a volume"),
    ],
)
def test_what_is_no_volume_is_one_line(source, message):
    with pytest.raises(InputError, match=message) as error:
        load_volume(source)
    assert "\n" not in str(error.value)


def test_uneven_coordinates_and_impossible_kinds_are_refused():
    array = held("xarray", hu(), affine_of((0, 1, 2), (1, 1, 1)))
    array = array.assign_coords(z=[0.0, 3, 6, 9, 12, 15, 30])
    with pytest.raises(InputError, match="evenly"):
        load_volume(array)
    turned = affine_of((0, 1, 2), (1, 1, 1))
    turned[:2, :2] = [[1.5 * np.cos(0.3), -2 * np.sin(0.3)], [1.5 * np.sin(0.3), 2 * np.cos(0.3)]]
    volume = load_volume((hu(), turned))
    with pytest.raises(InputError, match="no rotation"):
        as_object(volume.data, volume, "xarray")
    assert as_object(volume.data, volume, "simpleitk")[MARK] == 1234
    sheared = affine_of((0, 1, 2), (1, 1, 1))
    sheared[1, 2] = 1.0
    volume = load_volume((hu(), sheared))
    with pytest.raises(InputError, match="shear"):
        as_object(volume.data, volume, "simpleitk")
    with pytest.raises(InputError, match="unknown kind"):
        as_object(volume.data, volume, "vtk")


@pytest.mark.forward
def test_features_of_an_image_are_those_of_its_file(tmp_path, phantom):
    path = tmp_path / "ct.nii.gz"
    coralbay_core.save_map(path, phantom.volume.data, phantom.volume)
    encoder = load_encoder("hu-context", device="cpu")
    from_file = features_for(path, encoder, store=False)
    for source in (nib.load(path), sitk.ReadImage(str(path)), torchio.ScalarImage(path)):
        features = features_for(source, encoder, store=False)
        np.testing.assert_array_equal(features.finest.data, from_file.finest.data)
    assert load_volume(nib.load(path)).name == "ct"


def test_the_short_name_leads_to_the_same_names():
    assert coralbay.load_volume is coralbay_core.load_volume
    assert coralbay.__version__ == coralbay_core.__version__
    assert set(coralbay_core.__all__) <= set(dir(coralbay))
