"""CT windows, libraries and training runs in the app, without a browser."""

import numpy as np
import pytest

from coralbay_core.io import save_map
from tests.support.notebook_app import Sent, middle, settle
from tests.support.pretraining import finished_run

pytest.importorskip("anywidget")

pytestmark = pytest.mark.forward


def test_clicks_are_asked_again_under_several_windows(ready):
    panel, tools = ready.windows.panel, ready.views.tools
    assert tools.layers["windows"].layout.display == "none"
    ready.session.click(middle(ready))
    settle(ready)
    sent = Sent(ready.view)
    panel.inspect.click()
    settle(ready)
    assert tools.layers["windows"].layout.display == ""
    assert "heat" in ready.view.hidden
    assert [line.partition(":")[0] for line, _ in panel.answers.options] == ["Lung", "Soft tissue", "Bone"]
    assert "by chance" in panel.hint.value
    assert ("windows", "axial") in sent.cuts()
    sent.clear()
    panel.shown.value = "Lung"
    settle(ready)
    assert ("windows", "axial") in sent.cuts()
    panel.answers.value = 2
    best = ready.session.scan.windows.comparison.answers[2].position_mm
    np.testing.assert_allclose(ready.session.cursor_mm, best, atol=2)
    panel.shown.value = "Nothing"
    settle(ready)
    assert sent.of("drop") == [{"kind": "drop", "role": "windows"}]


def test_a_library_is_made_and_searched(app, belly, tmp_path):
    pytest.importorskip("lancedb")
    one, two = (save_map(tmp_path / f"{n}.nii.gz", belly.data + np.int16(6 * n), belly) for n in (1, 2))
    session, panel = app.session, app.library.panel
    assert panel.add.disabled
    session.open(one)
    settle(app)
    panel.path.value = str(tmp_path / "library")
    panel.open.click()
    panel.add.click()
    settle(app)
    assert "1 scan" in panel.about.value
    session.open(two)
    settle(app)
    session.compute()
    settle(app)
    session.click(middle(app))
    settle(app)  # its message comes before that of the search
    panel.search.click()
    settle(app)
    hits = session.library.hits
    assert len(panel.hits.children) == len(hits) > 0
    assert "found in the library" in app.status.panel.text.value
    picture, go = panel.hits.children[0].children
    assert bytes(picture.value).startswith(b"\x89PNG")
    for _ in range(2):  # an open scan, then one that is opened
        go.click()
        settle(app)
        assert session.scan.volume.path == one
        np.testing.assert_allclose(session.cursor_mm, hits[0].position_mm, atol=2)
        session.remove(session.scan)


def test_a_training_is_watched(ready, phantom, tmp_path):
    panel, training = ready.training.panel, ready.session.training
    panel.path.value = str(finished_run(phantom, tmp_path / "run", steps=2, every=1))
    sent = Sent(ready.view)
    panel.watch.click()
    settle(ready)
    assert "2 checkpoints" in panel.about.value
    assert ("training_pca", "axial") in sent.cuts()
    assert ready.views.tools.layers["training_pca"].layout.display == ""
    assert panel.steps.value == training.shown.step == 2
    assert panel.newest.value
    assert bytes(panel.plot.value).startswith(b"\x89PNG")
    panel.curve.value = "loss"
    panel.steps.value = 1
    settle(ready)
    assert training.shown.step == 1
    assert not panel.newest.value
    panel.stop.click()
    settle(ready)
    assert ready.views.tools.layers["training_pca"].layout.display == "none"
    assert {message["role"] for message in sent.of("drop")} >= {"training_pca"}
