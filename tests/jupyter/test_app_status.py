"""The status line of the app: errors, progress, the next step, and the thread on which requests run."""

import threading
import time

import numpy as np
import pytest

from tests.support.notebook_app import WAIT_S, middle, settle

pytest.importorskip("anywidget")

from coralbay_core.errors import CoralBayError, InputError
from coralbay_viz import show
from coralbay_viz.jobs import JobKey
from coralbay_viz.jupyter_ui.dispatcher import MainThreadDispatcher

pytestmark = pytest.mark.forward


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
    assert "No prompts" in line.value


def test_the_line_says_what_comes_next(app):
    assert "Compute features" in app.status.panel.text.value
    app.session.compute()
    settle(app)
    assert "click in a view with Pick" in app.status.panel.text.value


def test_what_is_no_scan_is_refused_in_one_line(app):
    with pytest.raises(InputError, match=r"ndarray.*a pair \(array, affine\)") as refused:
        show(np.zeros((4, 4, 4)))
    assert refused.value._render_traceback_() == [f"InputError: {refused.value}"]
    with pytest.raises(InputError, match=r"'liver'.*in mm"):
        app.session.click("liver")


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
