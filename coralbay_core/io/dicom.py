"""DICOM series with one file per slice."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError
from . import checks, dicom_geometry
from .dicom_numbers import number
from .dicom_series import Slice, ignored_notes, lenient, one_line, scan_around
from .raw import RawVolume


def read(path: Path, series: str | None = None) -> RawVolume:
    """Read a series from its folder or from any of its files."""
    scanned, info = scan_around(path, series)
    slices, notes = dicom_geometry.ordered(scanned.slices[info.uid], path)
    affine = dicom_geometry.affine(slices, path)
    data, value_notes = checks.replace_implausible(_stack(slices), path, info.modality)
    notes += ignored_notes(scanned) + value_notes
    chosen = info.key if len(scanned.series) > 1 else None
    return RawVolume(data.transpose(2, 1, 0), affine, None, info.modality, notes, chosen)


def _stack(slices: list[Slice]) -> NDArray:
    """HU as (slice, row, column): int16 until a slice needs float32."""
    rows, columns = slices[0].shape
    stack: NDArray | None = None
    for index, image in enumerate(slices):
        values = _pixels(image.path)
        if values.shape != (rows, columns):
            raise InputError("damaged slice", where=image.path, found=values.shape, expected=(rows, columns))
        if stack is None:  # not before: the first slice has shown that rows and columns are no lie
            stack = np.empty((len(slices), rows, columns), np.int16)
        if values.dtype != np.int16 and stack.dtype == np.int16:
            stack = stack.astype(np.float32)
        stack[index] = values
    assert stack is not None  # a series has slices
    return stack


def _pixels(path: Path) -> NDArray:
    import pydicom

    try:
        with lenient():
            dataset = pydicom.dcmread(path, force=True)
            if "TransferSyntaxUID" not in dataset.file_meta:
                dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            _require_decoder(dataset.file_meta.TransferSyntaxUID, path)
            stored = dataset.pixel_array
    except MissingExtraError:
        raise
    except Exception as error:  # decoders raise many kinds for damaged data
        raise InputError("cannot decode slice", where=path, found=one_line(error), hint="copy it again") from error
    return _rescaled(stored, dataset, path)


def _rescaled(stored: NDArray, dataset: Any, path: Path) -> NDArray:
    slope = number(dataset, "RescaleSlope", path, 1) or 1.0
    intercept = number(dataset, "RescaleIntercept", path, 0)
    if slope.is_integer() and intercept.is_integer():
        return checks.compact(stored.astype(np.int64) * int(slope) + int(intercept))
    return (stored * slope + intercept).astype(np.float32)


def _require_decoder(syntax: Any, path: Path) -> None:
    from pydicom.pixels import get_decoder

    if not syntax.is_compressed:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        hint = "decompress it first"
        raise InputError("unknown DICOM compression", where=path, found=syntax.name, hint=hint) from None
    if not available:
        raise MissingExtraError(
            f"no decoder for {syntax.name}",
            where=path,
            hint="pip install --force-reinstall pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg",
        )
