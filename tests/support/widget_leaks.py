"""A pytest plugin that fails a test marked `gui` if it leaves a top-level widget: it would keep its viewer and scan."""

import gc

import pytest

_CALL = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep the outcome of a test for its fixtures."""
    report = yield
    if report.when == "call":
        item.stash[_CALL] = report
    return report


@pytest.fixture(autouse=True)
def no_leaked_widgets(request):
    """Compare the top-level widgets before and after a gui test."""
    if request.node.get_closest_marker("gui") is None:
        yield
        return
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance() or request.getfixturevalue("qapp")
    before = set(application.topLevelWidgets())
    yield
    report = request.node.stash.get(_CALL, None)
    if report is None or not report.passed:
        return  # the traceback of a failed test holds on to its widgets
    leaked = _top_level_widgets(application) - before
    assert not leaked, f"widgets are left behind: {sorted(map(repr, leaked))}"


def _top_level_widgets(application):
    from qtpy.QtCore import QEvent

    gc.collect()
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    application.processEvents()
    return set(application.topLevelWidgets())
