"""Work never holds the window up, and nothing that a user does during work does harm."""

import gc
import weakref
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_viz.controllers import ct_windows as ct_windows_controller
from coralbay_viz.controllers import features as features_controller
from coralbay_viz.controllers import library as library_controller
from coralbay_viz.controllers import projections as projections_controller
from coralbay_viz.controllers import segmentation as segmentation_controller
from coralbay_viz.demo import auto_strokes
from coralbay_viz.napari_ui import context, views
from tests.support.scans import cut


@pytest.fixture(scope="module")
def torso(phantom):
    # Most of a body and not the belly: the tests are worth nothing unless the work takes a while.
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 120)


_offsets = count(1)


@pytest.fixture
def unseen(torso):
    """A scan of the test's own: stored features of another test would be there before the job can be looked at."""
    return replace(torso, data=torso.data + np.int16(next(_offsets)))


@pytest.fixture
def explored(dock, hand, torso, phantom):
    dock.session.add(torso)
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.binding.go_to(phantom.landmarks["liver_right_lobe"])
    return dock


def fit_umap(dock):
    pytest.importorskip("umap")
    return dock.session.compute_umap()


def predict(dock):
    scan = dock.session.scan
    placed = auto_strokes.place(scan.volume, scan.features, scan.label_grid, None)
    return dock.session.segment(placed.labels)


# umap compiles for half a minute in each process.
@pytest.mark.parametrize("work", [pytest.param(fit_umap, marks=pytest.mark.slow), predict], ids=["umap", "predict"])
def test_the_heart_beats_while_it_works(explored, hand, heartbeat, work):
    job = work(explored)
    heart = heartbeat()
    hand.wait_for(lambda: not job.running, 900)
    assert job.state == "done"
    assert len(heart.times) >= min(5, 10 * job.seconds)
    assert heart.longest_pause() < max(1, job.seconds / 3)


def extract(dock):
    dock.session.model = "random"
    return dock.session.compute()


@pytest.mark.parametrize(
    ("work", "module", "name"),
    [(extract, features_controller, "compute_features"), (predict, segmentation_controller, "fit_and_apply")],
    ids=["features", "segmentation"],
)
def test_views_and_layers_change_during_work(explored, viewer, hand, held, work, module, name):
    gate = held(module, name)
    job = work(explored)
    for view in (views.CORONAL, views.VOLUME, views.SAGITTAL, views.AXIAL):
        views.show_view(viewer, view)
        hand.settle()
    explored.binding.layer("pca").name = "renamed"
    viewer.layers.remove(explored.binding.layer("pca"))
    viewer.dims.ndisplay = 3
    assert job.running
    gate.set()
    hand.wait_for(lambda: not job.running, 300)
    assert job.state == "done"
    viewer.dims.ndisplay = 2
    hand.wait_for(lambda: explored.session.features is not None)


def test_another_model_is_chosen_while_features_are_computed(dock, hand, unseen):
    dock.session.add(unseen)
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    hand.wait_for(lambda: job.progress.done >= 1 or not job.running)
    dock.feature_panel.models.setCurrentText("hu-patch")
    dock.feature_panel.models.textActivated.emit("hu-patch")
    hand.wait_for(lambda: not job.running, 300)
    assert dock.session.scan.model == "coralbay-mini"  # what was begun under that name
    assert "another model" in dock.feature_panel.status.text()
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: dock.session.scan.model == "hu-patch", 300)


def test_the_scan_is_removed_while_features_are_computed(dock, viewer, hand, unseen):
    dock.session.add(unseen)
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    hand.wait_for(lambda: job.progress.done >= 1 or not job.running)
    viewer.layers.remove(dock.binding.layer("ct"))
    hand.wait_for(lambda: not job.running, 300)
    hand.wait_for(lambda: dock.session.scan is None)
    assert len(viewer.layers) == 0
    assert not dock.feature_panel.compute.isEnabled()


def test_a_failure_is_told_and_the_session_goes_on(explored, hand, told, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the graphics card is on fire")

    from napari.utils import notifications

    received = []
    monkeypatch.setattr(notifications.notification_manager, "receive_error", lambda *error: received.append(error[1]))
    from coralbay_core.extraction import pipeline

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "features_for", fail)
        hand.press(explored.feature_panel.compute)
        hand.wait_for(lambda: bool(received))
    assert "on fire" in str(received[0])
    assert explored.session.state_of(explored.session.scan) == "failed"
    hand.press(explored.feature_panel.compute)
    hand.wait_for(lambda: explored.session.state_of(explored.session.scan) == "ready", 300)


def say_of_colors(dock):
    return dock.session.compute_pca(), dock.colors_panel.about, "Computing colors"


def say_of_strokes(dock):
    return predict(dock), dock.segment_panel.saying, "Segmenting"


@pytest.mark.parametrize(
    ("start", "module", "name", "lane"),
    [
        (say_of_colors, projections_controller, "colors", "pca"),
        (say_of_strokes, segmentation_controller, "fit_and_apply", "segmentation"),
    ],
    ids=["colors", "segmentation"],
)
def test_what_is_said_of_work_goes_with_it(dock, hand, belly, held, start, module, name, lane):
    dock.session.model = "hu-patch"
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    gate = held(module, name)
    job, label, text = start(dock)
    assert text in label.text()
    dock.session.failed.emit(CoralBayError("disk is full"))  # of something else
    assert text in label.text()
    dock.session.cancel(lane)
    gate.set()
    hand.wait_for(lambda: not job.running)
    assert job.state == "cancelled"
    assert "…" not in label.text()


def test_what_is_said_of_work_goes_when_it_fails(dock, hand, belly, liver, told, tmp_path, monkeypatch):
    def fail(*_):
        raise CoralBayError("no memory")

    dock.session.model = "hu-patch"
    dock.session.add(belly)
    dock.session.compute()
    hand.wait_for(lambda: dock.session.pca is not None)
    dock.session.click(liver)
    dock.session.library.open(tmp_path / "library")
    monkeypatch.setattr(ct_windows_controller, "inspect", fail)
    monkeypatch.setattr(library_controller, "search", fail)
    for made, label in (
        (dock.similar_panel.windows.inspect, dock.similar_panel.windows.hint),
        (dock.library_panel.search, dock.library_panel.about),
    ):
        told.clear()
        made.click()
        assert "…" in label.text()
        hand.wait_for(lambda: "no memory" in told)
        hand.wait_for(lambda label=label: "…" not in label.text())
    assert "0 scans" in dock.library_panel.about.text()


def test_first_answers_come_before_all_features(dock, hand, phantom, told):
    scan = phantom.volume
    dock.session.add(scan)
    place = phantom.landmarks["liver_right_lobe"]
    dock.binding.go_to(place)
    hand.settle()
    dock.tools.mode = "pick"
    dock.session.model = "random"
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    hand.click(place)
    hand.wait_for(lambda: dock.session.heat is not None or not job.running, 300)
    first = dock.session.heat
    if job.running:
        assert first.partial
        assert "Preliminary" in dock.similar_panel.hint.text()
    hand.wait_for(lambda: not job.running, 300)
    hand.wait_for(lambda: dock.session.heat is not None and not dock.session.heat.partial)
    assert first.partial  # whoever saw it first, it came before the rest


def test_a_lost_session_is_offered_and_comes_back(dock, viewer, hand, torso, tmp_path, told, monkeypatch, phantom):
    import subprocess
    import sys

    from coralbay_core.io import save_map

    path = save_map(tmp_path / "scan.nii.gz", torso.data, torso)
    place = [float(v) for v in phantom.landmarks["liver_right_lobe"]]
    code = f"""
import os
from coralbay_viz import Session
session = Session(autosave=True)
session.open({str(path)!r})
session.click({place})
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    dock._offer_lost()
    assert any("Unsaved work" in line for line in told)
    from coralbay_viz.napari_ui.panels import scan as module

    monkeypatch.setattr(module.QInputDialog, "getItem", lambda *args: (args[3][0], True))
    dock.scan_panel._recover()
    hand.wait_for(lambda: bool(dock.session.clicks))
    np.testing.assert_allclose(dock.session.clicks.positive[0], place)
    hand.wait_for(lambda: not dock.session.lost())


def test_a_session_file_goes_out_and_in(dock, hand, torso, tmp_path, monkeypatch, phantom):
    from coralbay_core.io import save_map

    path = save_map(tmp_path / "scan.nii.gz", torso.data, torso)
    dock.open(path)
    hand.wait_for(lambda: dock.session.scan is not None)
    place = phantom.landmarks["liver_right_lobe"]
    dock.session.click(place)
    saved = tmp_path / "work.coralbay"
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(saved), ""))
    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", lambda *_: (str(saved), ""))
    dock.scan_panel._save_session()
    hand.wait_for(saved.exists)
    dock.session.clear_clicks()
    before = dock.session.scan
    dock.scan_panel._open_session()
    hand.wait_for(lambda: bool(dock.session.clicks))
    assert dock.session.scan is not before
    assert dock.session.volume.path == path
    np.testing.assert_allclose(dock.session.clicks.positive, [place])


def test_weights_that_are_not_found_are_asked_for(dock, hand, torso, tmp_path, monkeypatch):
    from coralbay_core.io import save_map
    from coralbay_viz import Session

    path = save_map(tmp_path / "scan.nii.gz", torso.data, torso)
    session = Session(model=str(tmp_path / "elsewhere" / "mine.safetensors"))
    session.open(path)
    saved = session.save(tmp_path / "work.coralbay").result
    weights = tmp_path / "mine.safetensors"
    weights.touch()
    chosen = iter([saved, weights])
    asked = []

    def choose(parent, title, *_):
        asked.append(title)
        return str(next(chosen)), ""

    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", choose)
    dock.scan_panel._open_session()
    hand.wait_for(lambda: dock.session.scan is not None)
    assert dock.session.model == str(weights)
    assert "mine.safetensors" in asked[-1]


def test_a_file_that_cannot_be_read_is_told(dock, tmp_path, told, monkeypatch):
    from pathlib import Path

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.query"
    path.touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    dock.context.notify_errors(dock.session.open_query)(path)
    assert any("cannot read" in line and "Permission denied" in line for line in told)


def test_what_is_opened_from_the_command_line_is_saved(monkeypatch, hand, torso, tmp_path):
    from coralbay_core.io import save_map
    from coralbay_viz.napari_ui import launch
    from coralbay_viz.persistence import session_file

    path = save_map(tmp_path / "scan.nii.gz", torso.data, torso)
    opened = []

    def open_window(session):
        made = launch_window(session, show=False)
        opened.append(made)
        return made

    def work_and_close():
        viewer, widget = opened[0]
        session = widget.session
        hand.wait_for(lambda: session.files._autosave is not None and session.files._autosave.path.exists())
        # The first state may be that of the window, before the scan was read.
        hand.wait_for(lambda: session_file.read(session.files._autosave.path).scans)
        assert [scan.name for scan in session_file.read(session.files._autosave.path).scans] == ["scan"]
        viewer.close()

    launch_window = launch.open_window
    monkeypatch.setattr(launch, "open_window", open_window)
    monkeypatch.setattr(launch.napari, "run", work_and_close)
    launch.view([path], None, "hu-patch", "cpu")
    assert not opened[0][1].session.lost()
    assert not opened.pop()[1].session.files._autosave.path.exists()


def all_gone(*references):
    """Whether nothing of what weak references point to is in memory."""
    gc.collect()
    return [reference() for reference in references] == [None] * len(references)


def opened_and_closed(viewer, hand, scan):
    """A dock widget that was used and closed: weak references to its parts."""
    _, widget = viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
    widget.session.add(scan)
    widget.planes.open(True)
    hand.settle()
    parts = [weakref.ref(part) for part in (widget, widget.context, widget.session, widget.planes.widget)]
    widget.planes.open(False)
    hand.settle()
    viewer.window.remove_dock_widget(widget)
    widget.close()
    widget.deleteLater()
    return parts


def test_closing_the_dock_leaves_nothing_behind(viewer, hand, torso):
    parts = opened_and_closed(viewer, hand, torso)
    hand.wait_for(lambda: all_gone(*parts), 10)
    viewer.dims.ndisplay = 3  # the layers stay, and nobody of ours listens
    hand.settle()
    assert [layer.name for layer in viewer.layers][:1] == [torso.name]
    assert viewer.dims.ndisplay == 3


def test_a_scan_that_is_removed_is_let_go(dock, viewer, hand, torso):
    dock.session.add(torso)
    hand.settle()
    layer = weakref.ref(dock.binding.layer("ct"))
    viewer.layers.remove(layer())
    hand.wait_for(lambda: all_gone(layer), 10)


def test_features_of_a_model_before_are_let_go(explored, hand):
    before = weakref.ref(explored.session.features)
    explored.session.model = "hu-patch"
    hand.press(explored.feature_panel.compute)
    hand.wait_for(lambda: explored.session.features not in (None, before()) and explored.session.pca is not None)
    hand.wait_for(lambda: all_gone(before), 10)
    assert explored.feature_panel.job is None
