"""Files that no scanner wrote, opened in a session: one line each, and the session goes on."""

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume
from coralbay_viz import Session
from coralbay_viz.jobs import ThreadRunner
from tests.support.malformed_files import malformed
from tests.support.waiting import Mailbox

# Writing a gigabyte of zeros, packed, takes longer than refusing it.
LARGE = ("gz-bomb", "dicom-bomb")


@pytest.mark.slow
def test_malformed_files_are_one_line_each(tmp_path):
    mailbox, failed = Mailbox(), []
    session = Session(ThreadRunner(mailbox.deliver), model="hu-patch")
    session.failed.connect(failed.append)
    for number, (name, make) in enumerate(malformed()):
        if name in LARGE:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        path = make(folder)
        failed.clear()
        job = session.open(path)
        mailbox.run_until(lambda job=job: not job.running, timeout=30)
        mailbox.open()
        (error,) = failed
        assert isinstance(error, CoralBayError), name
        assert "\n" not in error.brief, name
        assert path.name in error.brief, name
        assert session.scans == []
    hu = np.random.default_rng(0).integers(-1000, 400, (5, 6, 7)).astype(np.int16)
    affine = np.array([[0, 0, -5.0, 10], [0, -5.0, 0, 10], [5.0, 0, 0, 0], [0, 0, 0, 1]])
    job = session.open(save_map(tmp_path / "sound.nii.gz", hu, Volume(hu, Grid(hu.shape, affine))))
    mailbox.run_until(lambda: session.scan is not None)
    np.testing.assert_array_equal(session.volume.data, hu)
    session.close()
