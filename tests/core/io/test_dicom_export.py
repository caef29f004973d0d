"""DICOM-SEG and RTSTRUCT: written, read back by other means, compared."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from coralbay_core.errors import InputError
from coralbay_core.io import load_volume, save_dicom, save_map
from coralbay_core.spatial import LabelVolume
from tests.support.dicom import write_series

highdicom = pytest.importorskip("highdicom", reason="pip install 'coralbay[dicom]'")
STUDY = {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1", "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.2"}


def series(folder, **changes):
    hu = np.random.default_rng(0).integers(-1000, 1000, (6, 20, 24))
    write_series(folder, hu, **(STUDY | changes))
    return load_volume(folder)


def rings(volume, values=(3, 40)):
    """Two labels, the first with a hole, a part of its own, and a part at the edge of the image."""
    data = np.zeros(volume.shape, np.uint8)
    data[1:4, 3:14, 4:16] = values[0]
    data[1:4, 6:10, 7:12] = 0
    data[2, 7, 8] = values[0]
    data[2, 17:, 18:] = values[0]
    data[3:6, 15:18, 2:9] = values[1]
    return LabelVolume(data, volume.grid, "rings", names={values[0]: "ring"})


def cross(crossings, outline):
    """Count crossings of a closed line with the rows of a lattice, each at the first point beyond it."""
    first, second = outline, np.roll(outline, -1, 0)
    swap = first[:, :1] > second[:, :1]  # there and back along a channel must give the same crossings
    left, right = np.where(swap, second, first), np.where(swap, first, second)
    begin, end = (np.ceil(side[:, 0]).astype(int) for side in (left, right))
    edge = np.repeat(np.arange(len(outline)), end - begin)
    at = np.arange(len(edge)) - np.repeat(np.cumsum(end - begin) - end, end - begin)
    slope = (right[edge, 1] - left[edge, 1]) / (right[edge, 0] - left[edge, 0])
    beyond = np.ceil(left[edge, 1] + (at - left[edge, 0]) * slope).astype(int)
    np.add.at(crossings, (at, beyond), 1)


def filled(path, volume):
    """Labels of an RTSTRUCT by filling its outlines: which centers of voxels do they hold, by the even-odd rule?"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydicom.config, "use_DS_numpy", True)  # a million numbers in a moment
        read = pydicom.dcmread(path)
        contours = {
            roi.ROIName: [np.array(c.ContourData, float).reshape(-1, 3) for c in found.ContourSequence]
            for roi, found in zip(read.StructureSetROISequence, read.ROIContourSequence, strict=True)
        }
    grid = volume.source_grid
    inverse = np.linalg.inv(grid.affine)
    out = {}
    for name, outlines in contours.items():
        columns, rows, slices = grid.shape
        crossings = np.zeros((columns, rows + 1, slices), np.int32)
        for lps in outlines:
            index = (lps * [-1, -1, 1]) @ inverse[:3, :3].T + inverse[:3, 3]
            assert np.ptp(index[:, 2]) < 1e-2
            cross(crossings[..., round(index[0, 2])], index[:, :2])
        out[name] = grid.from_file(crossings.cumsum(1)[:, :rows] % 2 == 1)
    return read, out


@pytest.mark.parametrize("changes", [{}, {"orientation": (-1, 0, 0, 0, 1, 0)}, {"step": (0, 0, -3.0)}])
def test_rtstruct_gives_the_labels_back(tmp_path, changes):
    volume = series(tmp_path / "s", **changes)
    labels = rings(volume)
    read, found = filled(save_dicom(tmp_path / "rs.dcm", labels, tmp_path / "s", kind="rtstruct"), volume)
    assert set(found) == {"ring", "label 40"}
    assert np.array_equal(found["ring"], labels.data == 3)
    assert np.array_equal(found["label 40"], labels.data == 40)
    images = {pydicom.dcmread(p).SOPInstanceUID for p in (tmp_path / "s").iterdir()}
    for contours in read.ROIContourSequence:
        for contour in contours.ContourSequence:
            assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID in images
    assert read.FrameOfReferenceUID == STUDY["FrameOfReferenceUID"]


def test_seg_gives_the_labels_back(tmp_path):
    volume = series(tmp_path / "s")
    labels = rings(volume)
    read = highdicom.seg.segread(save_dicom(tmp_path / "seg.dcm", labels, tmp_path / "s", about={"scan": "abc"}))
    found = read.get_volume(combine_segments=True)
    # highdicom's volumes run (slice, row, column) along its own affine; ours is compared through world positions.
    lps = np.diag([-1.0, -1, 1, 1])
    index = np.argwhere(found.array > 0)
    ras = (index @ (lps @ found.affine)[:3, :3].T) + (lps @ found.affine)[:3, 3]
    ours = tuple(np.rint(volume.grid.to_index(ras)).astype(int).T)
    back = np.zeros(volume.shape, np.uint8)
    back[ours] = np.array([0, 3, 40])[found.array[tuple(index.T)]]
    assert np.array_equal(back, labels.data)
    assert [s.SegmentLabel for s in read.SegmentSequence] == ["ring", "label 40"]
    assert [s.TrackingID for s in read.SegmentSequence] == ["label 3", "label 40"]
    assert "abc" in str(read.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters)


def test_colors_of_labels_are_written(tmp_path):
    colors = {3: (230, 159, 0), 40: (0, 114, 178)}
    labels = replace(rings(series(tmp_path / "s")), colors=colors)
    read = pydicom.dcmread(save_dicom(tmp_path / "seg.dcm", labels, tmp_path / "s"))
    for segment, color in zip(read.SegmentSequence, colors.values(), strict=True):
        shown = highdicom.color.CIELabColor.from_dicom_value(tuple(segment.RecommendedDisplayCIELabValue))
        np.testing.assert_allclose(shown.to_rgb(clip=True), color, atol=1)
    read = pydicom.dcmread(save_dicom(tmp_path / "rs.dcm", labels, tmp_path / "s", kind="rtstruct"))
    assert [list(roi.ROIDisplayColor) for roi in read.ROIContourSequence] == [list(color) for color in colors.values()]


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_nothing_of_the_patient_but_what_files_it(tmp_path, kind):
    volume = series(
        tmp_path / "s", PatientBirthDate="19500101", InstitutionName="Clinic", ReferringPhysicianName="Dr^X"
    )
    written = save_dicom(tmp_path / "o.dcm", rings(volume), tmp_path / "s", kind=kind)
    read = pydicom.dcmread(written)
    assert (read.PatientID, str(read.PatientName), read.PatientBirthDate) == ("SECRET-ID", "", "")
    assert read.StudyInstanceUID == STUDY["StudyInstanceUID"]
    content = written.read_bytes()
    for secret in (b"Person", b"19500101", b"Clinic", b"Dr^X"):
        assert secret not in content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.dcm", "s"]


def test_what_cannot_be_exported(tmp_path):
    volume = series(tmp_path / "s")
    labels = rings(volume)
    with pytest.raises(InputError, match="nothing to export"):
        save_dicom(tmp_path / "o.dcm", LabelVolume(labels.data * 0, volume.grid), tmp_path / "s")
    other = series(tmp_path / "t", origin=(5.0, 5.0, 5.0))
    with pytest.raises(InputError, match="different places"):
        save_dicom(tmp_path / "o.dcm", rings(other), tmp_path / "s")
    bare = tmp_path / "bare"
    write_series(bare, np.zeros((4, 8, 8), int))
    made = load_volume(bare)
    with pytest.raises(InputError, match="no StudyInstanceUID, FrameOfReferenceUID"):
        save_dicom(tmp_path / "o.dcm", LabelVolume(np.ones(made.shape, np.uint8), made.grid), bare)
    assert not (tmp_path / "o.dcm").exists()


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["dicom_lung_rtstruct", "dicom_body_jpeg2000"])
def test_real_series(ct_pack, tmp_path, folder):
    volume = load_volume(ct_pack / "raw" / folder)
    data = np.zeros(volume.shape, np.uint8)
    data[(volume.data > -960) & (volume.data < -500)] = 2
    data[volume.data > 250] = 7
    save_map(tmp_path / "seg.nii.gz", data, volume)
    (tmp_path / "seg.json").write_text('{"2": "lung", "7": "bone"}')
    for kind in ("rtstruct", "seg"):
        command = [sys.executable, "-c", "from coralbay_core.cli import main; main()", "export"]
        arguments = [tmp_path / "seg.nii.gz", "--dicom", volume.path, "-o", tmp_path / f"{kind}.dcm", "--as", kind]
        run = subprocess.run([*command, *map(str, arguments), "--json"], capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["results"]["labels"] == {"2": "lung", "7": "bone"}
        assert (tmp_path / f"{kind}.provenance.json").is_file()
    _, found = filled(tmp_path / "rtstruct.dcm", volume)
    assert np.array_equal(found["lung"], data == 2)
    assert np.array_equal(found["bone"], data == 7)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    counts = np.bincount(seg.get_volume(combine_segments=True).array.ravel(), minlength=3)
    assert counts[1] == (data == 2).sum()
    assert counts[2] == (data == 7).sum()
