"""The app without a browser: what the page wants becomes commands, what the session says becomes messages."""

import threading
import time

import numpy as np
import pytest

from tests.support.scans import cut

pytest.importorskip("anywidget")

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume
from coralbay_viz import Session, show
from coralbay_viz.display import slices
from coralbay_viz.jobs import JobKey
from coralbay_viz.jupyter_ui.app import App
from coralbay_viz.jupyter_ui.dispatcher import MainThreadDispatcher
from coralbay_viz.jupyter_ui.panels.base import amount

pytestmark = pytest.mark.forward

WAIT_S = 60


class Sent:
    """Messages of a view, as the page would get them."""

    def __init__(self, view):
        self.all = []
        send = view.send

        def keep(content, buffers=None):
            self.all.append((content, [memoryview(part).nbytes for part in buffers or ()]))
            send(content, buffers)

        view.send = keep

    def of(self, kind):
        return [content for content, _ in self.all if content["kind"] == kind]

    def cuts(self):
        """Role and view of each slice that was sent."""
        return [(head["role"], head["view"]) for content in self.of("slices") for head in content["cuts"]]

    @property
    def size(self):
        return sum(sum(sizes) for _, sizes in self.all)

    def clear(self):
        self.all.clear()


def settle(app):
    """Until all jobs have ended and what they changed was sent."""
    app.wait(timeout_s=WAIT_S)
    done = []
    app._courier.deliver(lambda: done.append(1))
    assert app._courier.wait(lambda: not done, WAIT_S)


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 60.0)


@pytest.fixture
def app(belly):
    made = show(belly, model="hu-patch")
    settle(made)
    yield made
    made.close()


@pytest.fixture
def ready(app):
    """An app whose scan has features."""
    app.session.compute()
    settle(app)
    return app


def middle(app):
    grid = app.session.volume.grid
    return grid.to_world((np.array(grid.shape) - 1) / 2)


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


def test_a_click_on_the_page_is_a_click_of_the_session(ready):
    sent = Sent(ready.view)
    place = middle(ready)
    ready.view._receive(ready.view, {"kind": "pick", "mm": place.tolist(), "negative": False}, [])
    settle(ready)
    np.testing.assert_allclose(ready.session.clicks.positive, [ready.session.cursor_mm])
    assert {cut for cut in sent.cuts() if cut[0] == "heat"} == {("heat", view) for view in slices.VIEWS}
    assert {points["role"] for points in sent.of("points")} >= {"clicks", "regions"}
    assert sent.size < 2 * np.prod(ready.session.volume.shape)  # never the whole volume
    sent.clear()
    ready.session.click(place + 6, negative=True)
    settle(ready)
    assert ("heat", "axial") in sent.cuts()


def test_a_share_is_sent_as_slices_of_the_heat_map(ready):
    ready.session.click(middle(ready))
    settle(ready)
    sent = Sent(ready.view)
    ready.similar.panel.share.value = 10.0
    settle(ready)
    assert ready.session.body_fraction == pytest.approx(0.1)
    assert set(sent.cuts()) == {("heat", view) for view in slices.VIEWS}


def test_the_weights_of_the_scales_change_the_heat_map(ready):
    """Equal weights, weights from the clicks, and back; weights from code are shown as such."""
    session, control = ready.session, ready.similar.panel.weights
    session.click(middle(ready))
    settle(ready)
    equal, sent = session.heat, Sent(ready.view)
    assert control.value == "equal"
    assert dict(equal.heat.weights) == pytest.approx({s: 1 / len(equal.heat.weights) for s in session.features.strides})
    control.value = "auto"
    settle(ready)
    assert session.weights == "auto"
    assert session.heat is not equal
    assert sum(session.heat.heat.weights.values()) == pytest.approx(1)
    assert {cut for cut in sent.cuts() if cut[0] == "heat"} == {("heat", view) for view in slices.VIEWS}
    fine, *_ = session.features.strides
    session.weights = {fine: 1}
    settle(ready)
    assert control.value == "code"
    assert np.abs(session.heat.heat.data - equal.heat.data).max() > 0.01
    control.value = "equal"
    settle(ready)
    assert session.weights is None
    assert "code" not in [value for _, value in control.options]
    np.testing.assert_allclose(session.heat.heat.data, equal.heat.data, atol=1e-6)


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


def test_strokes_make_a_probe_and_undo_takes_them_back(ready):
    panel, grid = ready.paint.panel, ready.session.volume.grid
    for label, corner in ((1, (20, 15, 15)), (2, (20, 30, 30))):
        panel.label.value = label
        points = np.array([grid.to_world(corner)], np.float32)
        ready.view._receive(ready.view, {"kind": "stroke", "view": "axial"}, [points.tobytes()])
        settle(ready)
    assert ready.session.scan.strokes.now.classes == (1, 2)
    assert set(np.unique(ready.session.segmentation.data)) >= {1, 2}
    panel.measure.click()
    settle(ready)
    assert "ml" in panel.statistics.value
    ready.views.choose_tool("paint")
    ready.view._receive(ready.view, {"kind": "undo"}, [])
    settle(ready)
    assert ready.session.scan.strokes.now.classes == (1,)
    ready.views.choose_tool("erase")
    ready.view._receive(
        ready.view, {"kind": "stroke", "view": "axial"}, [np.array(middle(ready), np.float32).tobytes()]
    )
    panel.name.value = "liver"
    settle(ready)
    assert ready.session.scan.strokes.now.names == {2: "liver"}


def test_points_and_slices_are_linked(ready):
    sent = Sent(ready.colors.view)
    assert ready.colors.view.layout.display == "none"
    ready.colors.panel.pca.click()
    ready.colors.panel.pca_points.click()
    settle(ready)
    scatter = ready.session.scan.scatter
    ready.colors.view._receive(ready.colors.view, {"kind": "ready"}, [])
    count = len(scatter.points)
    assert ready.colors.view.layout.display == ""
    assert sent.all[-2][1] == [4 * count, 3 * count] or sent.all[-3][1] == [4 * count, 3 * count]
    low, high = scatter.points.min(0), scatter.points.max(0)
    half = np.array([low, [high[0], low[1]], [high[0], low.mean()], [low[0], high[1]]], np.float32)
    ready.colors.view._receive(ready.colors.view, {"kind": "lasso"}, [half.tobytes()])
    settle(ready)
    assert 0 < ready.session.scan.selection.sum() < count
    assert "Lasso:" in ready.colors.panel.state.value
    ready.colors.panel.everything.click()
    assert ready.session.scan.selection is None
    assert "Lasso:" not in ready.colors.panel.state.value
    assert "Lasso cleared" in ready.status.panel.text.value
    at = scatter.points[count // 3].astype(float)
    ready.colors.view._receive(ready.colors.view, {"kind": "pick", "at": at.tolist()}, [])
    settle(ready)
    np.testing.assert_allclose(ready.session.cursor_mm, ready.session.place_of(at), atol=1.6)
    assert sent.of("place")[-1]["at"] is not None


def test_another_scan_stands_beside_and_answers(ready, belly):
    first = ready.session.scan
    ready.session.add(belly)
    ready.session.compute()
    settle(ready)
    assert ready.similar.panel.other.label == "no other scan"
    assert {text for text, _ in ready.similar.panel.other.options} > {f"1: {belly.name} (1)"}  # alike, told apart
    ready.similar.panel.other.value = 0
    assert "heat map of the same clicks" in ready.status.panel.text.value
    sent = Sent(ready.views.second_view)
    ready.view._receive(ready.view, {"kind": "pick", "mm": middle(ready).tolist(), "negative": False}, [])
    settle(ready)
    assert first.heat is not None
    assert ("heat", "axial") in sent.cuts()
    np.testing.assert_allclose(ready.views.second_view.cursor, ready.view.cursor, atol=10)  # the same scan twice
    with pytest.raises(InputError, match="active one"):
        ready.compare(ready.session.scan)
    ready.similar.panel.other.value = ready.similar.panel.other.options[0][1]
    assert ready.views.second_binding is None
    ready.compare(first)
    ready.session.remove(first)
    settle(ready)
    assert ready.views.second_binding is None


def test_scans_of_one_name_are_told_apart_by_folder(belly, tmp_path):
    paths = [save_map(tmp_path / folder / "ct.nii.gz", belly.data, belly) for folder in ("before", "after")]
    app = show(*paths, model="hu-patch")
    settle(app)
    assert [text for text, _ in app.scans.panel.scans.options] == ["1: before/ct", "2: after/ct"]
    assert app.view.title == "after/ct"
    app.close()


def test_another_scan_begins_at_a_place_of_its_own(ready, belly):
    ready.go_to(belly.grid.to_world((1, 1, 1)))
    affine = belly.affine.copy()
    affine[2, 3] += 5000
    far = Volume(belly.data, Grid(belly.shape, affine), name="far")
    sent = Sent(ready.view)
    ready.session.add(far)
    settle(ready)
    assert far.grid.contains(ready.view.cursor)
    assert sent.cuts() == [("ct", view) for view in slices.VIEWS]


def test_each_scan_keeps_its_crosshair(app, belly):
    first = app.session.scan
    app.go_to(belly.grid.to_world((2, 3, 4)))
    place = list(app.view.cursor)
    app.session.add(cut(belly, belly.grid.to_world(np.array(belly.shape) / 2), 20.0))
    app.session.activate(first)
    settle(app)
    np.testing.assert_allclose(app.view.cursor, place)
    np.testing.assert_allclose(app.session.cursor_mm, place)


def test_wishes_come_from_other_threads(ready):
    here = threading.get_ident()
    seen = []
    ready.session.clicks_changed.connect(lambda scan: seen.append(threading.get_ident()))
    message = {"kind": "pick", "mm": middle(ready).tolist(), "negative": False}
    thread = threading.Thread(target=ready.view._receive, args=(ready.view, message, []))
    thread.start()
    thread.join()
    assert not seen
    settle(ready)
    assert seen == [here]


def test_errors_are_lines_of_text(app):
    app.scans.panel.path.value = "nowhere.nii.gz"
    app.scans.panel.open.click()
    with pytest.raises(CoralBayError):
        settle(app)
    assert "nowhere.nii.gz" in app.status.panel.text.value
    assert "role='alert'" in app.status.panel.text.value
    app.paint.panel.segment.click()
    assert "no features" in app.status.panel.text.value


def test_an_error_goes_when_the_next_command_starts(ready):
    line = ready.status.panel.text
    ready.files.panel.path.value = ""
    ready.files.panel.save.click()
    assert "no file name" in line.value
    ready.view._receive(ready.view, {"kind": "pick", "mm": middle(ready).tolist(), "negative": False}, [])
    settle(ready)
    assert "role='alert'" not in line.value
    assert "1 positive, 0 negative" in line.value
    ready.similar.panel.clear.click()
    settle(ready)
    assert "No clicks" in line.value


def test_the_line_says_what_comes_next(app):
    assert "Compute features" in app.status.panel.text.value
    app.session.compute()
    settle(app)
    assert "click in a view with Pick" in app.status.panel.text.value


def test_files_go_where_the_user_meant(ready, tmp_path):
    line, panel = ready.status.panel.text, ready.files.panel
    ready.session.click(middle(ready))
    settle(ready)
    panel.path.value = str(tmp_path / "reslts" / "heat.nii.gz")
    panel.save.click()
    settle(ready)
    assert "no such folder" in line.value
    assert "reslts" in line.value
    assert not (tmp_path / "reslts").exists()
    panel.path.value = str(tmp_path / "heat.nii.gz")
    panel.save.click()
    settle(ready)
    assert "replaced" not in line.value
    panel.save.click()
    settle(ready)
    assert "replaced" in line.value


def test_colors_that_fail_leave_the_heat_map(ready, monkeypatch):
    ready.session.click(middle(ready))
    settle(ready)

    def fail(*arguments):
        raise InputError("no colors today")

    monkeypatch.setattr("coralbay_viz.controllers.projections.colors", fail)
    ready.colors.panel.pca.click()
    with pytest.raises(InputError):
        settle(ready)
    assert "no colors today" in ready.status.panel.text.value
    assert "heat" in ready.views.shown()
    monkeypatch.undo()
    ready.colors.panel.pca.click()
    settle(ready)
    assert "pca" in ready.views.shown()
    assert "heat" not in ready.views.shown()


def test_what_is_no_scan_is_refused_in_one_line(app):
    with pytest.raises(InputError, match=r"ndarray.*a Volume or a Session") as refused:
        show(np.zeros((4, 4, 4)))
    assert refused.value._render_traceback_() == [f"InputError: {refused.value}"]
    with pytest.raises(InputError, match=r"'liver'.*in mm"):
        app.session.click("liver")


def test_the_background_can_be_painted(ready):
    panel, grid = ready.paint.panel, ready.session.volume.grid
    (background,) = [value for text, value in panel.label.options if text == "background"]
    for label, corner in ((1, (20, 15, 15)), (2, (20, 30, 30)), (background, (5, 5, 5))):
        panel.label.value = label
        point = np.array([grid.to_world(corner)], np.float32)
        ready.view._receive(ready.view, {"kind": "stroke", "view": "axial"}, [point.tobytes()])
        settle(ready)
        missing = "background" in panel.hint.value
        assert missing == (label != background)
    assert ready.session.scan.strokes.now.names == {background: "background"}
    assert [text for text, _ in panel.label.options].count("background") == 1


def test_volumes_are_written_out():
    assert amount(15983.4) == "15\N{NO-BREAK SPACE}983"
    assert amount(0.12345) == "0.1235"
    assert amount(None) == ""


def test_waiting_ends_and_says_what_failed(app):
    def work(context):
        while not context.cancelled():
            time.sleep(0.01)

    job = app.session.run(JobKey("preparation"), work, lambda result: None)
    with pytest.raises(TimeoutError):
        app.wait(job, timeout_s=0.2)
    app.session.cancel()
    app.wait(job, timeout_s=WAIT_S)
    assert job.state == "cancelled"


def test_work_that_is_stopped_says_so_until_it_ends(app):
    going_on = threading.Event()
    job = app.session.run(JobKey("scatter", "test"), lambda context: going_on.wait(WAIT_S), lambda result: None)
    app.status.panel.cancel.click()
    assert "Computing the scatter plot: stopping" in app.status.panel.text.value
    going_on.set()
    app.wait(job, timeout_s=WAIT_S)
    assert "Computing the scatter plot: stopped" in app.status.panel.text.value


@pytest.mark.slow
def test_a_saved_session_opens_again(ready, tmp_path, phantom, succeed):
    succeed("phantom", "-o", tmp_path)
    app = show(tmp_path / "ct.nii.gz", model="hu-patch")
    app.session.compute()
    settle(app)
    app.session.click(phantom.landmarks["liver_right_lobe"])
    app.session.compute_pca()
    settle(app)
    app.files.panel.kind.value = "statistics"
    assert app.files.panel.path.value == "statistics.csv"
    app.files.panel.kind.value = "session"
    app.files.panel.path.value = str(tmp_path / "work.coralbay")
    app.files.panel.save.click()
    settle(app)
    app.close()
    again = show(tmp_path / "work.coralbay")  # all of it is there when it returns
    assert again.session.clicks == app.session.clicks
    assert again.session.heat is not None
    assert again.session.pca is not None
    assert "Session restored" in again.status.panel.text.value
    assert "heat" in again.views.shown()
    assert not {"pca", "segmentation"} & set(again.views.shown())  # one colored layer over another says nothing
    said = []
    again.status.panel.text.observe(lambda change: said.append(change["new"]), "value")
    again.files.panel.session.value = str(tmp_path / "work.coralbay")
    again.files.panel.load.click()
    settle(again)
    assert all("estor" in text or "Loading" in text for text in said), said
    assert "Session restored" in said[-1]
    assert "pca" not in again.views.shown()
    again.close()


def test_a_still_picture_goes_with_the_widget(app):
    data = app._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in data
    assert app.session.volume.name in data["text/plain"]


def test_a_session_of_ones_own_is_shown_and_left_alone(belly):
    session = Session(model="hu-patch")
    session.add(belly)
    app = show(session)
    assert app.session is session
    session.compute()
    session.click(middle(app))
    settle(app)
    assert "1 positive" in app.similar.panel.clicks.value
    app.close()
    session.click(middle(app))  # still at work
    with pytest.raises(InputError, match="shown alone"):
        show(session, "scan.nii.gz")


def test_courier_keeps_order_and_closes():
    courier, seen = MainThreadDispatcher(), []
    threads = [threading.Thread(target=lambda: [courier.deliver(lambda n=n: seen.append(n)) for n in range(20)])]
    for thread in threads:
        thread.start()
        thread.join()
    assert courier.wait(lambda: len(seen) < 20, 5)
    assert seen == list(range(20))
    courier.close()
    courier.deliver(lambda: seen.append("late"))
    assert not courier.wait(lambda: True, 0.6)
    assert "late" not in seen


def test_window_presets_and_dragging(app):
    app.views.tools.windows.value = "Lung"
    assert app.view.window == [-600.0, 1500.0]
    app.view.window = [10.0, 333.0]
    assert app.views.tools.windows.value == "Custom"
    assert isinstance(app, App)


def test_a_scorecard_fills_as_its_rows_come(ready, belly, phantom, tmp_path):
    from coralbay_core.spatial.resampling import resample

    data = resample(phantom.labels.data, phantom.labels.grid, belly.grid, order=0).astype(np.uint8)
    labels = save_map(tmp_path / "labels.nii.gz", data, belly)
    ready.session.click(phantom.landmarks["liver_right_lobe"])
    settle(ready)
    panel = ready.scorecard.panel
    panel.models.value = ("hu-patch", "random")
    panel.reference.value = str(labels)
    panel.compare.click()
    settle(ready)
    assert ready.session.scorecard.card.is_done
    assert "retrieval" in panel.table.value
    assert "random" in panel.table.value
    assert panel.table.value.count(" *<") == 1
    assert "Measured random, 2 of 2" in ready.status.panel.text.value
    assert "Average precision" in panel.table.value
    panel.reference.value = str(tmp_path / "absent.nii.gz")
    panel.compare.click()
    settle(ready)
    assert "no such label map" in ready.status.panel.text.value
    panel.reference.value = ""
    panel.compare.click()
    assert "nothing to measure against" in ready.status.panel.text.value
