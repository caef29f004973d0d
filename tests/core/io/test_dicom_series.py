"""DICOM series: sorted, rescaled, in every orientation, with notes on what is unusual."""

import shutil

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import generate_uid

from coralbay_core.errors import InputError
from coralbay_core.io import list_series, load_labels, load_volume, save_map
from coralbay_core.spatial import geometry
from coralbay_core.spatial.volume import AXIS_CODES
from tests.support.dicom import write_rtstruct, write_series
from tests.support.nifti import hu, one_line


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
    volume = load_volume(tmp_path, series=part)
    assert volume.shape == (3, 6, 7)
    # Files that are handed on have a hash in place of the UID.
    assert volume.series not in second
    assert load_volume(tmp_path, series=volume.series).shape == (3, 6, 7)
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
    for path in (tmp_path / "a").iterdir():
        path.rename(tmp_path / "b" / f"a_{path.name}")
    for path in (tmp_path / "b").glob("a_*"):
        assert load_volume(path, series=volume.series).shape == (5, 6, 7)
    with pytest.raises(InputError, match="belongs to another series"):
        load_volume(tmp_path / "b" / "image_000.dcm", series=volume.series)


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
