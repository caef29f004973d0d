"""DICOM Segmentation objects (PS3.3 A.51), by highdicom."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..util.extras import import_extra, require_extra
from .dicom_color import cielab_value
from .dicom_export import CHARACTER_SET, MANUFACTURER, SERIES_NUMBER, LabeledSeries, save, software_version

_LONG = 64
_NEED = "DICOM-SEG needs"


def write_seg(path: Path, series: LabeledSeries, about: Mapping[str, Any]) -> Path:
    """Write labels as a binary segmentation, one segment per value, numbered from 1 in the order of the values.

    Parameters
    ----------
    path : Path
    series : LabeledSeries
    about : mapping of str to str
        Entries of the algorithm identification: model, hash of the scan, parameters.
    """
    highdicom = _import()
    uid = highdicom.UID
    pixels = np.zeros(series.labels.shape, np.uint16)
    for number, value in enumerate(series.values, 1):
        pixels[series.labels == value] = number
    with warnings.catch_warnings():
        # Anonymised and synthetic series often lack what highdicom would like to know of the scanner.
        warnings.simplefilter("ignore")
        segmentation = highdicom.seg.Segmentation(
            source_images=series.images,
            pixel_array=pixels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(highdicom, series, n, v, about) for n, v in enumerate(series.values, 1)],
            series_instance_uid=uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=str(about.get("model") or MANUFACTURER)[:_LONG],
            software_versions=software_version(),
            device_serial_number="0",
            series_description="CoralBay segmentation",
            content_label="CORALBAY",
            omit_empty_frames=True,
        )
        segmentation.SpecificCharacterSet = CHARACTER_SET  # highdicom 0.24 leaves it out
        return save(segmentation, path)


def _segment(highdicom: Any, series: LabeledSeries, number: int, value: int, about: Mapping[str, Any]) -> Any:
    codes = highdicom.sr.coding.CodedConcept
    structure = codes(value="91723000", scheme_designator="SCT", meaning="Anatomical structure")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=MANUFACTURER,
        family=codes(value="123109", scheme_designator="DCM", meaning="Manual Processing")
        if not about.get("model")
        else codes(value="123110", scheme_designator="DCM", meaning="Artificial Intelligence"),
        version=software_version(),
        parameters={str(key): str(text) for key, text in about.items()} | {"label value": str(value)},
    )
    made = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=series.names[value][:_LONG],
        segmented_property_category=structure,
        segmented_property_type=structure,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=highdicom.UID(),
        tracking_id=f"label {value}",
    )
    if value in series.colors:  # highdicom 0.24 has no argument for it
        made.RecommendedDisplayCIELabValue = cielab_value(series.colors[value])
    return made


def require_highdicom() -> None:
    """Raise unless highdicom is installed."""
    require_extra("dicom", "highdicom", need=_NEED)


def _import() -> Any:
    return import_extra("dicom", "highdicom", need=_NEED)
