"""Small DICOM series made from nothing, for tests of the reader."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_series(
    folder: Path,
    hu: np.ndarray,
    *,
    origin=(-10.0, -20.0, -30.0),
    step=(0.0, 0.0, 3.0),
    orientation=AXIAL,
    spacing=(0.8, 0.7),
    seed=0,
    **changes,
) -> list[Path]:
    """Write `hu`, (slice, row, column), one file a slice, with names that say nothing of the order.

    `origin` and `step` are DICOM's LPS mm, `spacing` is (between rows, between columns). `changes` overrides elements.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = changes.pop("SeriesInstanceUID", generate_uid())
    numbers = np.random.default_rng(seed).permutation(len(hu))
    paths = []
    for index, image in enumerate(hu):
        dataset = slice_dataset(image, np.add(origin, np.multiply(step, index)), orientation, spacing)
        dataset.SeriesInstanceUID = uid
        dataset.InstanceNumber = int(numbers[index])
        for name, value in changes.items():
            setattr(dataset, name, value)
        paths.append(folder / f"image_{numbers[index]:03d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def slice_dataset(image: np.ndarray, position, orientation, spacing) -> pydicom.Dataset:
    """One CT slice, stored as unsigned numbers with an intercept of -1024, with a patient's name in it."""
    dataset = _dataset(CTImageStorage, "CT")
    dataset.PatientName = "Secret^Person"
    dataset.PatientID = "SECRET-ID"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = image.shape
    dataset.ImagePositionPatient = [f"{v:.10g}" for v in position]
    dataset.ImageOrientationPatient = [f"{v:.10g}" for v in orientation]
    dataset.PixelSpacing = [f"{v:.10g}" for v in spacing]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    dataset.PixelData = (np.asarray(image, int) + 1024).astype("<u2").tobytes()
    return dataset


def write_rtstruct(path: Path) -> Path:
    """An object without an image, as planning systems leave them beside a series."""
    dataset = _dataset(RTStructureSetStorage, "RTSTRUCT")
    dataset.SeriesInstanceUID = generate_uid()
    dataset.save_as(path, enforce_file_format=True)
    return path


def _dataset(storage: str, modality: str) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality = modality
    return dataset
