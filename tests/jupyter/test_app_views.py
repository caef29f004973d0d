"""Views of the app without a browser: which slices, layers and windows are sent."""

import pytest

from tests.support.notebook_app import Sent, middle, settle

pytest.importorskip("anywidget")

from coralbay_viz.display import slices
from coralbay_viz.jupyter_ui.app import App

pytestmark = pytest.mark.forward


def test_a_copy_on_the_page_gets_everything_once(app):
    sent = Sent(app.view)
    app.view._receive(app.view, {"kind": "ready"}, [])
    settle(app)
    assert [layer["role"] for layer in sent.of("layer")] == ["ct"]
    assert sent.cuts() == [("ct", view) for view in slices.VIEWS]
    assert sent.of("heard")


def test_only_slices_that_change_are_sent_and_none_as_text(app):
    sent = Sent(app.view)
    place = app.session.volume.grid.to_world((5, 20, 20))
    app.view.cursor = place.tolist()
    settle(app)
    sent.clear()
    app.view.cursor = (place + [0, 0, 3]).tolist()  # one slice up
    settle(app)
    assert sent.cuts() == [("ct", "axial")]
    rows, columns = app.session.volume.shape[1:]
    assert sent.size == 2 * rows * columns
    assert max(len(str(content)) for content, _ in sent.all) < 2000
    sent.clear()
    app.view.cursor = (place + [0.1, 0, 3]).tolist()
    settle(app)
    assert not sent.cuts()


def test_hidden_layers_are_not_sent(ready):
    ready.session.click(middle(ready))
    settle(ready)
    sent = Sent(ready.view)
    ready.views.tools.layers["heat"].value = False
    settle(ready)
    assert "heat" in ready.view.hidden
    ready.session.click(middle(ready) + 6)
    settle(ready)
    assert not [cut for cut in sent.cuts() if cut[0] == "heat"]
    ready.views.tools.layers["heat"].value = True
    settle(ready)
    assert ("heat", "axial") in sent.cuts()


def test_window_presets_and_dragging(app):
    app.views.tools.windows.value = "Lung"
    assert app.view.window == [-600.0, 1500.0]
    app.view.window = [10.0, 333.0]
    assert app.views.tools.windows.value == "Custom"
    assert isinstance(app, App)


def test_a_still_picture_goes_with_the_widget(app):
    data = app._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in data
    # A notebook is passed on with its output, and a scan's name is often the patient's.
    assert app.session.volume.name not in data["text/plain"]
