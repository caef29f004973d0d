"""Files in and out: nothing moves, nothing is lost, and bad files are refused in one line."""

import base64
import gzip
import itertools
import json
import shutil
import sys

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders import JPEG2000LosslessDecoder
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from coralbay_core.errors import CoralBayError, InputError, MissingExtraError, MissingFileError
from coralbay_core.io import list_series, load_labels, load_volume, save_map
from coralbay_core.io.checks import contiguous
from coralbay_core.spatial import Grid, LabelVolume, geometry
from coralbay_core.spatial.volume import AXIS_CODES
from tests.support.dicom import write_rtstruct, write_series
from tests.support.strategies import affines, shapes

LPS_AFFINE = np.array([[-0.8, 0, 0, 120.5], [0, -0.7, 0, 90.25], [0, 0, 2.5, -300], [0, 0, 0, 1]])


def hu(shape, seed=0):
    return np.random.default_rng(seed).integers(-1024, 2000, shape).astype(np.int16)


def write_nifti(path, data, affine=LPS_AFFINE, **header):
    image = nib.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def one_line(error) -> str:
    text = str(error.value)
    assert isinstance(error.value, CoralBayError)
    assert text.strip()
    assert "\n" not in text
    return text


def positions(affine, shape):
    return geometry.apply(affine, np.array(list(np.ndindex(*shape))))


# --- NIfTI there and back -----------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(affines(), shapes, st.sampled_from([".nii", ".nii.gz"]))
def test_round_trip_keeps_positions_and_labels(tmp_path_factory, affine, shape, suffix):
    folder = tmp_path_factory.mktemp("round")
    values = hu(shape)
    labels = np.random.default_rng(1).permutation(values.size).reshape(shape).astype(np.int32)
    volume = load_volume(write_nifti(folder / f"ct{suffix}", values, affine))
    assert geometry.axis_codes(volume.affine) == AXIS_CODES
    assert volume.data.dtype == np.int16
    # The same HU at the same place, whatever the order of the axes.
    source = volume.source_grid
    assert np.array_equal(source.to_file(volume.data), values)
    order = source.from_file(np.arange(values.size).reshape(shape)).ravel()
    np.testing.assert_allclose(
        positions(volume.affine, volume.shape), positions(affine, shape)[order], rtol=0, atol=1e-3
    )

    written = save_map(folder / f"labels{suffix}", source.from_file(labels), volume)
    assert np.array_equal(np.asarray(nib.load(written).dataobj), labels)
    np.testing.assert_allclose(nib.load(written).affine, affine, rtol=0, atol=1e-3)
    again = load_labels(written, like=volume)
    assert np.array_equal(again.data, source.from_file(labels))
    assert again.grid == volume.grid


def test_maps_keep_the_header_of_the_file(tmp_path):
    path = tmp_path / "ct.nii.gz"
    image = nib.Nifti1Image(hu((6, 5, 4)), LPS_AFFINE)
    image.set_sform(LPS_AFFINE, code=2)
    image.set_qform(LPS_AFFINE, code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 500
    image.header.set_slope_inter(1, -1024)
    nib.save(image, path)
    volume = load_volume(path)
    heat = np.linspace(-1, 1, 120, dtype=np.float32).reshape(volume.shape)
    before, after = nib.load(path).header, nib.load(save_map(tmp_path / "heat.nii.gz", heat, volume)).header
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed <= {"datatype", "bitpix", "cal_max"}
    assert after.get_data_dtype() == np.float32
    written = nib.load(tmp_path / "heat.nii.gz").get_fdata(dtype=np.float32)
    assert np.array_equal(volume.source_grid.from_file(written), heat)


def test_a_header_without_sform_and_qform_stays_so(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", hu((6, 5, 4)), None)
    volume = load_volume(path)
    assert any("no sform or qform" in note for note in volume.notes)
    header = nib.load(save_map(tmp_path / "m.nii", np.zeros(volume.shape, np.uint8), volume)).header
    assert (header["sform_code"], header["qform_code"]) == (0, 0)
    np.testing.assert_array_equal(nib.load(tmp_path / "m.nii").affine, nib.load(path).affine)


def test_rgb_is_stored_as_rgb24(tmp_path):
    volume = load_volume(write_nifti(tmp_path / "ct.nii.gz", hu((6, 5, 4))))
    rgb = np.random.default_rng(0).integers(0, 256, (*volume.shape, 3), dtype=np.uint8)
    image = nib.load(save_map(tmp_path / "rgb.nii.gz", rgb, volume))
    assert image.header["datatype"] == 128
    stored = np.asarray(image.dataobj)
    for channel, name in enumerate("RGB"):
        assert np.array_equal(volume.source_grid.from_file(stored[name]), rgb[..., channel])


def test_a_volume_without_file_is_written_on_its_own_grid(tmp_path):
    grid = Grid((4, 5, 6), np.array([[0, 0, -1.5, 9], [0, -1.5, 0, 8], [2.0, 0, 0, 7], [0, 0, 0, 1]]))
    labels = LabelVolume(np.arange(120).reshape(4, 5, 6), grid, names={3: "liver"})
    path = save_map(tmp_path / "new" / "labels.nii.gz", labels.data, labels)
    assert nib.aff2axcodes(nib.load(path).affine) == ("R", "A", "S")
    assert nib.load(path).shape == (6, 5, 4)
    (tmp_path / "new" / "labels.json").write_text(json.dumps({"3": "liver"}))
    again = load_labels(path)
    assert again.grid == grid
    assert np.array_equal(again.data, labels.data)
    assert again.names == {3: "liver"}


def test_sheared_affine_survives_and_is_noted(tmp_path):
    affine = LPS_AFFINE.copy()
    affine[2, 1] = -0.12
    image = nib.Nifti1Image(hu((6, 5, 4)), None)
    image.set_sform(affine, code=1)
    nib.save(image, tmp_path / "tilted.nii.gz")
    volume = load_volume(tmp_path / "tilted.nii.gz")
    assert any("sheared by 9.7 degrees" in note for note in volume.notes)
    written = nib.load(save_map(tmp_path / "m.nii.gz", volume.data, volume))
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    assert np.array_equal(np.asarray(written.dataobj), np.asarray(image.dataobj))


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    volume = load_volume(write_nifti(tmp_path / "ct.nii.gz", hu((6, 5, 4))))
    (tmp_path / "m.nii.gz").write_bytes(b"precious")

    def fail(self, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib.Nifti1Image, "to_filename", fail)
    with pytest.raises(InputError, match="No space left") as error:
        save_map(tmp_path / "m.nii.gz", volume.data, volume)
    one_line(error)
    assert (tmp_path / "m.nii.gz").read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct.nii.gz", "m.nii.gz"]


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("ct.nii.gz", np.zeros((4, 5, 6), np.uint8), "overwrite the input"),
        ("map.png", np.zeros((4, 5, 6), np.uint8), r"ends in \.nii"),
        ("map.nii", np.zeros((6, 5, 4), np.uint8), "does not fit"),
        ("map.nii", np.zeros((4, 5, 6, 3), np.float32), "does not fit"),
        ("map.nii", np.zeros((4, 5, 6), complex), "integers or floats"),
    ],
)
def test_maps_that_cannot_be_written(tmp_path, name, data, match):
    volume = load_volume(write_nifti(tmp_path / "ct.nii.gz", hu((6, 5, 4))))
    with pytest.raises(InputError, match=match) as error:
        save_map(tmp_path / name, data, volume)
    one_line(error)


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_whole_hu_become_int16(tmp_path, dtype):
    values = np.arange(120).reshape(6, 5, 4)
    volume = load_volume(write_nifti(tmp_path / "ct.nii", values.astype(dtype)))
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.source_grid.to_file(volume.data), values)


@pytest.mark.parametrize("values", [np.linspace(-1000, 1000, 120), np.linspace(-1000, 70000, 120).round()])
def test_other_hu_become_float32(tmp_path, values):
    values = values.astype(np.float32).reshape(6, 5, 4)
    volume = load_volume(write_nifti(tmp_path / "ct.nii", values))
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.source_grid.to_file(volume.data), values)


def test_rescale_of_the_header_is_applied(tmp_path):
    stored = np.arange(120, dtype=np.uint16).reshape(6, 5, 4)
    image = nib.Nifti1Image(stored, LPS_AFFINE)
    image.header.set_slope_inter(2, -1024)
    nib.save(image, tmp_path / "ct.nii.gz")
    # nibabel scales on writing: what counts is what any reader would see.
    expected = nib.load(tmp_path / "ct.nii.gz").get_fdata()
    volume = load_volume(tmp_path / "ct.nii.gz")
    assert np.array_equal(volume.source_grid.to_file(volume.data), expected)


def test_big_endian_files_are_native_in_memory(tmp_path):
    image = nib.Nifti1Image(hu((6, 5, 4)), LPS_AFFINE, nib.Nifti1Header(endianness=">"))
    nib.save(image, tmp_path / "ct.nii")
    volume = load_volume(tmp_path / "ct.nii")
    assert volume.data.dtype.isnative
    assert volume.data.flags.c_contiguous
    assert np.array_equal(volume.source_grid.to_file(volume.data), hu((6, 5, 4)))


def test_voxels_without_a_value_become_the_lowest(tmp_path):
    values = hu((6, 5, 4)).astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, -np.inf
    volume = load_volume(write_nifti(tmp_path / "ct.nii", values))
    assert any("2 voxels" in note and "NaN" in note for note in volume.notes)
    data = volume.source_grid.to_file(volume.data)
    assert data[0, 0, 0] == data[1, 1, 1] == np.nanmin(values[np.isfinite(values)])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (hu((6, 5, 4)).astype(np.int32) + 1024, "do not look like Hounsfield units"),
        (np.linspace(0, 1, 120, dtype=np.float32).reshape(6, 5, 4), "do not look like Hounsfield units"),
        (np.full((6, 5, 4), -1000, np.int16), "all voxels have the same value"),
    ],
)
def test_values_that_are_no_hu_are_noted(tmp_path, values, match):
    values = values.astype(np.uint16) if values.dtype == np.int32 else values
    notes = load_volume(write_nifti(tmp_path / "ct.nii", values)).notes
    assert any(match in note for note in notes)


def test_disagreeing_forms_and_odd_units_are_noted(tmp_path):
    image = nib.Nifti1Image(hu((6, 5, 4)), LPS_AFFINE)
    image.set_sform(geometry.translate(5) @ LPS_AFFINE, code=1)
    image.set_qform(LPS_AFFINE, code=1)
    nib.save(image, tmp_path / "ct.nii")
    volume = load_volume(tmp_path / "ct.nii")
    assert any("sform and qform" in note for note in volume.notes)
    np.testing.assert_allclose(volume.source_grid.affine, geometry.translate(5) @ LPS_AFFINE, atol=1e-4)
    meters = load_volume(write_nifti(tmp_path / "m.nii", hu((6, 5, 4)), geometry.scale(0.001) @ LPS_AFFINE))
    assert any("unusual" in note for note in meters.notes)


def test_a_trailing_axis_of_one_is_dropped(tmp_path):
    volume = load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4, 1))))
    assert volume.shape == (4, 5, 6)
    assert any("trailing" in note for note in volume.notes)
    assert nib.load(save_map(tmp_path / "m.nii", volume.data, volume)).shape == (6, 5, 4)


# --- bad NIfTI ----------------------------------------------------------------------------------------------------


def _bad_missing(folder):
    return folder / "nothing.nii.gz"


def _bad_text(folder):
    (folder / "notes.nii.gz").write_text("this is no image")
    return folder / "notes.nii.gz"


def _bad_plain_text(folder):
    (folder / "notes.txt").write_text("this is no image\n" * 50)
    return folder / "notes.txt"


def _bad_empty(folder):
    (folder / "empty.nii").touch()
    return folder / "empty.nii"


def _bad_truncated_gzip(folder):
    path = write_nifti(folder / "ct.nii.gz", hu((40, 40, 40)))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _bad_gzip_header(folder):
    path = write_nifti(folder / "ct.nii.gz", hu((6, 5, 4)))
    path.write_bytes(path.read_bytes()[:60])
    return path


def _bad_truncated(folder):
    path = write_nifti(folder / "ct.nii", hu((40, 40, 40)))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _bad_damaged_gzip(folder):
    path = write_nifti(folder / "ct.nii.gz", hu((40, 40, 40)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    return path


def _bad_affine(value):
    def make(folder):
        path = write_nifti(folder / "ct.nii", hu((6, 5, 4)))
        content = bytearray(path.read_bytes())
        content[254:256] = (1).to_bytes(2, "little")  # sform_code
        content[280:296] = np.full(4, value, "<f4").tobytes()  # srow_x
        path.write_bytes(content)
        return path

    return make


def _bad_shape(shape):
    return lambda folder: write_nifti(folder / "ct.nii.gz", hu(shape))


def _bad_color(folder):
    data = np.zeros((6, 5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return write_nifti(folder / "rgb.nii", data)


def _bad_nan(folder):
    return write_nifti(folder / "nan.nii", np.full((6, 5, 4), np.nan, np.float32))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_bad_missing, "no such file"),
        (_bad_text, "not a readable NIfTI file"),
        (_bad_plain_text, "neither NIfTI nor DICOM"),
        (_bad_empty, "not a readable NIfTI file"),
        (_bad_truncated_gzip, "truncated or damaged"),
        (_bad_gzip_header, "not a readable NIfTI file|truncated"),
        (_bad_truncated, "truncated or damaged"),
        (_bad_damaged_gzip, "truncated or damaged"),
        (_bad_affine(np.nan), "NaN"),
        (_bad_affine(0.0), "singular affine"),
        (_bad_shape((6, 5)), "2-D image.*expected a 3-D volume"),
        (_bad_shape((6, 5, 4, 3)), r"4-D image.*found 6 x 5 x 4 x 3 vs expected a 3-D volume"),
        (_bad_shape((6, 5, 1)), "single slice"),
        (_bad_color, "not a scalar image"),
        (_bad_nan, "no voxel has a value"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, make, match):
    path = make(tmp_path)
    with pytest.raises(CoralBayError, match=match) as error:
        load_volume(path)
    assert path.name in one_line(error)


def test_missing_file_is_also_the_builtin(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_volume(tmp_path / "nothing.nii")
    with pytest.raises(MissingFileError):
        load_labels(tmp_path / "nothing.nii")


def test_series_of_a_nifti_file(tmp_path):
    with pytest.raises(InputError, match="no series"):
        load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4))), series="1.2")


# --- labels -------------------------------------------------------------------------------------------------------


def test_labels_in_another_axis_order_fit(tmp_path):
    volume = load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4))))
    labels = np.arange(120, dtype=np.uint8).reshape(6, 5, 4)
    flipped = LPS_AFFINE @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    loaded = load_labels(write_nifti(tmp_path / "labels.nii", labels[::-1], flipped), like=volume)
    assert np.array_equal(loaded.data, volume.source_grid.from_file(labels))


def test_whole_floats_are_labels(tmp_path):
    values = np.arange(-60, 60).reshape(6, 5, 4)
    labels = load_labels(write_nifti(tmp_path / "labels.nii", values.astype(np.float64)))
    assert np.issubdtype(labels.data.dtype, np.integer)
    assert np.array_equal(labels.source_grid.to_file(labels.data), values)


@pytest.mark.parametrize(
    ("data", "affine", "match"),
    [
        (np.zeros((6, 5, 5), np.uint8), LPS_AFFINE, r"found 5 x 5 x 6 vs expected 4 x 5 x 6"),
        (np.zeros((6, 5, 4), np.uint8), geometry.translate((0, 0, 1)) @ LPS_AFFINE, r"1\.00 mm apart"),
        (np.zeros((6, 5, 4), np.uint8), LPS_AFFINE @ geometry.scale((1.1, 1, 1)), "mm apart"),
        (np.full((6, 5, 4), 0.5, np.float32), LPS_AFFINE, "non-integer values"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, data, affine, match):
    volume = load_volume(write_nifti(tmp_path / "ct.nii", hu((6, 5, 4))))
    with pytest.raises(InputError, match=match) as error:
        load_labels(write_nifti(tmp_path / "labels.nii", data, affine), like=volume)
    one_line(error)


# --- DICOM --------------------------------------------------------------------------------------------------------


@pytest.fixture
def series(tmp_path):
    values = hu((5, 6, 7))
    write_series(tmp_path / "series", values, seed=3)
    return tmp_path / "series", values


def test_dicom_slices_are_sorted_and_rescaled(series):
    folder, values = series
    volume = load_volume(folder)
    # Axial DICOM: columns run to the patient's left, rows to the back, and positions grow to the head: (z, y, x).
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.data, values)
    assert volume.modality == "CT"
    assert volume.notes == ()
    # LPS (-10, -20, -30) is RAS (10, 20, -30).
    np.testing.assert_allclose(volume.grid.to_world((0, 0, 0)), (10, 20, -30))
    np.testing.assert_allclose(volume.grid.to_world((1, 1, 1)), (10 - 0.7, 20 - 0.8, -27))


def test_any_file_of_the_series_will_do(series):
    folder, values = series
    volume = load_volume(sorted(folder.iterdir())[2])
    assert np.array_equal(volume.data, values)
    assert volume.name == "series"


def test_no_patient_information_is_kept(series):
    volume = load_volume(series[0])
    for text in (volume.name, *volume.notes, repr(volume.source), str(list_series(series[0]))):
        assert "secret" not in text.lower()


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    ("orientation", "step"),
    [((1, 0, 0, 0, 0, -1), (0, 2, 0)), ((0, 1, 0, 0, 0, -1), (2, 0, 0)), ((-1, 0, 0, 0, -1, 0), (0, 0, 2))],
)
def test_coronal_sagittal_and_prone_series(tmp_path, orientation, step, direction):
    values = hu((5, 6, 7))
    step = np.multiply(step, direction)
    write_series(tmp_path / "s", values, orientation=orientation, step=step, spacing=(0.8, 0.7))
    volume = load_volume(tmp_path / "s")
    assert geometry.axis_codes(volume.affine) == AXIS_CODES
    # Every stored pixel is found at the place that DICOM's formula gives it.
    for index in np.ndindex(values.shape):
        k, row, column = index
        lps = np.add((-10, -20, -30), np.multiply(step, k))
        lps = lps + np.multiply(orientation[:3], 0.7 * column) + np.multiply(orientation[3:], 0.8 * row)
        found = volume.grid.to_index(lps * (-1, -1, 1))
        np.testing.assert_allclose(found, found.round(), atol=1e-6)
        assert volume.data[tuple(found.round().astype(int))] == values[index]


def test_tilted_gantry_keeps_its_shear(tmp_path):
    tilt = np.radians(12)
    orientation = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    write_series(tmp_path / "s", hu((5, 6, 7)), orientation=orientation, step=(0, 0, 4))
    volume = load_volume(tmp_path / "s")
    assert any("sheared by 12.0 degrees" in note for note in volume.notes)
    np.testing.assert_allclose(volume.affine[:3, 0], (0, 0, 4), atol=1e-9)
    np.testing.assert_allclose(volume.affine[:3, 1], 0.8 * np.array([0, -np.cos(tilt), np.sin(tilt)]), atol=1e-9)
    written = nib.load(save_map(tmp_path / "m.nii.gz", volume.data, volume))
    np.testing.assert_allclose(written.affine, volume.source_grid.affine, atol=1e-4)
    assert written.header["qform_code"] == 0


def test_dicom_round_trip_through_nifti(series, tmp_path):
    volume = load_volume(series[0])
    path = save_map(tmp_path / "copy.nii.gz", volume.data, volume)
    assert nib.load(path).shape == (7, 6, 5)
    again = load_volume(path)
    assert np.array_equal(again.data, volume.data)
    assert again.grid == volume.grid
    assert np.array_equal(load_labels(path, like=volume).data, volume.data)


def test_other_objects_are_ignored_with_a_note(series):
    folder, values = series
    write_rtstruct(folder / "rs.dcm")
    scout = write_series(folder / "x", hu((1, 9, 9)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    shutil.move(scout, folder / "scout.dcm")
    shutil.copy(folder / "image_000.dcm", folder / "copy.dcm")
    (folder / "readme.txt").write_text("not DICOM " * 40)
    volume = load_volume(folder)
    assert np.array_equal(volume.data, values)
    notes = " | ".join(volume.notes)
    assert "ignored 1 RTSTRUCT object" in notes
    assert "ignored 1 localizer object" in notes
    assert "1 duplicate" in notes


def test_several_series_are_listed(tmp_path):
    first, second = generate_uid(), generate_uid()
    write_series(tmp_path / "a", hu((5, 6, 7)), SeriesInstanceUID=first, SeriesDescription="thin")
    write_series(tmp_path / "b", hu((3, 6, 7), 1), SeriesInstanceUID=second, SeriesDescription="thick")
    with pytest.raises(InputError, match="--series") as error:
        load_volume(tmp_path)
    text = one_line(error)
    assert all(word in text for word in (first, second, "thin", "thick", "5 x 6 x 7"))
    assert [s.uid for s in list_series(tmp_path)] == [first, second]
    assert np.array_equal(load_volume(tmp_path, series=second).data, hu((3, 6, 7), 1))
    part = second[-12:]
    assert load_volume(tmp_path, series=part).shape == (3, 6, 7)
    with pytest.raises(InputError, match="fits 0 series"):
        load_volume(tmp_path, series="9.9.9.9")
    with pytest.raises(InputError, match="fits 2 series"):
        load_volume(tmp_path, series="1.2.826")


def test_a_lone_image_is_no_rival(tmp_path):
    write_series(tmp_path / "a", hu((5, 6, 7)))
    write_series(tmp_path / "b", hu((1, 6, 7)))
    volume = load_volume(tmp_path)
    assert volume.shape == (5, 6, 7)
    assert any("1 other series" in note for note in volume.notes)


def test_missing_slice_says_where(series):
    folder, _ = series
    path = next(p for p in folder.iterdir() if b"-24" in p.read_bytes()[:1500])
    path.unlink()
    with pytest.raises(
        InputError, match=r"1 missing slice.*between S -27 mm and S -21 mm.*6 mm vs expected 3 mm"
    ) as error:
        load_volume(folder)
    one_line(error)


def test_uneven_and_crooked_slices(tmp_path):
    values = hu((6, 6, 7))
    write_series(tmp_path / "uneven", values[:3], SeriesInstanceUID="1.2.3")
    for path in write_series(tmp_path / "more", values[3:], origin=(-10, -20, -19.6), SeriesInstanceUID="1.2.3"):
        path.rename(tmp_path / "uneven" / f"later_{path.name}")
    with pytest.raises(InputError, match=r"not evenly spaced.*4\.4 mm vs expected 3 mm"):
        load_volume(tmp_path / "uneven")
    write_series(tmp_path / "crooked", values[:4], SeriesInstanceUID="1.2.4")
    for path in write_series(tmp_path / "more", values[4:], origin=(-10, -9, -18), SeriesInstanceUID="1.2.4"):
        path.rename(tmp_path / "crooked" / f"later_{path.name}")
    with pytest.raises(InputError, match="do not lie along a line"):
        load_volume(tmp_path / "crooked")


def test_rounded_positions_are_even_enough(tmp_path):
    values = hu((9, 6, 7))
    for k, image in enumerate(values):
        position = (0, 0, round(0.625 * k, 1))
        path = write_series(tmp_path / "x", image[None], origin=position, SeriesInstanceUID="1.2.5")[0]
        (tmp_path / "s").mkdir(exist_ok=True)
        path.rename(tmp_path / "s" / f"{k}.dcm")
    volume = load_volume(tmp_path / "s")
    assert volume.grid.spacing_mm[0] == pytest.approx(0.625)


def _bad_one_slice(folder):
    write_series(folder, hu((1, 6, 7)))


def _bad_4d(folder):
    write_series(folder, hu((5, 6, 7)), SeriesInstanceUID="1.2")
    for path in write_series(folder / "x", hu((5, 6, 7)), SeriesInstanceUID="1.2"):
        path.rename(folder / f"second_{path.name}")


def _bad_sizes(folder):
    write_series(folder, hu((5, 6, 7)), SeriesInstanceUID="1.2")
    write_series(folder / "x", hu((2, 8, 7)), SeriesInstanceUID="1.2", origin=(0, 0, 50))


def _bad_orientations(folder):
    write_series(folder, hu((5, 6, 7)), SeriesInstanceUID="1.2")
    write_series(folder / "x", hu((2, 6, 7)), SeriesInstanceUID="1.2", orientation=(0, 1, 0, 0, 0, -1), step=(1, 0, 0))


def _bad_rtstruct_only(folder):
    folder.mkdir(exist_ok=True)
    write_rtstruct(folder / "rs.dcm")


def _bad_multiframe(folder):
    write_series(folder, hu((1, 6, 7)), NumberOfFrames=4)


def _bad_no_position(folder):
    write_series(folder, hu((3, 6, 7)), ImagePositionPatient=None)


def _bad_truncated_pixels(folder):
    path = write_series(folder, hu((3, 6, 7)))[1]
    path.write_bytes(path.read_bytes()[:-20])


def _bad_header(folder):
    write_series(folder, hu((3, 6, 7)), PixelSpacing="0.7")


def _bad_parallel_orientation(folder):
    write_series(folder, hu((3, 6, 7)), orientation=(1, 0, 0, 1, 0, 0))


def _bad_folder(folder):
    folder.mkdir(exist_ok=True)
    (folder / "readme.txt").write_text("nothing here")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_bad_one_slice, "single slice"),
        (_bad_4d, "several slices at one position.*10 slices at 5 positions.*4-D"),
        (_bad_sizes, r"differ in size.*6 x 7 \(5 slices\); 8 x 7 \(2 slices\)"),
        (_bad_orientations, "differ in orientation"),
        (_bad_rtstruct_only, "no CT series.*1 RTSTRUCT"),
        (_bad_multiframe, "no CT series.*multi-frame CT.*dcm2niix"),
        (_bad_no_position, "no CT series.*3 CT image without position"),
        (_bad_truncated_pixels, "cannot decode slice"),
        (_bad_header, "unreadable DICOM header"),
        (_bad_parallel_orientation, "singular affine|several slices"),
        (_bad_folder, "no CT series in the folder.*no DICOM file"),
    ],
)
def test_bad_series_are_refused_in_one_line(tmp_path, make, match):
    make(tmp_path / "s")
    with pytest.raises(CoralBayError, match=match) as error:
        load_volume(tmp_path / "s")
    one_line(error)


def test_an_rtstruct_is_no_slice(series):
    path = write_rtstruct(series[0] / "rs.dcm")
    with pytest.raises(InputError, match=r"not a CT slice.*1 RTSTRUCT"):
        load_volume(path)


@pytest.mark.parametrize(("modality", "noted"), [("MR", True), ("CT", False)])
def test_other_modalities_are_noted(tmp_path, modality, noted):
    write_series(tmp_path / "s", hu((5, 6, 7)), Modality=modality)
    volume = load_volume(tmp_path / "s")
    assert volume.modality == modality
    assert any("not CT" in note for note in volume.notes) == noted


def test_a_series_without_rescale_is_noted(tmp_path):
    write_series(tmp_path / "s", hu((5, 6, 7)), RescaleSlope=None, RescaleIntercept=None)
    assert any("Hounsfield" in note for note in load_volume(tmp_path / "s").notes)


def test_a_fractional_slope_gives_float32(tmp_path):
    values = hu((5, 6, 7))
    write_series(tmp_path / "s", values, RescaleSlope="0.5")
    data = load_volume(tmp_path / "s").data
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, (values + 1024.0) * 0.5 - 1024)


# --- compressed DICOM ---------------------------------------------------------------------------------------------

# 8 x 8, 12 bits, JPEG-LS: no encoder is among the packages that the tests need.
JPEG_LS_8X8 = base64.b64decode(
    "/9j/9wALDAAIAAgBAREA/9oACAEBAAAAAJJSUlHRUNBAFBKSEZEQkBKAFD989eO3RIKdy4btipQjFMTJESD75EKV511xxwhFI220000QCjZZZZYYfv/Z"
)


def compress(paths, syntax):
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_slices(tmp_path, syntax):
    values = hu((3, 64, 48))
    compress(write_series(tmp_path / "s", values), syntax)
    assert np.array_equal(load_volume(tmp_path / "s").data, values)


def test_jpeg_ls(tmp_path):
    for path in write_series(tmp_path / "s", hu((2, 8, 8)), BitsStored=12, HighBit=11):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = encapsulate([JPEG_LS_8X8])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
    expected = np.arange(64).reshape(8, 8) * 37 % 2500 - 1024
    assert np.array_equal(load_volume(tmp_path / "s").data, [expected, expected])


def test_missing_decoder_names_the_extra(tmp_path, monkeypatch):
    compress(write_series(tmp_path / "s", hu((3, 64, 48))), JPEG2000Lossless)
    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", {})
    with pytest.raises(MissingExtraError, match=r'JPEG 2000.*pip install "coralbay\[dicom\]"') as error:
        load_volume(tmp_path / "s")
    one_line(error)


def test_missing_pydicom_names_the_extra(series, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r'pip install "coralbay\[dicom\]"'):
        load_volume(series[0])


# --- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "spacing", "note"),
    [
        ("dicom_lung_rtstruct", (41, 138, 141), (3, 0.977, 0.977), "1 RTSTRUCT"),
        ("dicom_body_jpeg2000", (20, 512, 512), (2, 0.9766, 0.9766), None),
        ("nifti_lps_sts_012.nii.gz", (53, 155, 159), (3.27, 0.9766, 0.9766), None),
        ("nifti_tilted_cq500_5.nii.gz", (53, 256, 256), (3, 0.9766, 0.9766), "sheared by 7.4 degrees"),
    ],
)
def test_raw_files_open(ct_pack, name, shape, spacing, note):
    volume = load_volume(ct_pack / "raw" / name)
    assert volume.shape == shape
    assert volume.data.dtype == np.int16
    assert geometry.axis_codes(volume.affine) == AXIS_CODES
    np.testing.assert_allclose(volume.grid.spacing_mm, spacing, atol=2e-2)
    assert volume.data.min() in (-1000, -1024)
    assert volume.data.max() > 1000
    assert len(volume.notes) == (note is not None)
    assert all(note in text for text in volume.notes)


def test_the_two_ways_of_storing_one_subject_agree(ct_pack):
    """sts_012 is in the pack raw (axes L, P, S) and resampled (R, A, S): bone must be at one place."""
    raw = load_volume(ct_pack / "raw" / "nifti_lps_sts_012.nii.gz")
    prepared = load_volume(ct_pack / "train" / "sts_012.nii.gz")
    points = raw.grid.to_world(np.argwhere(raw.data > 900))
    inside = points[prepared.grid.contains(points)]
    index = np.clip(np.rint(prepared.grid.to_index(inside)).astype(int), 0, np.subtract(prepared.shape, 1))
    assert len(inside) > 500
    assert np.median(prepared.data[tuple(index.T)]) > 600


def test_real_labels_fit_their_ct(ct_pack):
    folder = ct_pack / "labelled" / "totalseg_example"
    volume = load_volume(folder / "ct.nii.gz")
    labels = load_labels(folder / "labels.nii.gz", like=volume)
    center = {
        name: labels.grid.to_world(np.argwhere(labels.data == value)).mean(0)
        for value, name in labels.names.items()
        if name in ("liver", "spleen", "vertebrae_L3", "urinary_bladder")
    }
    assert center["liver"][0] > center["spleen"][0]  # the liver is on the right
    assert center["liver"][2] > center["urinary_bladder"][2]
    assert center["urinary_bladder"][1] > center["vertebrae_L3"][1]


def test_gzip_is_read_whatever_made_it(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", hu((6, 5, 4)))
    (tmp_path / "again.nii.gz").write_bytes(gzip.compress(path.read_bytes(), 9))
    assert np.array_equal(load_volume(tmp_path / "again.nii.gz").data, load_volume(path).data)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4"])
def test_turning_a_scan_changes_no_voxel(order, flips, dtype):
    made = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(dtype)
    turned = made.transpose(order)[tuple(slice(None, None, step) for step in flips)]
    expected = turned.copy()
    found = contiguous(turned)
    assert found.flags.c_contiguous
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


def test_a_scan_that_is_only_flipped_is_not_copied():
    """A copy of a scan of 3 GB needs 3 GB."""
    made = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    assert np.shares_memory(contiguous(made[::-1, :, ::-1]), made)
    made.flags.writeable = False
    assert not np.shares_memory(contiguous(made[::-1, :, ::-1]), made)
