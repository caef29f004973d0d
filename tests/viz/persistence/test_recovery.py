"""Sessions that are recovered after a crash."""

import os
import signal
import subprocess
import sys

import pytest

from coralbay_core.io import load_volume
from coralbay_viz import Session
from coralbay_viz.jobs import InlineRunner, ThreadRunner
from coralbay_viz.persistence import session_file
from coralbay_viz.persistence.autosave import Autosave, lost_sessions
from tests.support import ROOT
from tests.support.sessions import MODEL, assert_same, made, places
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.forward


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


@pytest.mark.slow
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


@pytest.mark.parametrize("old", ["alive.lock", ".half-written"])
def test_a_session_that_was_killed_before_its_first_copy_leaves_nothing(files, old):
    dead, living = Autosave(), Autosave()
    for autosave in (dead, living):
        (autosave.folder / old).touch()
        os.utime(autosave.folder / old, (0, 0))
    dead._alive.release()  # as the system does when a process is gone
    session = Session(model=MODEL, autosave=True)
    session.open(files[0])
    assert not dead.folder.exists()
    assert living.folder.exists()
    session.close()
    living.close()


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
