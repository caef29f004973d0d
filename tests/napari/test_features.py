"""Features that are computed in a real window: progress, cancel, device, colors."""

from tests.support.scans import cut


def test_the_window_lives_while_features_are_computed(dock, hand, phantom, heartbeat):
    # Most of a body and not the belly: the test is worth nothing unless the work takes a while.
    dock.session.add(cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 130))
    seen = []
    hand.press(dock.feature_panel.compute)
    job = dock.feature_panel.job
    job.progressed.connect(seen.append)
    heart = heartbeat()
    hand.wait_for(lambda: not job.running, 300)
    assert job.state == "done"
    assert len(heart.times) >= 20
    assert heart.longest_pause() < 1
    assert seen[-1].done == seen[-1].total > 1


def test_cancel_stops_the_work_and_leaves_the_session_usable(dock, hand, phantom):
    dock.session.add(cut(phantom.volume, phantom.landmarks["heart_apex"], 130))
    panel = dock.feature_panel
    hand.press(panel.compute)
    job = dock.feature_panel.job
    hand.wait_for(lambda: job.progress.done >= 1 or not job.running, 120)
    assert panel.bar.isVisible()
    assert "left" in panel.status.text()
    hand.press(panel.cancel)
    hand.wait_for(lambda: not job.running, 120)
    assert job.state == "cancelled"
    assert dock.session.features is None
    assert panel.compute.isVisible()
    assert not panel.bar.isVisible()


def test_what_is_ahead_is_said_before_compute_is_pressed(dock, hand, belly, tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))  # other tests have computed this scan
    panel, session = dock.feature_panel, dock.session
    session.add(belly)
    hand.wait_for(lambda: "tiles of" in panel.outlook.text())
    assert panel.outlook.isVisible()
    assert session.features is None
    assert panel.compute.isEnabled()
    hand.press(panel.compute)
    hand.wait_for(lambda: session.features is not None)
    assert panel.outlook.text() == ""
    session.add(belly)  # as on another day, where nobody wants them read at once
    hand.wait_for(lambda: "On disk already" in panel.outlook.text())
    session.activate(session.scans[0])
    assert not panel.outlook.isVisible()
    panel.models.setCurrentText("hu-patch")
    panel.models.textActivated.emit("hu-patch")
    hand.wait_for(lambda: "tiles of" in panel.outlook.text())


def test_a_device_is_chosen_and_what_was_computed_stays(dock, hand, belly, monkeypatch):
    import torch

    from coralbay_core.models import encoder, loading

    monkeypatch.setitem(encoder._AVAILABLE, "cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked, load = [], loading.load_encoder
    monkeypatch.setattr(loading, "load_encoder", lambda name, device: asked.append(device) or load(name, device="cpu"))
    panel, session = dock.feature_panel, dock.session
    names = [panel.device.itemText(number) for number in range(panel.device.count())]
    assert names == ["auto", "cpu"]  # to know more takes torch
    session.model = "hu-patch"
    session.add(belly)
    hand.wait_for(lambda: panel.device.count() > 2)
    names = [panel.device.itemText(number) for number in range(panel.device.count())]
    assert names == ["auto", "cuda:0", "cuda:1", "cpu"]
    assert panel.device.currentText() == "auto"
    hand.press(panel.compute)
    hand.wait_for(lambda: session.features is not None)
    features = session.features
    panel.device.setCurrentText("cuda:1")
    panel.device.textActivated.emit("cuda:1")
    assert session.features is features
    assert session.state_of(session.scan) == "ready"
    session.add(belly)
    hand.press(panel.compute)
    hand.wait_for(lambda: session.features is not None)
    assert asked == ["auto", "cuda:1"]


def test_colors_appear_with_the_features_and_can_be_switched(explored, hand):
    layer = explored.binding.layer("pca")
    assert layer.rgb
    assert layer.visible
    box = explored.colors_panel.pca
    assert box.isChecked()
    hand.press(box)
    assert not layer.visible
    hand.press(box)
    assert layer.visible
