"""What was asked before something changed never lands on what there is now, and what is over is not kept."""

import gc
import weakref

import numpy as np
import pytest

from coralbay_core.io import save_map
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.jobs import InlineRunner, Task
from tests.support.runners import HoldingRunner
from tests.support.scans import cut

pytestmark = pytest.mark.forward

# What is asked for, where it would land, and whether it is asked of a probe.
RESULTS = {
    "pca": (lambda s: s.compute_pca(), lambda scan: scan.pca, False),
    "segmentation": (lambda s: s.fit(), lambda scan: scan.segmentation, False),
    "clusters": (lambda s: s.compute_clusters(4), lambda scan: scan.clusters, False),
    "scatter": (lambda s: s.compute_scatter(), lambda scan: scan.scatter, False),
    "symmetry": (lambda s: s.mirror(s.volume.grid.to_world((15, 15, 15))), lambda scan: scan.symmetry, False),
    "statistics": (lambda s: s.compute_statistics(), lambda scan: scan.statistics, True),
    "suggestion": (lambda s: s.suggest(3), lambda scan: scan.suggestions, True),
    "scores": (lambda s: s.show_scores(), lambda scan: scan.scores, True),
}


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"])


def painted(volume, names=None):
    data = np.zeros(volume.shape, np.uint8)
    data[::3, ::3, ::3] = 1 + (volume.data > 20)[::3, ::3, ::3]
    return LabelVolume(data, volume.grid, names=names or {2: "dense"})


@pytest.fixture
def session(belly):
    session = Session(HoldingRunner(), model="hu-patch")
    session.add(belly)
    session.compute()
    session.failed.connect(pytest.fail)
    return session


@pytest.mark.parametrize("what", RESULTS)
def test_nothing_of_one_models_features_lands_on_anothers(session, belly, what):
    ask, result, of_a_probe = RESULTS[what]
    session.paint(painted(belly))
    if of_a_probe:
        session.fit()
    session.controllers.workspace.runner.held = what
    job = ask(session)
    session.model = "random"
    session.compute()
    session.controllers.workspace.runner.let_go()
    assert session.features.model == "random"
    assert job.cancelled
    assert not result(session.scan)


@pytest.mark.parametrize("what", RESULTS)
def test_nothing_is_told_of_a_scan_that_was_removed(session, belly, what):
    ask, result, of_a_probe = RESULTS[what]
    session.paint(painted(belly))
    if of_a_probe:
        session.fit()
    scan = session.scan
    session.controllers.workspace.runner.held = what
    ask(session)
    session.remove(scan)
    session.controllers.workspace.runner.let_go()
    assert not result(scan)


def test_windows_that_are_inspected_survive_the_features_of_the_same_model(belly, phantom):
    session = Session(HoldingRunner(), model="hu-patch")
    scan = session.add(belly)
    session.controllers.workspace.runner.held = "windows"
    session.windows.compare(phantom.landmarks["liver_right_lobe"], radius_mm=20)
    session.compute()
    session.controllers.workspace.runner.let_go()
    assert scan.windows is not None


def test_windows_of_one_model_do_not_land_on_anothers(belly, phantom):
    session = Session(HoldingRunner(), model="hu-patch")
    scan = session.add(belly)
    session.controllers.workspace.runner.held = "windows"
    session.windows.compare(phantom.landmarks["liver_right_lobe"], radius_mm=20)
    session.model = "random"
    session.compute()
    session.controllers.workspace.runner.let_go()
    assert scan.windows is None


@pytest.mark.parametrize("what", ["statistics", "suggestion"])
def test_nothing_of_one_probe_is_shown_with_another(session, belly, what):
    ask, result, _ = RESULTS[what]
    session.segment(painted(belly))
    session.controllers.workspace.runner.held = what
    job = ask(session)
    session.fit("ridge")
    session.controllers.workspace.runner.let_go()
    assert job.cancelled
    assert not result(session.scan)


def test_scores_on_their_way_are_made_of_the_new_probe_instead(session, belly):
    session.segment(painted(belly))
    session.controllers.workspace.runner.held = "scores"
    session.show_scores()
    session.controllers.workspace.runner.held = ""
    session.fit("ridge")
    assert session.scan.scores.probe is session.scan.probe


def test_no_probe_comes_of_strokes_that_were_wiped_away(session, belly):
    session.paint(painted(belly))
    session.controllers.workspace.runner.held = "segmentation"
    job = session.fit()
    session.paint(LabelVolume(np.zeros(belly.shape, np.uint8), belly.grid))
    assert job.cancelled


def test_what_is_saved_is_what_was_there_when_it_was_asked(session, belly, tmp_path):
    session.segment(painted(belly))
    session.controllers.workspace.runner.held = "save"
    session.save_segmentation(tmp_path / "organs.nii.gz")
    session.save_probability(tmp_path / "dense.nii.gz", 2)
    session.model = "random"
    session.compute()
    session.controllers.workspace.runner.let_go()
    assert (tmp_path / "organs.nii.gz").exists()
    assert (tmp_path / "dense.nii.gz").exists()


def test_a_removed_scan_leaves_the_memory(belly, tmp_path):
    session = Session(model="hu-patch")
    session.open(save_map(tmp_path / "ct.nii.gz", belly.data, belly))
    session.compute()
    session.segment(painted(belly))
    kept = [weakref.ref(thing) for thing in (session.scan, session.volume, session.features)]
    session.remove(session.scan)
    gc.collect()
    assert [thing() for thing in kept] == [None] * 3


def test_the_end_of_a_job_is_told_where_a_listener_of_its_result_fails(session):
    def fail(scan):
        raise RuntimeError("a panel failed")

    ended = []
    session.job_started.connect(lambda job: job.finished.connect(lambda: ended.append(job.state)))
    session.pca_changed.connect(fail)
    with pytest.raises(Exception, match="a panel failed"):
        session.compute_pca()
    assert ended == ["failed"]


def test_work_that_is_interrupted_is_over():
    def interrupt(context):
        raise KeyboardInterrupt

    runner, jobs = InlineRunner(), []
    with pytest.raises(KeyboardInterrupt):
        runner.submit(Task("lane", interrupt, pytest.fail, pytest.fail, jobs.append))
    assert not jobs[0].running
    assert jobs[0].wait(0)
    assert runner.running() == ()
