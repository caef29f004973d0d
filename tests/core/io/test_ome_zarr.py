"""OME-Zarr: what is written others read at the same place, and images of others are read with their metadata."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from coralbay_core.errors import InputError, StorageError
from coralbay_core.io import find_scans, load_labels, load_volume, save_labels, save_map
from coralbay_core.spatial import Grid, LabelVolume, SourceGrid, Volume, geometry
from coralbay_core.util.atomic_file import write_atomically
from tests.support.nifti import one_line
from tests.support.strategies import orientations

SHAPE = (7, 9, 5)


def volume_on(affine, shape=SHAPE):
    source = SourceGrid.of(shape, affine)
    values = np.random.default_rng(0).integers(-1000, 900, shape).astype(np.int16)
    return Volume(np.ascontiguousarray(source.from_file(values)), source.grid, source=source)


def test_a_scan_comes_back_in_all_orientations(tmp_path):
    for affine in list(orientations())[::5]:
        volume = volume_on(affine)
        found = load_volume(save_map(tmp_path / "ct.ome.zarr", volume.data, volume))
        assert found.grid == volume.grid
        assert np.array_equal(found.data, volume.data)
        assert found.name == "ct"


def test_metadata_are_those_of_version_05_with_orientation(tmp_path):
    volume = volume_on(geometry.translate((12, 30, -50)) @ geometry.scale((0.7, 1.5, 3)), (70, 130, 40))
    path = save_map(tmp_path / "ct.ome.zarr", volume.data, volume)
    content = json.loads((path / "zarr.json").read_text())
    assert content["zarr_format"] == 3
    ome = content["attributes"]["ome"]
    axes = ome["multiscales"][0]["axes"]
    assert ome["version"] == "0.5"
    assert [(axis["name"], axis["unit"]) for axis in axes] == [(name, "millimeter") for name in "zyx"]
    assert [axis["orientation"]["value"] for axis in axes] == [
        "inferior-to-superior", "anterior-to-posterior", "right-to-left",
    ]  # fmt: skip
    datasets = ome["multiscales"][0]["datasets"]
    assert [entry["path"] for entry in datasets] == ["0", "1", "2"]
    for entry in datasets:
        array = zarr.open_array(path / entry["path"], mode="r")
        scale, offset = (np.array(t[t["type"]]) for t in entry["coordinateTransformations"])
        index = np.array([1, 2, 3])
        x_left, y_back, z_head = (offset + scale * index)[::-1]
        there = volume.grid.nearest_index((-x_left, -y_back, z_head))
        assert array[tuple(index)] == volume.data[tuple(there)]


@pytest.fixture
def theirs(tmp_path):
    """An image as another program writes it: version 0.4, five axes, micrometers, an offset per level and overall."""

    def write(orientation=True, channels=1, **axis):
        path = tmp_path / "theirs.zarr"
        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        values = np.arange(channels * 60, dtype=np.int16).reshape(1, channels, 3, 4, 5)
        for name, part in (("s0", values), ("s1", values[..., ::2, ::2, ::2])):
            group.create_array(name, data=part, chunks=part.shape)
        growing = {"z": "superior-to-inferior", "y": "posterior-to-anterior", "x": "left-to-right"}
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
        for name in "zyx":
            own = {"orientation": {"type": "anatomical", "value": growing[name]}} if orientation else {}
            axes.append({"name": name, "type": "space", "unit": "micrometer"} | own | axis)
        datasets = [
            {
                "path": f"s{n}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1, 1, 3000 * 2**n, 1500 * 2**n, 700 * 2**n]},
                    {"type": "translation", "translation": [0, 0, 100000, 0, 5000]},
                ],
            }
            for n in (0, 1)
        ]
        about = {"version": "0.4", "axes": axes, "datasets": datasets}
        about["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 1, 1, 2]}]
        group.attrs["multiscales"] = [about]
        return path, values

    return write


def test_an_image_of_version_04_is_read_with_its_units_and_directions(theirs):
    path, values = theirs()
    volume = load_volume(path)
    for index in ((0, 0, 0), (2, 1, 4)):
        z, y, x = index
        place = (10 + 1.4 * x, 1.5 * y, -(100 + 3 * z))
        at = tuple(volume.grid.nearest_index(place))
        np.testing.assert_allclose(volume.grid.to_world(at), place, atol=1e-6)
        assert volume.data[at] == values[0, 0, z, y, x]
    coarse = load_volume(path / "s1")
    np.testing.assert_allclose(sorted(coarse.grid.spacing_mm), (2.8, 3, 6))
    assert [scan.path for scan in find_scans(path.parent)] == [path]


def test_an_unknown_orientation_is_asked_for(theirs):
    path, _ = theirs(orientation=False)
    with pytest.raises(InputError, match=r"orientation of the axes is not known.*--orientation") as error:
        load_volume(path)
    one_line(error)
    volume = load_volume(path, orientation="lps")
    np.testing.assert_allclose(volume.grid.to_world(volume.grid.nearest_index((-10, 0, 100))), (-10, 0, 100), atol=1e-6)
    with pytest.raises(InputError, match="not an orientation"):
        load_volume(path, orientation="LRS")


@pytest.mark.parametrize(
    ("more", "match"),
    [({"channels": 2}, "several channels"), ({"unit": "parsec"}, "unknown unit"), ({"type": "time"}, "not a volume")],
)
def test_what_cannot_be_read_is_one_line(theirs, more, match):
    path, _ = theirs(**more)
    with pytest.raises(InputError, match=match) as error:
        load_volume(path)
    one_line(error)


def test_damaged_images_are_one_line(theirs):
    path, _ = theirs()
    (path / "s0" / ".zarray").write_text("{}")
    with pytest.raises(InputError, match="not a readable image of OME-Zarr") as error:
        load_volume(path)
    one_line(error)


def test_a_coarser_level_is_read_where_the_finest_does_not_fit(theirs, monkeypatch):
    import psutil

    path, _ = theirs()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Free", (), {"available": 3 * 4 * 59})())
    volume = load_volume(path)
    assert volume.data.size == 12
    assert any("level s1 of the pyramid" in note for note in volume.notes)


def test_labels_come_back_with_names_and_colors(tmp_path):
    volume = volume_on(np.diag([-0.7, -1.5, 3, 1]))
    data = (volume.data > 0).astype(np.uint8) * 4
    labels = LabelVolume(data, volume.grid, names={4: "liver"}, colors={4: (1, 2, 3)})
    found = load_labels(save_labels(tmp_path / "seg.ome.zarr", labels), like=volume)
    assert np.array_equal(found.data, data)
    assert (found.names, found.colors) == ({4: "liver"}, {4: (1, 2, 3)})


def test_a_rotated_grid_is_refused(tmp_path):
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    volume = Volume(np.zeros(SHAPE, np.int16), Grid(SHAPE, turned))
    with pytest.raises(InputError, match="OME-Zarr holds no rotation"):
        save_map(tmp_path / "ct.ome.zarr", volume.data, volume)
    (tmp_path / "full.zarr").mkdir()
    with pytest.raises(InputError, match=r"output is a folder|something else"):
        save_map(tmp_path / "full.zarr", volume.data, Volume(volume.data, Grid(SHAPE, np.eye(4))))


def test_a_new_image_takes_the_place_of_the_old_one_or_leaves_it(tmp_path, monkeypatch):
    grid = Grid((8, 8, 8), geometry.scale((1.0, 1.0, 1.0)))
    old, new = (Volume(np.full(grid.shape, value, np.int16), grid) for value in (1, 2))
    path = save_map(tmp_path / "scan.ome.zarr", old.data, old)
    replace = Path.replace

    def refuse(self, target):
        if Path(target) == path and (self / "zarr.json").is_file() and not path.exists() and not refused:
            refused.append(self)
            raise OSError(28, "No space left on device")
        return replace(self, target)

    refused = []
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError):
        save_map(path, new.data, new)
    assert refused
    assert (load_volume(path).data == 1).all()
    save_map(path, new.data, new)
    assert (load_volume(path).data == 2).all()
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_a_killed_process_left_goes_with_the_next_output(tmp_path):
    stale = tmp_path / f".coralbay-{'0' * 32}.part"
    (stale / "0").mkdir(parents=True)
    file = tmp_path / f".coralbay-{'f' * 32}.part"
    file.touch()
    for left in (stale, file):
        os.utime(left, (1, 1))
    write_atomically(tmp_path / "out.txt", "new")
    assert [left.name for left in tmp_path.iterdir()] == ["out.txt"]
