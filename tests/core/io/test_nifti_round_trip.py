"""NIfTI there and back: every voxel stays in its place, and headers are kept."""

import json

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.spatial import Grid, LabelVolume, geometry
from coralbay_core.spatial.volume import AXIS_CODES
from tests.support.nifti import LPS_AFFINE, hu, one_line, positions, write_nifti
from tests.support.strategies import affines, shapes


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
