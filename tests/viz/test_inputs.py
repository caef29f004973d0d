"""Nothing that a session writes replaces what it has read."""

import os
import shutil

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from tests.support.dicom import write_series
from tests.support.scans import cut

pytestmark = pytest.mark.forward


@pytest.fixture
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["L3"], half_mm=40)


@pytest.fixture
def worked(belly, tmp_path):
    """A session with a scan, clicks and a segmentation from files."""
    save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    session = Session(model="hu-patch")
    session.open(tmp_path / "scan.nii.gz")
    session.compute()
    session.click(tuple(session.volume.grid.center_mm))
    scan = session.scan
    strokes = np.zeros(scan.label_grid.shape, np.uint8)
    strokes[4:8, 4:8, 4:8], strokes[14:18, 14:18, 14:18] = 1, 2
    save_map(tmp_path / "strokes.nii.gz", strokes, LabelVolume(strokes, scan.label_grid))
    session.segment(load_labels(tmp_path / "strokes.nii.gz"))
    return session


def assert_refused(command, path):
    before = path.read_bytes()
    with pytest.raises(InputError, match="would overwrite the input"):
        command(path)
    assert path.read_bytes() == before


def test_no_call_writes_over_what_was_read(worked, tmp_path):
    strokes, scan = tmp_path / "strokes.nii.gz", tmp_path / "scan.nii.gz"
    protected = tmp_path / "protected.nii.gz"
    shutil.copy(strokes, protected)
    worked.protect_labels(load_labels(protected))
    os.link(scan, tmp_path / "linked.nii.gz")
    (tmp_path / "turned.nii.gz").symlink_to(strokes)
    for name in ("strokes", "scan", "protected", "linked", "turned"):
        for command in (worked.save_segmentation, worked.save_heat):
            assert_refused(command, tmp_path / f"{name}.nii.gz")
    worked.save_probe(tmp_path / "made.safetensors")
    worked.save_probe(tmp_path / "made.safetensors")  # written, not read
    worked.load_probe(tmp_path / "made.safetensors")
    assert_refused(worked.save_probe, tmp_path / "made.safetensors")
    worked.keep_query("here")
    worked.save_query("here", tmp_path / "here.query")
    worked.open_query(tmp_path / "here.query")
    assert_refused(lambda path: worked.save_query("here", path), tmp_path / "here.query")
    worked.save_heat(tmp_path / "new.nii.gz")
    worked.save_heat(tmp_path / "new.nii.gz")


def test_a_session_is_saved_again_to_its_own_file(worked, tmp_path):
    worked.save(tmp_path / "work.coralbay")
    worked.load(tmp_path / "work.coralbay")
    worked.body_fraction = 0.2
    worked.save(tmp_path / "work.coralbay")
    worked.load(tmp_path / "work.coralbay")
    assert worked.body_fraction == 0.2
    assert_refused(worked.save_heat, tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("whole", [True, False])
def test_slices_of_the_series_stay(tmp_path, whole):
    folder = tmp_path / "series"
    write_series(folder, np.zeros((5, 6, 7), np.int16))
    slices = sorted(folder.rglob("*.dcm"))
    session = Session(model="hu-patch")
    session.add(load_volume(folder if whole else slices[3]))
    for path in (slices[0], slices[3]):
        before = path.read_bytes()
        with pytest.raises(InputError, match="would overwrite the input"):
            session.controllers.workspace.write(path, lambda context, path=path: path)
        assert path.read_bytes() == before
