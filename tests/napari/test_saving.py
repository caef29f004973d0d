"""Layers of any orientation are written so that each voxel lies in the file where it lay in the window."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from coralbay_core.errors import InputError
from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume
from coralbay_viz.display.layer_specs import IS_SCAN, MADE_ON
from coralbay_viz.display.napari_world import world_from_napari
from coralbay_viz.napari_ui import context, plugin
from coralbay_viz.napari_ui.saving import data_to_world

SHAPE = (4, 5, 6)
ORDERS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def assert_all_lie_where_they_were(path, data, attributes):
    """Each value occurs once: its voxel in the file must have the position of its voxel in the layer."""
    image = nibabel.load(path)
    stored = np.asanyarray(image.dataobj)
    values = data[data != 0]
    assert sorted(stored[stored != 0].tolist()) == sorted(values.tolist())
    world = data_to_world(attributes)
    for value in values:
        (here,), (there,) = np.argwhere(data == value), np.argwhere(stored == value)
        expected = world_from_napari(world[:3, :3] @ here + world[:3, 3])
        np.testing.assert_allclose(image.affine[:3, :3] @ there + image.affine[:3, 3], expected, atol=1e-3)


def numbered(dtype=np.int16):
    return (np.arange(np.prod(SHAPE)) + 1).reshape(SHAPE).astype(dtype)


@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_all_orders_and_directions_of_axes(tmp_path, order, signs):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) * signs)[:, list(order)] * (3.0, 2.0, 0.7)
    affine[:3, 3] = 10, -20, 31.5
    attributes = {"name": "own", "affine": affine, "metadata": {}}
    (path,) = plugin.write_labels(str(tmp_path / "own.nii.gz"), numbered(), attributes)
    assert_all_lie_where_they_were(path, numbered(), attributes)


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (5, -5, 5)},
        {"scale": (-5, -5, -5), "translate": (7, 8, 9)},
        {"rotate": Rotation.from_euler("xyz", (40, -75, 160), degrees=True).as_matrix()},
        {"rotate": Rotation.from_euler("z", 90, degrees=True).as_matrix(), "scale": (1, -2, 3)},
        {"shear": (0.2, 0, -0.1), "scale": (2, 2, -2)},
        {"scale": (2, -1, 3), "translate": (-4, 0, 9), "affine": np.diag([-1.0, 1, -1, 1])},
    ],
)
def test_transforms_of_foreign_layers(tmp_path, transform):
    attributes = {"name": "own", "metadata": {}, **transform}
    for write, data in ((plugin.write_labels, numbered()), (plugin.write_image, numbered(np.float32))):
        (path,) = write(str(tmp_path / "own.nii"), data, attributes)
        assert_all_lie_where_they_were(path, data, attributes)


def test_labels_that_reach_beyond_their_scan_are_not_cut(tmp_path):
    affine = np.array([[0, 0, -2.0, 10], [0, -2.0, 0, 10], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    scan = Volume(np.zeros(SHAPE, np.int16), Grid(SHAPE, affine))
    here = {"name": "own", "affine": np.diag([2.0, 2, 2, 1])}
    here["affine"][:3, 3] = 0, -10, -10  # the scan's own place in napari's world
    for shift, metadata in (((0, 0, 0), {MADE_ON: scan}), ((0, 4, -6), {MADE_ON: scan}), ((2, 0, 0), {IS_SCAN: scan})):
        attributes = {**here, "affine": here["affine"].copy(), "metadata": metadata}
        attributes["affine"][:3, 3] += shift
        (path,) = plugin.write_labels(str(tmp_path / "own.nii.gz"), numbered(), attributes)
        assert_all_lie_where_they_were(path, numbered(), attributes)


def test_colors_of_a_turned_layer(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    attributes = {"name": "own", "rgb": True, "scale": (1, -2, 3), "metadata": {}}
    for data in (colors, (colors / 255).astype(np.float32)):
        (path,) = plugin.write_image(str(tmp_path / "own.nii"), data, attributes)
        image = nibabel.load(path)
        stored = np.asanyarray(image.dataobj)
        place = world_from_napari((2 * 1, 3 * -2, 4 * 3))
        index = np.rint(np.linalg.inv(image.affine) @ [*place, 1])[:3].astype(int)
        assert tuple(stored[tuple(index)]) == tuple(colors[2, 3, 4])


def test_what_layers_were_read_from_is_not_written_over(dock, viewer, told, belly, tmp_path, monkeypatch):
    scan, labels = tmp_path / "scan.nii.gz", tmp_path / "labels.nii.gz"
    save_map(scan, belly.data, belly)
    save_map(labels, (belly.data > 100).astype(np.uint8), belly)
    for path in (scan, labels):
        (layer,) = viewer.open(path, plugin="coralbay")
    before = scan.read_bytes(), labels.read_bytes()
    for path in (scan, labels):
        with pytest.raises(InputError, match="would overwrite the input"):
            plugin.write_labels(str(path), layer.data, layer.as_layer_data_tuple()[1])
        monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_, path=path: (str(path), ""))
        told.clear()
        dock.context.save_as("Save", "a.nii.gz", "", lambda path: path.write_bytes(b"lost"))
        assert "would overwrite the input" in told[0]
    assert (scan.read_bytes(), labels.read_bytes()) == before
    plugin.write_labels(str(tmp_path / "other.nii.gz"), layer.data, layer.as_layer_data_tuple()[1])
