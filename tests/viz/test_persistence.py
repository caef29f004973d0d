"""Sessions that are kept: saved, loaded, recovered after a crash; and what a session asks beyond clicks."""

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.io import load_volume, save_map
from coralbay_core.spatial import LabelVolume
from coralbay_core.util.tensor_file import read_tensors, write_tensors
from coralbay_viz import Session
from coralbay_viz.jobs import InlineRunner, ThreadRunner
from coralbay_viz.persistence import session_file
from coralbay_viz.persistence.autosave import lost_sessions
from coralbay_viz.persistence.save_load import MissingModelError
from tests.support import ROOT
from tests.support.scans import cut
from tests.support.sessions import MODEL, made, places
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Keep the user's autosaves out of the tests, and the tests' out of the user's."""
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["L3"])


@pytest.fixture
def files(tmp_path, belly):
    """Two scans below the folder that sessions are saved in."""
    folder = tmp_path / "data"
    other = type(belly)((belly.data + 5).astype(np.int16), belly.grid, "other")
    return [save_map(folder / "scans" / f"{name}.nii.gz", v.data, v) for name, v in (("a", belly), ("b", other))]


def assert_same(found: Session, expected: Session) -> None:
    assert [scan.name for scan in found.scans] == [scan.name for scan in expected.scans]
    assert found.scans.index(found.scan) == expected.scans.index(expected.scan)
    assert (found.model, found.body_fraction) == (expected.model, expected.body_fraction)
    assert (found.weights, found.prior_mm) == (expected.weights, expected.prior_mm)
    assert list(found.queries) == list(expected.queries)
    for new, old in zip(found.scans, expected.scans, strict=True):
        assert new.clicks.now == old.clicks.now
        assert new.cursor_mm == old.cursor_mm
        np.testing.assert_array_equal(new.heat.heat.data, old.heat.heat.data)
        np.testing.assert_array_equal(new.segmentation.data, old.segmentation.data)
    new, old = found.scans[0], expected.scans[0]
    assert found.components == expected.components
    np.testing.assert_array_equal(found.basis.mean, expected.basis.mean)
    np.testing.assert_array_equal(new.strokes.now.labels.data, old.strokes.now.labels.data)
    assert new.strokes.now.names == old.strokes.now.names
    np.testing.assert_array_equal(new.pca.shown, old.pca.shown)
    np.testing.assert_allclose(new.symmetry.counterpart_mm, old.symmetry.counterpart_mm)
    assert found.scans[1].origin is found.scans[0]
    assert found.linked is found.scans[1]
    np.testing.assert_allclose(found.linked.matched.position_mm, expected.linked.matched.position_mm)
    assert found.scans[1].follow_up_rows == expected.scans[1].follow_up_rows


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


@pytest.mark.slow
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


CRASH = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.support.sessions import made
from coralbay_core.io import load_volume
files = [Path(p) for p in sys.argv[1:]]
session = made(files, load_volume(files[0]), autosave=True)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")
@pytest.mark.slow
def test_a_killed_session_is_recovered(files, belly, tmp_path):
    script = CRASH.format(root=str(ROOT))
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, files)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "ready"
        assert lost_sessions() == []  # it lives
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    (lost,) = Session.lost()
    assert lost.scans == ("a", "b")
    session = Session()
    session.recover(lost)
    assert_same(session, made(files, load_volume(files[0])))
    assert Session.lost() == []


def test_a_closed_session_leaves_nothing_to_recover(files, belly, tmp_path):
    session = Session(model=MODEL, autosave=True)
    session.open(files[0])
    session.click(places(belly, 0.5)[0])
    saved = session.files._autosave.path
    assert session_file.read(saved).scans[0].parts["clicks"]["positive"] == [list(places(belly, 0.5)[0])]
    session.undo()
    assert "clicks" not in session_file.read(saved).scans[0].parts
    session.close()
    assert not saved.exists()
    assert lost_sessions() == []


def test_a_lost_session_is_kept_until_another_copy_is_written(files, belly, tmp_path):
    session = made(files, belly, autosave=True)
    session.files._autosave._alive.release()  # as the system does when a process is gone
    (lost,) = Session.lost()
    mailbox = Mailbox()
    threaded = Session(ThreadRunner(mailbox.deliver), autosave=True)
    threaded.recover(lost)
    mailbox.run_until(lambda: threaded.scans)
    assert lost.path.exists()
    mailbox.run_until(lambda: not lost.path.exists())
    parts = [set(scan.parts) for scan in session_file.read(threaded.files._autosave.path).scans]
    assert parts == [set(scan.parts) for scan in session.files._snapshot().state().scans]
    threaded.close()


def test_a_lost_session_is_kept_where_bringing_it_back_fails(files, belly):
    session = made(files, belly, autosave=True)
    session.files._autosave._alive.release()
    (lost,) = Session.lost()
    mailbox = Mailbox()
    threaded = Session(ThreadRunner(mailbox.deliver), autosave=True)

    def fail(scan):
        raise RuntimeError("no room on the screen")

    threaded.clicks_changed.connect(fail)
    job = threaded.recover(lost)
    with pytest.raises(Exception, match="no room on the screen"):
        mailbox.run_until(lambda: not job.running)
    assert job.state == "failed"
    assert lost.path.exists()
    threaded.close()


def test_the_scan_that_is_looked_at_stays_while_others_come_back(files, belly, tmp_path):
    path = made(files, belly).save(tmp_path / "kept.coralbay").result
    mailbox = Mailbox()
    session = Session(ThreadRunner(mailbox.deliver))
    session.load(path)
    mailbox.run_until(lambda: session.scans)
    first, second = session.scans
    session.activate(second)
    changed = []
    session.scan_changed.connect(changed.append)
    mailbox.run_until(lambda: first.pca is not None and first.symmetry is not None and first.probe is not None)
    mailbox.run_until(lambda: second.probe is not None)
    assert not changed
    session.close()


def test_what_was_taken_back_does_not_come_back(files, belly, tmp_path):
    session = Session()
    session.load(made(files, belly).save(tmp_path / "kept.coralbay").result)
    session.activate(session.scans[0])
    session.undo_strokes()
    assert session.scan.probe is None
    again = Session()
    again.load(session.save(tmp_path / "again.coralbay").result)
    assert again.scans[0].probe is None
    assert again.scans[0].pca is not None


def test_many_changes_are_one_copy(files, tmp_path):
    mailbox, started = Mailbox(), []
    session = Session(ThreadRunner(mailbox.deliver), model=MODEL, autosave=True)
    session.job_started.connect(lambda job: started.append(job.kind))
    session.open(files[0])
    mailbox.run_until(lambda: session.scans)
    steps = [0.001 * step for step in range(1, 101)]
    for session.body_fraction in steps:
        pass
    mailbox.run_until(lambda: session.files._autosave is not None and session.files._autosave.path.exists())
    assert session_file.read(session.files._autosave.path).about["settings"]["share"] == steps[-1]
    assert started.count("autosave") < 10
    session.close()
    assert lost_sessions() == []


def test_a_session_that_is_closed_saves_nothing_more(files, tmp_path):
    class Waiting(InlineRunner):
        waits = ()

        def later(self, seconds, call):
            self.waits = (*self.waits, call)
            return lambda: setattr(self, "waits", ())

    runner = Waiting()
    session = Session(runner, model=MODEL, autosave=True)
    session.open(files[0])
    assert len(runner.waits) == 1
    session.close()
    assert runner.waits == ()
    assert lost_sessions() == []


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


def test_no_place_for_copies_is_said_once(files, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "file"))
    session = Session(model=MODEL, autosave=True)
    failed = []
    session.failed.connect(failed.append)
    session.open(files[0])
    session.body_fraction = 0.2
    (error,) = failed
    assert "CORALBAY_STATE" in str(error)
    session.close()


def test_moved_and_changed_scans(files, belly, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    (tmp_path / "saved").mkdir()  # scans beside the session are found
    path = session.save(tmp_path / "saved" / "work.coralbay").result
    away = tmp_path / "away" / "a.nii.gz"
    away.parent.mkdir()
    files[0].rename(away)
    again = Session()
    with pytest.raises(
        MissingFileError, match=r"a scan of the session was not found - scan 1 - .*load\(path, scans=\[FOLDER\]\)"
    ):
        again.load(path)
    assert again.scans == []
    again.load(path, scans=[tmp_path / "away"])
    assert again.volume.path == away
    save_map(files[0], belly.data + 1, belly)
    away.unlink()
    with pytest.raises(InputError, match="has changed"):
        Session().load(path, scans=[files[0]])
    assert len(again.scans) == 1  # what was open stays open


def test_unknown_and_other_models(files, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    path = session.save(tmp_path / "work.coralbay").result
    with pytest.raises(InputError, match="other weights"):
        Session().load(path, model="hu-patch")
    arrays, about = read_tensors(path, "session", 1)
    about["session"]["model"] = {"name": "mine.safetensors", "is_file": True}
    write_tensors(path, "session", 1, arrays, about)
    with pytest.raises(InputError, match=r"model was not found .* load\(path, model=PATH\)"):
        Session().load(path)


@pytest.mark.parametrize("model", ["coralbay-mini:compact", "coralbay-mini:whole"])
def test_a_variant_of_a_model_comes_back(files, tmp_path, model):
    session = Session(model=model)
    session.open(files[0])
    path = session.save(tmp_path / "work.coralbay").result
    again = Session(model=MODEL)
    again.load(path)
    assert again.model == model


def test_weights_of_ones_own_are_found_or_asked_for(files, tmp_path, monkeypatch):
    weights = tmp_path / "mine.safetensors"
    weights.touch()
    session = Session(model=f"{weights}:whole")
    session.open(files[0])
    path = session.save(tmp_path / "work.coralbay").result
    again = Session(model=MODEL)
    again.load(path)
    assert again.model == session.model
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "another machine"))
    elsewhere = Session(model=MODEL)
    with pytest.raises(MissingModelError, match=r"mine.safetensors .* load\(path, model=PATH\)"):
        elsewhere.load(path)
    elsewhere.load(path, model=weights)
    assert elsewhere.model == session.model


# --- hostile files ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(files, belly, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    data = np.zeros(session.scan.label_grid.shape, np.uint8)
    data[8:12, 8:12, 8:12], data[20:24, 20:24, 20:24] = 2, 7
    session.segment(LabelVolume(data, session.scan.label_grid))
    session.compute_pca()
    session.click(places(belly, 0.5)[0])
    return session.save(tmp_path / "data" / "work.coralbay").result


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../secret.nii.gz", "a/../../b", "C:\\scan.nii", "\\\\host\\scan", "C:x", "a\0b", 7]
)
def test_paths_that_leave_the_folder_are_refused(saved, path):
    arrays, about = read_tensors(saved, "session", 1)
    about["scans"][0]["path"] = path
    write_tensors(saved, "session", 1, arrays, about)
    with pytest.raises(InputError) as error:
        Session().load(saved)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30))
def test_a_path_that_passes_stays_below_its_folder(text):
    from pathlib import Path

    try:
        session_file.require_relative(text)
    except InputError:
        return
    assert (Path("/base") / text).resolve().is_relative_to("/base")


def spoil_scan(key, value):
    return lambda arrays, about: about["scans"][0].__setitem__(key, value)


def spoil_part(part, key, value):
    return lambda arrays, about: about["scans"][0]["parts"][part].__setitem__(key, value)


def spoil_array(name, value):
    return lambda arrays, about: arrays.__setitem__(name, np.array(value))


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_scan("digest", "../../x"),
        spoil_scan("file", "a/b"),
        spoil_scan("series", "1.2; rm"),
        spoil_scan("parts", []),
        spoil_part("clicks", "positive", [[1, 2]]),
        spoil_part("clicks", "positive", [[float("1e400"), 0, 0]])
        if False
        else spoil_part("clicks", "positive", "far"),
        spoil_part("clicks", "positive", [[1e9, 0, 0]]),
        spoil_part("strokes", "shape", [10**6, 10**6, 10**6]),
        spoil_part("strokes", "dtype", "O"),
        spoil_part("strokes", "names", ["x"]),
        spoil_array("0/strokes/index", [10**12] * 128),
        spoil_array("0/strokes/index", [-1] * 128),
        spoil_array("0/strokes/value", [10**6] * 128),
        spoil_array("0/strokes/value", [1]),
        spoil_array("7/strokes/value", [1]),
        spoil_array("stray", [1]),
        lambda arrays, about: about.pop("scans"),
        lambda arrays, about: about.__setitem__("session", 7),
        lambda arrays, about: about["session"]["settings"].__setitem__("share", "x"),
        lambda arrays, about: about["session"]["settings"].__setitem__("weights", {"4": -1}),
        lambda arrays, about: about["session"].__setitem__("model", {}),
        lambda arrays, about: about["session"]["settings"].__setitem__("components", [0, 1, 10**9]),
        lambda arrays, about: about["session"].__setitem__("basis", {"model": "x"}),
        spoil_part("probe", "form", "linear"),
        spoil_part("pca", "method", "x"),
    ],
)
def test_spoiled_sessions_are_refused_in_one_line(saved, spoil):
    arrays, about = read_tensors(saved, "session", 1)
    spoil(arrays, about)
    write_tensors(saved, "session", 1, arrays, about)
    session = Session()
    with pytest.raises(CoralBayError) as error:
        session.load(saved)
    assert "\n" not in str(error.value)
    assert session.scans == []


def test_files_that_are_no_session_are_refused(saved, tmp_path):
    good = saved.read_bytes()
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    lying = json.loads(json.dumps(header))
    lying["0/strokes/index"]["data_offsets"] = [0, 10**10]
    text = json.dumps(lying).encode()
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("session.json", b"\0" * 50_000_000)
    contents = {
        "pickle": pickle.dumps(print),
        "zip bomb": bomb.read_bytes(),
        "lying offsets": struct.pack("<Q", len(text)) + text + good[8 + length :],
        "cut": good[:-1],
        "header beyond the end": struct.pack("<Q", 2**63) + good[8:],
        "nothing": b"",
    }
    for name, content in contents.items():
        saved.write_bytes(content)
        with pytest.raises(InputError) as error:
            Session().load(saved)
        assert "\n" not in str(error.value), name


# --- asking -------------------------------------------------------------------------------------------------------


def test_a_click_in_one_scan_lights_up_the_other(files, belly):
    session = Session(model=MODEL)
    for path in files:
        session.open(path)
        session.compute()
    first, second = session.scans
    assert session.link_heat(second, first) is None  # nothing is clicked yet
    changed = []
    session.heat_changed.connect(changed.append)
    session.activate(first)
    session.click(places(belly, 0.5)[0])
    assert {scan.name for scan in changed} == {"a", "b"}
    assert second.heat.clicks == first.clicks.now
    session.clear_clicks()
    assert second.heat is None
    session.undo()
    session.remove(first)
    assert second.origin is None
    assert second.heat is None
    with pytest.raises(CoralBayError, match="not open"):
        session.link_heat(second, first)


def test_weights_prior_and_saved_queries(files, belly, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    here, there = places(belly, 0.5, 0.3)
    session.click(here)
    plain = session.heat.heat
    session.weights = {4: 1}
    assert dict(session.heat.heat.weights) == {4: 1.0}
    session.weights = "auto"
    assert sum(session.heat.heat.weights.values()) == pytest.approx(1)
    session.weights = None
    np.testing.assert_array_equal(session.heat.heat.data, plain.data)
    for wrong in ({}, {4: -1}, {4: 0}, "often", 3):
        with pytest.raises(InputError, match="scale weights"):
            session.weights = wrong
    session.keep_query("here")
    session.clear_clicks()
    session.use_queries("here")
    np.testing.assert_allclose(session.heat.heat.data, plain.data, atol=1e-6)
    session.click(there)
    both = session.heat.heat
    assert both.at(there)[0] > plain.at(there)[0] + 0.1
    assert (both.data >= plain.data - 1e-5).all()
    session.rename_query("here", "center")
    assert [query.name for query in session.scan.queries_in_use] == ["center"]
    path = session.save_query("center", tmp_path / "c.query")
    session.remove_query("center")
    assert session.scan.queries_in_use == ()
    assert session.open_query(path).name == "center"
    session.keep_query("there")
    assert session.merge_queries(["center", "there"], "all").size == 2
    with pytest.raises(CoralBayError, match="no query named"):
        session.use_queries("nothing")
    with pytest.raises(InputError, match="name is taken"):
        session.rename_query("there", "center")


def test_other_weights_put_saved_queries_out_of_use(files, belly):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    session.click(places(belly, 0.5)[0])
    session.keep_query("here")
    session.use_queries("here")
    session.model = "hu-patch"
    session.compute()
    assert session.scan.queries_in_use == ()
    assert session.heat is not None
    with pytest.raises(InputError, match="another model"):
        session.use_queries("here")
