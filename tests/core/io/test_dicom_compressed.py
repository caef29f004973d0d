"""Compressed DICOM slices, and packages that reading them needs."""

import base64

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders import JPEG2000LosslessDecoder
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from coralbay_core.errors import MissingExtraError
from coralbay_core.io import load_volume
from tests.support.dicom import write_series
from tests.support.nifti import hu, one_line

# 8 x 8, 12 bits, JPEG-LS: no encoder is among the packages that the tests need.
JPEG_LS_8X8 = base64.b64decode(
    "/9j/9wALDAAIAAgBAREA/9oACAEBAAAAAJJSUlHRUNBAFBKSEZEQkBKAFD989eO3RIKdy4btipQjFMTJESD75EKV511xxwhFI220000QCjZZZZYYfv/Z"
)


def compress(paths, syntax):
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_slices(tmp_path, syntax):
    values = hu((3, 64, 48))
    compress(write_series(tmp_path / "s", values), syntax)
    assert np.array_equal(load_volume(tmp_path / "s").data, values)


def test_jpeg_ls(tmp_path):
    for path in write_series(tmp_path / "s", hu((2, 8, 8)), BitsStored=12, HighBit=11):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = encapsulate([JPEG_LS_8X8])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
    expected = np.arange(64).reshape(8, 8) * 37 % 2500 - 1024
    assert np.array_equal(load_volume(tmp_path / "s").data, [expected, expected])


def test_a_missing_decoder_is_named(tmp_path, monkeypatch):
    compress(write_series(tmp_path / "s", hu((3, 64, 48))), JPEG2000Lossless)
    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", {})
    with pytest.raises(MissingExtraError, match=r"JPEG 2000.*pip install .*pylibjpeg") as error:
        load_volume(tmp_path / "s")
    one_line(error)
