"""A training run that is watched as a user would."""

from coralbay_viz.controllers import training as training_controller
from coralbay_viz.napari_ui import context
from tests.support.pretraining import finished_run


def darkest(widget):
    """Gray of the darkest pixel that is seen."""
    image = widget.grab().toImage()
    return min(image.pixelColor(x, y).lightness() for x in range(image.width()) for y in range(image.height()))


def test_a_training_is_watched(explored, viewer, hand, phantom, tmp_path, monkeypatch):
    run = finished_run(phantom, tmp_path / "run")
    monkeypatch.setattr(context.QFileDialog, "getExistingDirectory", lambda *_: str(run))
    panel = explored.training_panel
    explored.show_tab("Train")
    hand.settle()
    hand.press(panel.open)
    hand.wait_for(
        lambda: explored.session.training.state is not None and explored.session.training.state.shown is not None
    )
    state = explored.session.training.state
    assert explored.binding.layer("training_pca") is not None
    assert panel.slider.maximum() == len(state.steps) - 1
    assert "loss" in [panel.curve.itemText(n) for n in range(panel.curve.count())]
    assert state.steps == (2, 4, 6)
    viewer.theme = "light"
    hand.wait_for(lambda: darkest(panel.plot) < 110)  # its text, on white
    viewer.theme = "dark"
    panel.slider.setValue(0)
    hand.wait_for(lambda: state.shown.step == 2)
    assert not panel.newest.isChecked()
    hand.press(panel.stop)
    assert explored.session.training.state is None
    assert explored.binding.layer("training_pca") is None


def test_a_checkpoint_that_fails_is_told_once(explored, hand, phantom, tmp_path, monkeypatch):
    run, session, failures = finished_run(phantom, tmp_path / "run"), explored.session, []
    monkeypatch.setattr(
        context.notifications.notification_manager, "receive_error", lambda kind, error, trace: failures.append(error)
    )

    def fail(*_):
        raise RuntimeError("no such layer")

    explored.show_tab("Train")
    with monkeypatch.context() as patch:
        patch.setattr(training_controller, "view_of", fail)
        session.training.watch(run)
        hand.wait_for(lambda: bool(failures))
        for _ in range(3):
            job = session.training.refresh()
            hand.wait_for(lambda job=job: not job.running)
    assert len(failures) == 1
    assert "no such layer" in explored.training_panel.about.text()
    explored.training_panel.slider.setValue(0)  # another one is tried
    hand.wait_for(lambda: session.training.state.shown is not None)
    hand.press(explored.training_panel.newest)  # and this one again
    hand.wait_for(lambda: session.training.state.shown.step == 6)
    assert "no such layer" not in explored.training_panel.about.text()
