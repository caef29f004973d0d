"""Radiotherapy structure sets (PS3.3 A.19): outlines of labels, slice by slice."""

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dicom_export import CHARACTER_SET, MANUFACTURER, SERIES_NUMBER, LabeledSeries, save, software_version

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_RT_STUDY = "1.2.840.10008.3.1.2.3.1"
_COLORS = ((255, 80, 80), (80, 200, 255), (255, 200, 60), (120, 230, 120), (220, 120, 255), (255, 150, 200))
_LPS = np.array([-1.0, -1.0, 1.0])
_TEXT = 1024


def write_rtstruct(path: Path, series: LabeledSeries, about: Mapping[str, Any]) -> Path:
    """Write the outlines of labels as a structure set, one region of interest per value.

    Outlines run halfway between the centers of voxels inside and outside, so that filling them restores the
    labels. A hole is joined to the outline around it by a channel of zero width, as PS3.3 C.8.8.6 requires.
    """
    import pydicom

    dataset = _root(pydicom, series, about)
    for number, value in enumerate(series.values, 1):
        roi = pydicom.Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = series.images[0].FrameOfReferenceUID
        roi.ROIName = series.names[value][:64]
        roi.ROIDescription = f"label {value}"
        roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
        dataset.StructureSetROISequence.append(roi)
        contours = pydicom.Dataset()
        contours.ReferencedROINumber = number
        default = _COLORS[(number - 1) % len(_COLORS)]
        contours.ROIDisplayColor = list(series.colors.get(value, default))
        contours.ContourSequence = [_contour(pydicom, series, *found) for found in _outlines(series, value)]
        dataset.ROIContourSequence.append(contours)
        observation = pydicom.Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType = observation.ROIInterpreter = ""
        dataset.RTROIObservationsSequence.append(observation)
    return save(dataset, path)


def _root(pydicom: Any, series: LabeledSeries, about: Mapping[str, Any]) -> Any:
    image = series.images[0]
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian  # explicit lengths end at 64 kB
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = _RTSTRUCT
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.Modality = "RTSTRUCT"
    dataset.Manufacturer, dataset.SoftwareVersions = MANUFACTURER, software_version()
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.InstanceNumber = (
        pydicom.uid.generate_uid(),
        SERIES_NUMBER,
        1,
    )
    dataset.SeriesDescription = "CoralBay structures"
    dataset.OperatorsName = ""
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        setattr(dataset, keyword, image.get(keyword, ""))
    for keyword in ("StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = image.FrameOfReferenceUID, ""
    dataset.StructureSetLabel = "CoralBay"
    dataset.StructureSetDescription = json.dumps(dict(about))[:_TEXT]
    dataset.StructureSetDate = dataset.StructureSetTime = ""
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(pydicom, series)]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    dataset.RTROIObservationsSequence = []
    return dataset


def _frame_of_reference(pydicom: Any, series: LabeledSeries) -> Any:
    image = series.images[0]
    of_series, study, frame = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    of_series.SeriesInstanceUID = image.SeriesInstanceUID
    of_series.ContourImageSequence = [_reference(pydicom, one) for one in series.images]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _RT_STUDY, image.StudyInstanceUID
    study.RTReferencedSeriesSequence = [of_series]
    frame.FrameOfReferenceUID = image.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(pydicom: Any, image: Any) -> Any:
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return reference


def _outlines(series: LabeledSeries, value: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Slice number and outline (N, 2), column and row, of each part of a label."""
    import contourpy

    mask = series.labels == value
    for number in np.flatnonzero(mask.any((1, 2))):
        # A frame of nothing closes what touches the edge of the image.
        plane = np.pad(mask[number].astype(np.float64), 1)
        generator = contourpy.contour_generator(z=plane, fill_type=contourpy.FillType.OuterOffset)
        points, offsets = generator.filled(0.5, np.inf)
        for outline, parts in zip(points, offsets, strict=True):
            rings = [outline[a : b - 1] - 1 for a, b in pairwise(parts)]
            yield int(number), _joined(rings)


def _joined(rings: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join an outline and its holes to one closed line."""
    from scipy.spatial.distance import cdist

    line = rings[0]
    for hole in rings[1:]:
        away = cdist(line, hole, "sqeuclidean")
        i, j = np.unravel_index(int(away.argmin()), away.shape)
        line = np.concatenate([line[: i + 1], hole[j:], hole[: j + 1], line[i:]])
    return line


def _contour(pydicom: Any, series: LabeledSeries, number: int, outline: NDArray[np.float64]) -> Any:
    index = np.column_stack([outline, np.full(len(outline), number)])
    affine = series.source.affine
    lps = (index @ affine[:3, :3].T + affine[:3, 3]) * _LPS
    contour = pydicom.Dataset()
    contour.ContourImageSequence = [_reference(pydicom, series.images[number])]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(lps)
    # Encoded here, in the transfer syntax of `_root`: pydicom validates number by number, which took most of the time.
    data = "\\".join([f"{v:.4f}" for v in lps.ravel().tolist()]).encode("ascii")
    data += b" " * (len(data) % 2)  # values have even lengths
    tag = pydicom.tag.Tag("ContourData")
    contour[tag] = pydicom.dataelem.RawDataElement(tag, "DS", len(data), data, 0, True, True)
    contour.set_original_encoding(True, True, pydicom.charset.default_encoding)  # or it would be decoded again
    return contour
