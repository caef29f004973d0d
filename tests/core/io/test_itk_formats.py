"""NRRD and MetaImage: a marker on the patient's left, front and head comes out where it went in."""

import numpy as np
import pytest
import SimpleITK as sitk

from coralbay_core.errors import InputError
from coralbay_core.io import load_volume, save_map

SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]
# Columns are the directions of the file's axes in ITK's world, LPS.
DIRECTIONS = {
    "as usual": np.eye(3),
    "turned axes": np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]),
    "oblique": np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]]),
}
LEFT_FRONT_HEAD_LPS = np.array([14.0, -15.0, 16.0])


def image(direction, dtype=np.int16):
    """An ITK image of soft tissue with one bright voxel on the left, in front and near the head."""
    made = sitk.GetImageFromArray(np.full((24, 20, 22), -50, dtype))
    made.SetSpacing((2.0, 3.0, 4.0))
    made.SetDirection(direction.ravel())
    made.SetOrigin(-(direction @ (np.array([2.0, 3.0, 4.0]) * (np.array([22, 20, 24]) - 1) / 2)))
    at = np.rint(made.TransformPhysicalPointToContinuousIndex(LEFT_FRONT_HEAD_LPS.tolist())).astype(int)
    made[at.tolist()] = 900
    return made, np.array(made.TransformIndexToPhysicalPoint(at.tolist()))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_marker_is_where_it_was(tmp_path, suffix, direction):
    made, marker_lps = image(DIRECTIONS[direction])
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(made, str(path))
    volume = load_volume(path)
    assert volume.data.dtype == np.int16
    assert volume.name == "scan"
    index = np.argwhere(volume.data == 900)
    assert len(index) == 1
    np.testing.assert_allclose(volume.grid.to_world(index[0]), marker_lps * [-1, -1, 1], atol=1e-4)
    # Index z grows to the head, y to the back, x to the left.
    middle = (np.array(volume.shape) - 1) / 2
    assert index[0][0] > middle[0]
    assert index[0][1] < middle[1]
    assert index[0][2] > middle[2]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_maps_go_back_to_the_grid_of_the_file(tmp_path, direction):
    made, _ = image(DIRECTIONS[direction])
    sitk.WriteImage(made, str(tmp_path / "scan.nrrd"))
    volume = load_volume(tmp_path / "scan.nrrd")
    save_map(tmp_path / "map.nii.gz", volume.data, volume)
    back = sitk.ReadImage(str(tmp_path / "map.nii.gz"))
    assert back.GetSize() == made.GetSize()
    np.testing.assert_allclose(back.GetOrigin(), made.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(back.GetDirection(), made.GetDirection(), atol=1e-4)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(made))


def test_fractions_and_missing_values(tmp_path):
    made, _ = image(np.eye(3), np.float64)
    made[0, 0, 0], made[1, 0, 0] = np.nan, -50.25
    sitk.WriteImage(made, str(tmp_path / "scan.mha"))
    volume = load_volume(tmp_path / "scan.mha")
    assert volume.data.dtype == np.float32
    assert np.isfinite(volume.data).all()
    assert any("NaN" in note for note in volume.notes)


def test_a_file_that_does_not_say_where_it_lies_is_noted(tmp_path):
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nspacings: 1 1 1\nencoding: raw\nendian: little\n\n"
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + np.arange(64, dtype="<i2").tobytes())
    assert any("guesses" in note for note in load_volume(tmp_path / "scan.nrrd").notes)


def test_sheared_slices_stay_sheared(tmp_path):
    directions = "(1,0,0) (0,1,0) (0,0.4,2)"
    header = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
    header += f"space directions: {directions}\nspace origin: (5,6,7)\nencoding: raw\nendian: little\n\n"
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + np.arange(-32, 32, dtype="<i2").tobytes())
    volume = load_volume(tmp_path / "scan.nrrd")
    np.testing.assert_allclose(volume.affine[:3], [[0, 0, -1, -5], [-0.4, -1, 0, -6], [2, 0, 0, 7]], atol=1e-6)
    assert any("sheared" in note for note in volume.notes)


def bad_text(path):
    path.write_text("hello")


def bad_colors(path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))


def bad_slice(path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6), np.int16)), str(path))


def bad_time(path):
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))] * 2), str(path))


def bad_end(path):
    sitk.WriteImage(image(np.eye(3))[0], str(path))
    path.write_bytes(path.read_bytes()[:-9000])


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (bad_text, "not a readable image"),
        (bad_colors, "not a scalar image"),
        (bad_slice, "2-D image"),
        (bad_time, "4-D image"),
        (bad_end, "not a readable image"),
    ],
)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_what_cannot_be_read_is_one_line(tmp_path, suffix, write, problem):
    path = tmp_path / f"scan{suffix}"
    write(path)
    with pytest.raises(InputError, match=problem) as caught:
        load_volume(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_series_is_for_dicom(tmp_path):
    sitk.WriteImage(image(np.eye(3))[0], str(tmp_path / "scan.mha"))
    with pytest.raises(InputError, match="MHA file has no series"):
        load_volume(tmp_path / "scan.mha", series="1.2")
