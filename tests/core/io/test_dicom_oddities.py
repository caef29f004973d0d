"""DICOM series as de-identification, export and copying leave them: read rightly, or refused in one line."""

import os
import shutil

import numpy as np
import pydicom
import pytest

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.io import list_series, load_volume
from tests.support.dicom import write_series


def hu(shape=(5, 6, 7), seed=0):
    return np.random.default_rng(seed).integers(-1024, 2000, shape).astype(np.int16)


def in_order(folder):
    """Files of a series from the lowest slice to the highest."""
    return sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))


def put(path, keyword, value):
    """Replace an element by what its type may not allow."""
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(path)
        tag = pydicom.datadict.tag_for_keyword(keyword)
        vr = pydicom.datadict.dictionary_VR(tag)
        if tag in dataset:
            del dataset[tag]
        # Text of another kind of the same bytes, which pydicom does not convert.
        dataset.add_new(tag, "LO" if vr in ("DS", "IS") else vr, value)
        dataset.save_as(path)
    if vr in ("DS", "IS"):
        content = path.read_bytes()
        header = tag.to_bytes(4, "little")
        header = header[2:] + header[:2]
        assert content.count(header + b"LO") == 1
        path.write_bytes(content.replace(header + b"LO", header + vr.encode()))


# --- slices that are left out


def test_an_empty_slice_at_the_end_is_named(tmp_path):
    write_series(tmp_path / "s", hu())
    last = in_order(tmp_path / "s")[-1]
    last.write_bytes(b"")
    volume = load_volume(tmp_path / "s")
    assert np.array_equal(volume.data, hu()[:-1])
    assert volume.notes == (f"1 file could not be read and is left out: {last.name} (empty)",)


def test_what_is_called_like_a_slice_and_is_none_is_named(tmp_path):
    write_series(tmp_path / "s", hu())
    first, *_, last = in_order(tmp_path / "s")
    first.write_bytes(b"\0" * 500)
    last.rename(tmp_path / "s" / "IM0007")
    (tmp_path / "s" / "IM0007").write_bytes(b"lost in a transfer")
    (tmp_path / "s" / "README.txt").write_text("about the data")
    note = " ".join(load_volume(tmp_path / "s").notes)
    assert "2 files could not be read" in note
    assert f"{first.name} (not DICOM)" in note
    assert "IM0007 (not DICOM)" in note
    assert "README" not in note


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_slice_without_permission_is_named(tmp_path):
    write_series(tmp_path / "s", hu())
    in_order(tmp_path / "s")[-1].chmod(0)
    assert any("permission denied" in note for note in load_volume(tmp_path / "s").notes)


def test_a_header_that_was_cut_is_noted(tmp_path):
    write_series(tmp_path / "s", hu())
    last = in_order(tmp_path / "s")[-1]
    last.write_bytes(last.read_bytes()[:440])
    assert any("damaged" in note for note in load_volume(tmp_path / "s").notes)


@pytest.mark.parametrize("keyword", ["RescaleIntercept", "RescaleSlope"])
@pytest.mark.parametrize("empty", [True, False])
def test_half_the_slices_without_rescale_are_an_error(tmp_path, keyword, empty):
    write_series(tmp_path / "s", hu(), RescaleSlope="2")
    for path in in_order(tmp_path / "s")[3:]:
        dataset = pydicom.dcmread(path)
        if empty:
            setattr(dataset, keyword, None)
        else:
            delattr(dataset, keyword)
        dataset.save_as(path)
    with pytest.raises(InputError, match=r"slices without rescale.*found 2 of 5 slices"):
        load_volume(tmp_path / "s")


def test_intercepts_that_differ_are_noted(tmp_path):
    write_series(tmp_path / "s", hu())
    put(in_order(tmp_path / "s")[2], "RescaleIntercept", "-1000")
    volume = load_volume(tmp_path / "s")
    assert np.array_equal(volume.data[2], hu()[2] + 24)
    assert any("intercepts differ" in note for note in volume.notes)


# --- identifiers


@pytest.mark.parametrize("uid", ["", "1.2.3", "anonymized"])
def test_slices_are_told_apart_by_position(tmp_path, uid):
    write_series(tmp_path / "s", hu())
    for path in (tmp_path / "s").iterdir():
        put(path, "SOPInstanceUID", uid)
    shutil.copy(in_order(tmp_path / "s")[1], tmp_path / "s" / "copy.dcm")
    volume = load_volume(tmp_path / "s")
    assert np.array_equal(volume.data, hu())
    assert volume.notes == ("1 duplicate files ignored",)


@pytest.mark.parametrize("uid", ["", "1.2.3"])
def test_two_phases_without_identifiers_are_no_copies(tmp_path, uid):
    for part in range(2):
        write_series(tmp_path / "s" / str(part), hu(seed=part), SeriesInstanceUID="1.2")
    for path in (tmp_path / "s").rglob("*.dcm"):
        put(path, "SOPInstanceUID", uid)
    with pytest.raises(InputError, match="several slices at one position"):
        load_volume(tmp_path / "s")


def test_scans_without_a_series_uid_are_not_joined(tmp_path):
    write_series(tmp_path / "s", hu(), SeriesInstanceUID="", SeriesNumber=1)
    for path in write_series(tmp_path / "x", hu(seed=1), SeriesInstanceUID="", SeriesNumber=2, origin=(-10, -20, -15)):
        path.rename(tmp_path / "s" / f"second_{path.name}")
    with pytest.raises(InputError, match="several series"):
        load_volume(tmp_path / "s")
    assert [info.n_slices for info in list_series(tmp_path / "s")] == [5, 5]
    assert np.array_equal(load_volume(tmp_path / "s" / "second_image_000.dcm").data, hu(seed=1))


# --- geometry


def test_differences_in_the_sixth_decimal_are_none(tmp_path):
    write_series(tmp_path / "s", hu())
    for number, path in enumerate(in_order(tmp_path / "s")):
        angle = 0.005 + (-1) ** number * 1e-6
        put(
            path,
            "ImageOrientationPatient",
            [f"{v:.8g}" for v in (np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0)],
        )
        put(path, "PixelSpacing", ["0.79995" if number % 2 else "0.799949", "0.7"])
    volume = load_volume(tmp_path / "s")
    assert np.array_equal(volume.data, hu())
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 0.8, 0.7), atol=1e-4)


@pytest.mark.parametrize(
    ("keyword", "value", "word"),
    [
        ("PixelSpacing", ["0.9", "0.8"], "pixel spacing"),
        ("ImageOrientationPatient", ["1", "0", "0", "0", "0.96", "0.28"], "orientation"),
    ],
)
def test_real_differences_are_an_error(tmp_path, keyword, value, word):
    write_series(tmp_path / "s", hu())
    put(in_order(tmp_path / "s")[2], keyword, value)
    with pytest.raises(InputError, match=f"differ in {word}.*4 slices.*1 slices"):
        load_volume(tmp_path / "s")


def test_orientations_of_length_two_do_not_double_the_spacing(tmp_path):
    write_series(tmp_path / "s", hu(), orientation=(2, 0, 0, 0, 2, 0))
    volume = load_volume(tmp_path / "s")
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 0.8, 0.7), atol=1e-6)
    np.testing.assert_allclose(volume.grid.to_world((0, 0, 0)), (10, 20, -30))
    assert any("not of length 1" in note for note in volume.notes)


# --- numbers


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("RescaleSlope", "1,0"),
        ("RescaleIntercept", "-1024,0"),
        ("PixelSpacing", ["0,8", "0,7"]),
        ("RescaleSlope", " 1.0 "),
        ("NumberOfFrames", " 1"),
    ],
)
def test_decimal_commas_are_read(tmp_path, keyword, value):
    write_series(tmp_path / "s", hu())
    for path in (tmp_path / "s").iterdir():
        put(path, keyword, value)
    volume = load_volume(tmp_path / "s")
    assert np.array_equal(volume.data, hu())
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 0.8, 0.7), atol=1e-6)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImagePositionPatient"])
@pytest.mark.parametrize("value", ["abc", "1\\2\\3\\4", "1e300", "nan", "inf", "1,2,3", "--1"])
def test_malformed_numbers_are_one_line(tmp_path, keyword, value):
    write_series(tmp_path / "s", hu())
    put(next((tmp_path / "s").iterdir()), keyword, value.split("\\"))
    with pytest.raises(CoralBayError, match=f"unreadable DICOM header.*{keyword}") as error:
        load_volume(tmp_path / "s")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("NumberOfFrames", "1x"), ("Rows", [6, 6]), ("PixelSpacing", ["0", "1"]), ("ImageOrientationPatient", ["0"] * 6)],
)
def test_other_malformed_elements_are_one_line(tmp_path, keyword, value):
    write_series(tmp_path / "s", hu())
    put(next((tmp_path / "s").iterdir()), keyword, value)
    with pytest.raises(CoralBayError, match="unreadable DICOM header") as error:
        load_volume(tmp_path / "s")
    assert "\n" not in str(error.value)


# --- files


@pytest.mark.parametrize("empty", [False, True])
def test_an_unknown_kind_of_element_is_one_line(tmp_path, empty):
    write_series(tmp_path / "s", hu())
    path = in_order(tmp_path / "s")[2]
    before, spacing, after = path.read_bytes().partition(b"\x28\x00\x30\x00DS")
    length = int.from_bytes(after[:2], "little")
    path.write_bytes(before + spacing[:4] + b"D\0" + (b"\0\0" + after[2 + length :] if empty else after))
    with pytest.raises(InputError, match="PixelSpacing") as caught:
        load_volume(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keeps_meta", [True, False])
def test_files_without_a_preamble(tmp_path, keeps_meta):
    for path in write_series(tmp_path / "s", hu()):
        content = path.read_bytes()
        length = int.from_bytes(content[140:144], "little")
        path.write_bytes(content[132:] if keeps_meta else content[144 + length :])
    volume = load_volume(tmp_path / "s")
    assert np.array_equal(volume.data, hu())
    assert volume.notes == ()


def test_a_dicomdir_stands_for_its_folder(tmp_path):
    write_series(tmp_path / "disk" / "IMAGES", hu())
    (tmp_path / "disk" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(200))
    volume = load_volume(tmp_path / "disk" / "DICOMDIR")
    assert np.array_equal(volume.data, hu())
    assert volume.name == "disk"


def test_pipes_in_a_folder_are_passed_over(tmp_path):
    write_series(tmp_path / "s", hu())
    os.mkfifo(tmp_path / "s" / "IM0001")
    assert np.array_equal(load_volume(tmp_path / "s").data, hu())
