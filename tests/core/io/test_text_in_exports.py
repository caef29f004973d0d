"""Names and identifiers of any script survive exports, and nothing else of the patient does."""

import codecs
import json

import nibabel as nib
import numpy as np
import pydicom
import pytest

from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume, save_dicom, save_map
from coralbay_core.spatial import LabelVolume
from tests.support.dicom import write_series

STUDY = {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1", "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.2"}


def labeled(folder, names, **changes):
    write_series(folder, np.random.default_rng(0).integers(-1000, 1000, (4, 8, 9)), **(STUDY | changes))
    data = np.zeros((4, 8, 9), np.uint8)
    for value in names:
        data[1:3, 2:6, value * 2 : value * 2 + 2] = value
    return LabelVolume(data, load_volume(folder).grid, "organs", names=names)


def labels_of(dataset, kind):
    if kind == "seg":
        return [str(segment.SegmentLabel) for segment in dataset.SegmentSequence]
    return [str(roi.ROIName) for roi in dataset.StructureSetROISequence]


@pytest.fixture(params=["seg", "rtstruct"])
def kind(request):
    if request.param == "seg":
        pytest.importorskip("highdicom", reason="pip install 'coralbay[dicom]'")
    return request.param


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("ISO_IR 192", "utf-8"),
        ("ISO_IR 100", "latin-1"),
        (["", "ISO 2022 IR 87"], "iso2022_jp"),
        (None, "utf-8"),
        (None, "latin-1"),
    ],
)
def test_identifiers_and_names_of_any_script(tmp_path, kind, charset, encoding):
    patient = "M\u00fcller-7" if encoding == "latin-1" else "\u60a3\u8005-7"
    changes = {"PatientID": "MARK-OF-ID"} | ({"SpecificCharacterSet": charset} if charset else {})
    labels = labeled(tmp_path / "s", {1: "\u809d\u81d3", 2: "Niere links \u00e4"}, **changes)
    encoded = patient.encode(encoding)
    encoded += b" " * (len(encoded) % 2)
    for path in (tmp_path / "s").iterdir():
        content = path.read_bytes()
        path.write_bytes(content.replace(b"LO\x0a\x00MARK-OF-ID", b"LO" + len(encoded).to_bytes(2, "little") + encoded))
    read = pydicom.dcmread(save_dicom(tmp_path / "o.dcm", labels, tmp_path / "s", kind=kind))
    assert read.SpecificCharacterSet == "ISO_IR 192"
    assert read.PatientID == patient
    assert labels_of(read, kind) == ["\u809d\u81d3", "Niere links \u00e4"]


def test_a_backslash_or_a_line_break_does_not_split_a_name(tmp_path, kind):
    labels = labeled(tmp_path / "s", {1: "liver\\spleen", 2: "left\nkidney", 3: "\t"})
    read = pydicom.dcmread(save_dicom(tmp_path / "o.dcm", labels, tmp_path / "s", kind=kind))
    assert labels_of(read, kind) == ["liver/spleen", "left kidney", "label 3"]


def test_repaired_geometry_is_exported_repaired(tmp_path, kind):
    labels = labeled(tmp_path / "s", {1: "liver"}, orientation=(2, 0, 0, 0, 2, 0))
    read = pydicom.dcmread(save_dicom(tmp_path / "o.dcm", labels, tmp_path / "s", kind=kind))
    if kind == "seg":
        plane = read.SharedFunctionalGroupsSequence[0]
        assert plane.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        assert plane.PixelMeasuresSequence[0].PixelSpacing == [0.8, 0.7]


def test_images_that_share_a_uid_cannot_be_referenced(tmp_path, kind):
    labels = labeled(tmp_path / "s", {1: "liver"}, SOPInstanceUID="1.2.3")
    with pytest.raises(InputError, match="one SOPInstanceUID for several images"):
        save_dicom(tmp_path / "o.dcm", labels, tmp_path / "s", kind=kind)


# --- names beside NIfTI


def label_map(folder):
    path = folder / "organs.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(4)), path)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_names_in_any_encoding(tmp_path, encoding):
    names = {"1": "Niere links \u00e4", "2": "liver\\spleen"}
    (tmp_path / "organs.json").write_bytes(json.dumps(names, ensure_ascii=False).encode(encoding))
    labels = load_labels(label_map(tmp_path))
    assert labels.names == {1: "Niere links \u00e4", 2: "liver\\spleen"}
    assert labels.notes == ()


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b'{"liver": 1}', codecs.BOM_UTF8, b"[" * 100_000])
def test_names_that_cannot_be_read_are_noted(tmp_path, content):
    (tmp_path / "organs.json").write_bytes(content)
    labels = load_labels(label_map(tmp_path))
    assert labels.names == {}
    assert len(labels.notes) == 1
    assert "organs.json were not read" in labels.notes[0]


# --- what a header may hold


@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_extensions_and_texts_of_a_header_are_not_copied(tmp_path, suffix, image_class):
    image = image_class(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Secret^Person"))
    texts = [name for name, (kind, *_) in image.header.structarr.dtype.fields.items() if kind.char == "S"]
    assert len(texts) > 4
    for name in set(texts) - {"magic"}:
        image.header[name] = b"Secret^Person"
    nib.save(image, tmp_path / f"ct{suffix}")
    assert b"Secret" in nib.load(tmp_path / f"ct{suffix}").header.structarr["descrip"].tobytes()
    volume = load_volume(tmp_path / f"ct{suffix}")
    written = nib.load(save_map(tmp_path / f"map{suffix}", volume.data, volume))
    assert not written.header.extensions
    assert b"Secret" not in written.to_bytes()
    assert np.array_equal(np.asarray(written.dataobj), np.asarray(image.dataobj))
    labels = load_labels(tmp_path / f"ct{suffix}", like=volume)
    again = nib.load(save_map(tmp_path / f"labels{suffix}", labels.data, labels))
    assert b"Secret" not in again.to_bytes()
