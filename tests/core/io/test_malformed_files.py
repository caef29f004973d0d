"""More than 60 malformed files: each is one line of error, in seconds and in little memory."""

import os
import resource
import subprocess
import sys
import time

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from coralbay_core.errors import CoralBayError
from coralbay_core.io import load_volume
from tests.support import ROOT
from tests.support.dicom import write_series
from tests.support.malformed_files import hu, malformed

MAKERS = dict(malformed())
# Writing a gigabyte of zeros, packed, takes longer than refusing it.
SLOW = {"gz-bomb", "dicom-bomb"}
MOST_SECONDS = 5
MOST_BYTES = 400_000_000


def test_there_are_enough():
    assert len(MAKERS) > 60


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MAKERS]
)
def test_malformed_files_are_one_line(tmp_path, name):
    path = MAKERS[name](tmp_path)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(CoralBayError) as error:
        load_volume(path)
    took = time.monotonic() - start
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)
    assert took < MOST_SECONDS
    assert grown < MOST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["nii-pipe", "mha-NDims-100", "nii-sizes-of-32767", "dicom-RescaleSlope-abc", "zip-bomb"]
)
def test_the_command_line_ends_with_2(tmp_path, name):
    path = MAKERS[name](tmp_path)
    command = [sys.executable, "-c", "from coralbay_core.cli import main; main()", "info", str(path)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=os.environ | {"COLUMNS": "500"}
    )
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "Traceback" not in ended.stderr


def test_sound_deflated_series_are_read(tmp_path):
    values = hu((3, 7, 8))
    for path in write_series(tmp_path / "s", values):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path)
    assert np.array_equal(load_volume(tmp_path / "s").data, values)
