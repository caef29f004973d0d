"""Faults under a running session: caches that vanish, full disks, memory that is not there; nothing painted is lost."""

import errno
import shutil

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.io import save_map
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.jobs import ThreadRunner
from coralbay_viz.persistence import session_file
from coralbay_viz.tasks import features as feature_tasks
from tests.support.scans import cut
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward

MODEL = "hu-patch"


@pytest.fixture(scope="module")
def belly(phantom, tmp_path_factory):
    """A scan with a file, so that it can be saved."""
    part = cut(phantom.volume, phantom.landmarks["L3"], 40)
    return save_map(tmp_path_factory.mktemp("scan") / "scan.nii.gz", part.data, part)


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CORALBAY_CACHE", str(folder))
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))
    return folder


def strokes_on(scan) -> LabelVolume:
    data = np.zeros(scan.label_grid.shape, np.uint8)
    data[4:8, 4:8, 4:8], data[14:18, 14:18, 14:18] = 1, 2
    return LabelVolume(data, scan.label_grid)


def test_a_cache_that_is_deleted_under_a_session(own_cache, belly):
    session = Session(model=MODEL)
    session.open(belly)
    session.compute()
    place = session.volume.grid.center_mm
    session.click(place)
    before = session.heat.heat.data.copy()
    shutil.rmtree(own_cache)
    session.click(place)
    session.segment(strokes_on(session.scan))
    assert session.segmentation is not None
    session.compute()  # and a way on: the features come again
    session.clear_clicks()
    session.click(place)
    np.testing.assert_allclose(session.heat.heat.data, before, atol=1e-6)


def test_a_full_disk_while_the_state_is_saved(own_cache, belly, tmp_path, monkeypatch):
    failed = []
    mailbox = Mailbox()
    session = Session(ThreadRunner(mailbox.deliver), model=MODEL, autosave=True)
    session.failed.connect(failed.append)
    job = session.open(belly)
    mailbox.run_until(lambda: not job.running)
    scan = session.scan
    write = session_file.write_tensors

    def full(path, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session_file, "write_tensors", full)
    session.paint(strokes_on(scan))
    mailbox.run_until(lambda: failed)
    assert isinstance(failed[0], CoralBayError)
    assert "No space left" in str(failed[0])
    session.paint(strokes_on(scan))
    mailbox.run_until(lambda: not session.controllers.workspace.runner.running())
    assert len(failed) == 1  # not once per change
    np.testing.assert_array_equal(scan.strokes.now.labels.data, strokes_on(scan).data)
    monkeypatch.setattr(session_file, "write_tensors", write)  # there is space again
    job = session.save(tmp_path / "work.coralbay")
    mailbox.run_until(lambda: not job.running)
    assert job.state == "done"
    session.paint(strokes_on(scan))
    mailbox.run_until(lambda: session.files._autosave.path.exists())
    assert len(failed) == 1
    session.close()


def test_features_that_need_more_memory_than_there_is(own_cache, belly, monkeypatch):
    session = Session(model=MODEL)
    session.open(belly)
    session.paint(strokes_on(session.scan))
    real = feature_tasks.compute_features

    def too_large(*args, **kwargs):
        raise MemoryError("Unable to allocate 14.9 GiB")

    monkeypatch.setattr("coralbay_viz.controllers.features.compute_features", too_large)
    with pytest.raises(CoralBayError, match="out of memory"):
        session.compute()
    assert session.features is None
    assert len(session.scan.strokes.now.classes) == 2
    assert session.controllers.features.state_of(session.scan) == "failed"
    monkeypatch.setattr("coralbay_viz.controllers.features.compute_features", real)
    session.compute()
    session.fit()
    assert session.segmentation is not None
