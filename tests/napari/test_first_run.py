"""The first minutes of a new user: an empty window, a sample, features from the cache, an early click."""

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.io import save_map
from coralbay_viz.demo import samples
from coralbay_viz.napari_ui import context
from coralbay_viz.tasks import files


def test_an_empty_window_says_how_to_begin(dock, hand, belly, tmp_path, held, monkeypatch, picture_of):
    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    assert dock.welcome.isVisible()
    assert not dock.feature_panel.isVisible()
    entries = [action.text() for action in dock.welcome.open.menu().actions()]
    assert entries[:2] == ["File…", "DICOM folder…"]
    assert "Open session…" in entries
    picture_of("empty")
    gate = held(files, "open_volume")
    dock.welcome.open.menu().actions()[0].trigger()
    assert dock.opening.isVisible()
    assert "scan.nii.gz" in dock.opening.text.text()
    gate.set()
    hand.wait_for(lambda: dock.session.scan is not None)
    hand.settle()
    assert not dock.opening.isVisible()
    assert not dock.welcome.isVisible()
    assert dock.feature_panel.isVisible()


def test_opening_can_be_stopped(dock, hand, belly, tmp_path, held):
    gate = held(files, "open_volume")
    dock.open(save_map(tmp_path / "scan.nii.gz", belly.data, belly))
    hand.press(dock.opening.cancel)
    gate.set()
    hand.wait_for(lambda: not dock.opening.isVisible())
    assert dock.session.scans == []
    assert dock.welcome.isVisible()


@pytest.mark.parametrize("online", [True, False])
def test_the_sample_is_a_ct_or_else_the_torso(dock, hand, belly, phantom, tmp_path, told, monkeypatch, online):
    from coralbay_core import phantom as module

    path = save_map(tmp_path / "CT-chest.nii.gz", belly.data, belly)

    def fetch(report):
        report(1, 2)
        if not online:
            raise CoralBayError("cannot download the sample CT")
        return path

    monkeypatch.setattr(samples, "fetch_chest", fetch)
    monkeypatch.setattr(module, "make_phantom", lambda: phantom)
    hand.press(dock.welcome.sample)
    hand.wait_for(lambda: dock.session.scan is not None)
    if online:
        assert dock.session.scan.name == "CT-chest"
    else:
        assert dock.session.scan.volume is phantom.volume
        assert any(text.startswith("Synthetic torso opened instead") for text in told)


def test_an_early_click_is_answered_by_features_from_the_cache(dock, hand, belly, liver, told):
    session = dock.session
    first = session.add(belly)
    dock.binding.go_to(liver)
    hand.settle()
    hand.click(liver)  # nothing else was pressed
    assert any(text.startswith("Prompt kept until features are computed") for text in told)
    np.testing.assert_allclose(session.clicks.positive[0], liver, atol=1.6)
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: session.heat is not None and not session.heat.partial)
    assert dock.binding.layer("heat").visible
    assert session.pca is None
    session.reads_cached = True
    session.remove(first)
    session.add(belly)  # as on another day
    hand.wait_for(lambda: session.features is not None)
    assert session.state_of(session.scan) == "ready"


def test_a_session_asks_for_a_scan_that_was_moved(dock, hand, belly, tmp_path, told, monkeypatch):
    path = save_map(tmp_path / "here" / "scan.nii.gz", belly.data, belly)
    dock.open(path)
    hand.wait_for(lambda: dock.session.scan is not None)
    (tmp_path / "mail").mkdir()
    job = dock.session.save(tmp_path / "mail" / "work.coralbay")
    hand.wait_for(lambda: not job.running)
    dock.session.remove(dock.session.scan)
    path.rename((tmp_path / "elsewhere").mkdir() or tmp_path / "elsewhere" / "scan.nii.gz")
    monkeypatch.setattr(context.QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "mail/work.coralbay"), ""))
    asked, answers = [], ["", str(tmp_path / "elsewhere")]
    monkeypatch.setattr(
        context.QFileDialog,
        "getExistingDirectory",
        lambda parent, title: (asked.append(title), answers.pop(0))[1],
    )
    opens = next(action for action in dock.welcome.open.menu().actions() if action.text() == "Open session…")
    opens.trigger()
    assert told[-1].startswith("Session not opened")
    opens.trigger()
    hand.wait_for(lambda: dock.session.scan is not None)
    assert dock.session.volume.path.parent.name == "elsewhere"
    assert asked == ["Choose the folder with this scan of the session: scan 1"] * 2


def test_the_canvas_is_black_behind_a_scan_in_every_theme(dock, viewer, hand, belly):
    viewer.theme = "light"
    assert tuple(viewer.canvas.background_color[:3]) == (1, 1, 1)
    dock.session.add(belly)
    assert tuple(viewer.canvas.background_color[:3]) == (0, 0, 0)
    assert (hand.picture()[2, 2] == 0).all()
    viewer.layers.clear()
    hand.settle()
    assert tuple(viewer.canvas.background_color[:3]) == (1, 1, 1)
