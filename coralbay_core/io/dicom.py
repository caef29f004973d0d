"""DICOM series with one file per slice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError
from . import checks, dicom_geometry
from .dicom_numbers import number
from .dicom_series import Slice, ignored_notes, lenient, one_line, scan_around
from .raw import RawVolume

_SMALL = 2**30  # with 16 bits more it still fits into 32
_READERS = 4
"""Slices that are read at once: files are waited for, and decoders run outside of Python's lock."""
_WAITING = 32
"""Most decoded slices that wait for their place in the stack."""


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
    for index, (image, values) in enumerate(zip(slices, _images(slices), strict=True)):
        if values.shape != (rows, columns):
            raise InputError("damaged slice", where=image.path, found=values.shape, expected=(rows, columns))
        if stack is None:  # not before: the first slice has shown that rows and columns are no lie
            stack = np.empty((len(slices), rows, columns), np.int16)
        if values.dtype != np.int16 and stack.dtype == np.int16:
            stack = stack.astype(np.float32)
        stack[index] = values
    assert stack is not None  # a series has slices
    return stack


def _images(slices: list[Slice]) -> Iterator[NDArray]:
    """HU of each slice, in order; a damaged slice raises when its turn comes."""
    with lenient(), ThreadPoolExecutor(_READERS) as readers:  # lenient once: it is a setting of all threads
        yield _pixels(slices[0].path)  # alone, since the first one imports what decodes
        for start in range(1, len(slices), _WAITING):
            yield from readers.map(_pixels, [image.path for image in slices[start : start + _WAITING]])


def _pixels(path: Path) -> NDArray:
    import pydicom

    try:
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
        if stored.dtype.itemsize <= 2 and slope == 1 and abs(intercept) < _SMALL:
            return checks.compact(np.add(stored, int(intercept), dtype=np.int32))
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
