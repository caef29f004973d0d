"""Segmentations of 3D Slicer: names, colors and places survive, parts of an image and overlaps are put right."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume, save_labels, save_map
from coralbay_core.spatial import LabelVolume, SourceGrid, Volume, geometry
from tests.support.nifti import write_nifti
from tests.support.strategies import affines, orientations

sitk = pytest.importorskip("SimpleITK")

SHAPE = (5, 7, 6)
NAMES = {1: "liver", 3: "left kidney", 7: "Läsion ; a:=b \\n"}
COLORS = {1: (221, 130, 101), 7: (1, 2, 255)}
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def labels_on(affine, shape=SHAPE, seed=0):
    """Labels 0, 1, 3 and 7 at random on the grid of a file."""
    source = SourceGrid.of(shape, affine)
    data = np.random.default_rng(seed).choice([0, 1, 3, 7], shape).astype(np.uint8)
    return LabelVolume(
        np.ascontiguousarray(source.from_file(data)), source.grid, "seg", None, source, dict(NAMES), colors=COLORS
    ), data


def test_a_segmentation_comes_back_in_all_orientations(tmp_path):
    for affine in orientations():
        labels, _ = labels_on(affine)
        found = load_labels(save_labels(tmp_path / "a.seg.nrrd", labels))
        assert found.grid == labels.grid
        assert np.array_equal(found.data, labels.data)


@settings(max_examples=15)
@given(affines(), st.integers(0, 1000))
def test_another_reader_finds_the_labels_at_the_same_places(tmp_path_factory, affine, seed):
    labels, data = labels_on(affine, seed=seed)
    path = save_labels(tmp_path_factory.mktemp("seg") / "a.seg.nrrd", labels)
    header, packed = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line and ":=" not in line)
    values = np.frombuffer(gzip.decompress(packed), "u1").reshape(SHAPE, order="F")
    assert np.array_equal(values, data)
    vectors = [tuple(map(float, part.strip("()").split(","))) for part in fields["space directions"].split()]
    origin = tuple(map(float, fields["space origin"].strip("()").split(",")))
    stated = np.eye(4)
    stated[:3, :3], stated[:3, 3] = np.array(vectors).T, origin
    np.testing.assert_allclose(LPS @ stated, affine, atol=1e-9)


def test_names_and_colors_come_back_and_are_where_slicer_looks(tmp_path):
    labels, data = labels_on(np.diag([-0.7, -1.5, 3, 1.0]))
    path = save_labels(tmp_path / "a.seg.nrrd", labels)
    found = load_labels(path)
    assert found.names == {1: "liver", 3: "left kidney", 7: "Läsion ; a:=b \\n"}
    assert {value: found.colors[value] for value in COLORS} == COLORS
    assert found.name == "a"
    image = sitk.ReadImage(str(path))
    assert image.GetMetaData("Segment1_Name") == "left kidney"
    assert image.GetMetaData("Segment1_LabelValue") == "3"
    assert [float(v) for v in image.GetMetaData("Segment0_Color").split()] == pytest.approx(
        [v / 255 for v in COLORS[1]], abs=1e-5
    )
    ends = [int(v) for v in image.GetMetaData("Segment2_Extent").split()]
    index = np.argwhere(data == 7)
    assert ends == [v for pair in zip(index.min(0), index.max(0), strict=True) for v in pair]
    assert image.GetMetaData("Segmentation_ReferenceImageExtentOffset") == "0 0 0"


def slicer_file(path, layers, segments, direction=None, origin=(0, 0, 0), spacing=(1, 1, 2), more=""):
    """A file as Slicer writes it: layers (i, j, k) with the list axis first, and a header of segments."""
    array = np.stack(layers)
    several = len(layers) > 1
    direction = np.eye(3) if direction is None else direction
    vectors = [f"({','.join(map(str, direction[:, a] * spacing[a]))})" for a in range(3)]
    sizes = [len(layers)] * several + list(array.shape[1:])
    lines = [
        "NRRD0004", "type: unsigned char", f"dimension: {3 + several}", "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}", f"space directions: {'none ' * several}{' '.join(vectors)}",
        f"kinds: {'list ' * several}domain domain domain", "encoding: gzip",
        f"space origin: ({','.join(map(str, origin))})",
    ]  # fmt: skip
    for number, (name, color, value, layer) in enumerate(segments):
        lines += [
            f"Segment{number}_ID:=Segment_{number + 1}", f"Segment{number}_Name:={name}",
            f"Segment{number}_Color:={color}", f"Segment{number}_LabelValue:={value}",
            f"Segment{number}_Layer:={layer}", f"Segment{number}_Tags:=Segmentation.Status:inprogress|",
        ]  # fmt: skip
    body = array.tobytes(order="F") if several else array[0].tobytes(order="F")
    path.write_bytes("\n".join([*lines, *([more] if more else [])]).encode() + b"\n\n" + gzip.compress(body))
    return path


SEGMENTS = [("liver", "0.8666 0.5098 0.3960", 1, 0), ("tumor", "1 0 0", 1, 1)]


def test_overlapping_segments_go_to_the_smaller_one(tmp_path):
    liver, tumor = np.zeros((2, 6, 5, 4), np.uint8)
    liver[1:5, 1:4, 1:3] = 1
    tumor[2:4, 2, 1:3] = 1
    found = load_labels(slicer_file(tmp_path / "a.seg.nrrd", [liver, tumor], SEGMENTS))
    assert found.names == {1: "liver", 2: "tumor"}
    assert found.colors == {1: (221, 130, 101), 2: (255, 0, 0)}
    back = found.source_grid.to_file(found.data)
    assert np.array_equal(back == 2, tumor == 1)
    assert np.array_equal(back == 1, (liver == 1) & (tumor == 0))
    assert any("overlap in 4 voxels" in note and "liver and tumor" in note for note in found.notes)
    assert any("numbered 1, 2" in note for note in found.notes)


def ct(tmp_path, affine):
    return load_volume(write_nifti(tmp_path / "ct.nii", np.zeros((12, 11, 10), np.int16) - 50, affine))


@pytest.mark.parametrize("affine", list(orientations())[::7])
def test_a_part_of_the_image_is_put_on_its_scan(tmp_path, affine):
    """Slicer stores the box around the segments, one voxel thick if they are, with the origin of that box."""
    volume = ct(tmp_path, affine)
    part = np.zeros((4, 3, 1), np.uint8)
    part[1:3, 0:2] = 1
    lps = LPS @ affine @ geometry.translate((5, 2, 7))
    direction, spacing = lps[:3, :3] / geometry.spacing(affine), geometry.spacing(affine)
    path = slicer_file(tmp_path / "a.seg.nrrd", [part], SEGMENTS[:1], direction, lps[:3, 3], spacing)
    found = load_labels(path, like=volume)
    expected = np.zeros(volume.source_grid.shape, np.uint8)
    expected[5:9, 2:5, 7:8] = part
    assert found.grid == volume.grid
    assert np.array_equal(found.source_grid.to_file(found.data), expected)
    assert found.names == {1: "liver"}
    assert load_labels(path).shape != volume.shape


def test_voxels_beyond_the_scan_are_noted(tmp_path):
    volume = ct(tmp_path, np.diag([-1.0, -1.0, 2.0, 1.0]))
    part = np.ones((4, 3, 2), np.uint8)
    found = load_labels(slicer_file(tmp_path / "a.seg.nrrd", [part], SEGMENTS[:1], origin=(0, 0, -2)), like=volume)
    assert found.data.sum() == 12
    assert any("12 labeled voxels lie outside" in note for note in found.notes)


def test_the_grid_of_the_image_is_taken_from_the_header(tmp_path):
    part = np.ones((4, 3, 2), np.uint8)
    numbers = "-1;0;0;0;0;-1;0;0;0;0;2;0;0;0;0;1;0;11;0;10;0;9;"
    more = f"Segmentation_ConversionParameters:=Smoothing|0.5|Text.&Reference image geometry|{numbers}|Text.&"
    path = slicer_file(tmp_path / "a.seg.nrrd", [part], SEGMENTS[:1], origin=(3, 4, 6), more=more)
    found = load_labels(path)
    assert found.source_grid.shape == (12, 11, 10)
    assert np.argwhere(found.source_grid.to_file(found.data)).min(0).tolist() == [3, 4, 3]


@pytest.mark.parametrize(
    ("spacing", "origin", "match"),
    [((1, 1, 2.1), (0, 0, 0), "mm apart"), ((1, 1, 2), (0.4, 0, 0), "mm apart")],
)
def test_segments_on_other_voxels_are_refused(tmp_path, spacing, origin, match):
    volume = ct(tmp_path, np.diag([-1.0, -1.0, 2.0, 1.0]))
    part = np.ones((12, 11, 10), np.uint8)
    path = slicer_file(tmp_path / "a.seg.nrrd", [part], SEGMENTS[:1], spacing=spacing, origin=origin)
    with pytest.raises(InputError, match=match):
        load_labels(path, like=volume)


def test_damaged_segmentations_are_one_line(tmp_path):
    one = slicer_file(tmp_path / "one.seg.nrrd", [np.ones((1, 1, 1), np.uint8)], [])
    with pytest.raises(InputError, match="no segment has a voxel"):
        load_labels(one)
    layer = slicer_file(tmp_path / "layer.seg.nrrd", [np.ones((3, 3, 3), np.uint8)], [("a", "x y", 1, 4)])
    with pytest.raises(InputError, match="layer that the file does not have"):
        load_labels(layer)


def test_maps_and_volumes_are_written_as_nrrd(tmp_path):
    affine = np.diag([-0.7, -1.5, 3, 1.0])
    source = SourceGrid.of(SHAPE, affine)
    values = np.random.default_rng(0).normal(0, 200, SHAPE).astype(np.float32)
    volume = Volume(np.ascontiguousarray(source.from_file(values)), source.grid, source=source)
    image = sitk.ReadImage(str(save_map(tmp_path / "a.nrrd", volume.data, volume)))
    assert np.array_equal(sitk.GetArrayFromImage(image).transpose(), values)
    np.testing.assert_allclose(image.GetOrigin(), (0, 0, 0))
    np.testing.assert_allclose(image.GetSpacing(), (0.7, 1.5, 3))
    assert np.array_equal(load_volume(tmp_path / "a.nrrd").data, volume.data)
    rgb = np.random.default_rng(1).integers(0, 255, (*volume.shape, 3), np.uint8)
    colors = sitk.ReadImage(str(save_map(tmp_path / "rgb.nrrd", rgb, volume)))
    assert colors.GetNumberOfComponentsPerPixel() == 3
    assert np.array_equal(sitk.GetArrayFromImage(colors).transpose(2, 1, 0, 3), source.to_file(rgb))
    with pytest.raises(InputError, match="not a label map"):
        save_map(tmp_path / "a.seg.nrrd", volume.data, volume)
