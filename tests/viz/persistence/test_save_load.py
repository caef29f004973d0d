"""Sessions that are saved and loaded: the same results come back."""

import os

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import LabelVolume
from coralbay_core.util.tensor_file import read_tensors, write_tensors
from coralbay_viz import Session
from coralbay_viz.jobs import ThreadRunner
from tests.support.sessions import MODEL, assert_same, made, places
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward


@pytest.mark.slow
def test_a_saved_session_gives_the_same_results(files, belly, tmp_path):
    session = made(files, belly)
    path = session.save(tmp_path / "data" / "work.coralbay").result
    text = path.read_bytes()
    assert str(tmp_path).encode() not in text
    assert path.stat().st_size < 100_000
    again = Session()
    again.load(path)
    assert_same(again, session)
    # The folder as a whole may move, to another machine, too.
    (tmp_path / "data").rename(tmp_path / "moved")
    os.environ["CORALBAY_STATE"] = str(tmp_path / "another")
    elsewhere = Session()
    elsewhere.load(tmp_path / "moved" / "work.coralbay")
    assert_same(elsewhere, session)


def test_the_state_survives_with_work_on_threads(files, belly, tmp_path):
    session = made(files, belly)
    path = session.save(tmp_path / "work.coralbay").result
    mailbox = Mailbox()
    threaded = Session(ThreadRunner(mailbox.deliver))
    threaded.load(path)
    mailbox.run_until(
        lambda: (
            len(threaded.scans) == 2
            and all(s.heat is not None and s.segmentation is not None for s in threaded.scans)
            and threaded.scans[0].pca is not None
            and threaded.scans[0].symmetry is not None
            and threaded.scans[1].matched is not None
        ),
    )
    mailbox.open()
    assert_same(threaded, session)
    threaded.close()


def test_what_waits_for_features_is_not_lost(files, belly, tmp_path):
    session = made(files, belly)
    path = session.save(tmp_path / "work.coralbay").result
    mailbox = Mailbox()
    threaded = Session(ThreadRunner(mailbox.deliver))
    threaded.load(path)
    mailbox.run_until(lambda: threaded.scans)
    first, second = threaded.scans
    assert first.features is None
    assert first.strokes.now.names == {7: "bone"}  # what was painted needs no features
    assert second.follow_up_rows == session.scans[1].follow_up_rows
    assert threaded.save(tmp_path / "again.coralbay").wait(120)
    threaded.close()
    again = Session()
    again.load(tmp_path / "again.coralbay")
    assert_same(again, session)


def test_strokes_need_no_features(files, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    data = np.zeros(session.scan.label_grid.shape, np.uint8)
    data[8:12, 8:12, 8:12] = 2
    session.paint(LabelVolume(data, session.scan.label_grid))
    path = session.save(tmp_path / "work.coralbay").result
    again = Session()
    again.load(path)
    np.testing.assert_array_equal(again.scan.strokes.now.labels.data, data)


def test_another_model_may_be_chosen_before_saving(files, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    session.model = "hu-patch"
    path = session.save(tmp_path / "work.coralbay").result
    again = Session()
    again.load(path)
    assert again.model == "hu-patch"


@pytest.mark.slow  # umap compiles for half a minute in each process
def test_a_umap_comes_back(files, tmp_path):
    pytest.importorskip("umap")
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    session.compute_umap((1, 0, 2))
    own = session.save(tmp_path / "own.coralbay").result
    session.lock_basis()
    locked = session.save(tmp_path / "locked.coralbay").result
    for path in (own, locked):
        again = Session()
        again.load(path)
        assert again.pca.method == "umap"
        np.testing.assert_array_equal(again.pca.shown, session.pca.shown)
    np.testing.assert_array_equal(again.umap.embedded, session.umap.embedded)


def test_files_of_before_open(files, belly, tmp_path):
    session = made(files, belly)
    path = session.save(tmp_path / "work.coralbay").result
    arrays, about = read_tensors(path, "session", 1)
    for name in ("components", "umap_components"):
        del about["session"]["settings"][name]
    del about["session"]["basis"]
    for scan in about["scans"]:
        scan["parts"].pop("probe")
    about["scans"][0]["parts"]["pca"] = {}
    kept = {name: array for name, array in arrays.items() if name.split("/")[1] not in ("basis", "probe")}
    write_tensors(path, "session", 1, kept, about)
    again = Session()
    again.load(path)
    assert again.pca.method == "pca"
    np.testing.assert_array_equal(again.segmentation.data, session.segmentation.data)


def test_loading_again_and_again_leaves_no_listeners(files, belly, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.click(places(belly, 0.5)[0])
    path = session.save(tmp_path / "work.coralbay").result
    session.load(path)
    listeners = len(session.features_changed)
    session.load(path)
    assert len(session.features_changed) == listeners


def test_scans_without_a_file_are_left_out(files, belly, tmp_path):
    session = Session(model=MODEL, autosave=True)
    said = []
    session.message.connect(said.append)
    session.open(files[0])
    session.add(belly)
    session.open(files[1])
    first, _, last = session.scans
    session.click(places(belly, 0.5)[0])
    session.link_heat(first, last)
    session.body_fraction = 0.2
    (line,) = said
    assert belly.name in line
    assert "no file" in line
    again = Session()
    again.load(session.files._autosave.path)
    assert [scan.name for scan in again.scans] == ["a", "b"]
    assert again.scan is again.scans[1]
    assert again.scans[0].origin is again.scans[1]
    assert again.clicks == last.clicks.now
    with pytest.raises(CoralBayError, match="scan has no file"):
        session.save(tmp_path / "work.coralbay")
    session.close()
