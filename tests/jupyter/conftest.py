"""The notebook app, JupyterLab and a headless Chromium for the tests of this folder."""

import os
from pathlib import Path

import pytest

from tests.support.notebook_app import settle
from tests.support.notebook_page import NotebookPage, find_chromium, headless, jupyterlab
from tests.support.scans import cut


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"], 60.0)


@pytest.fixture
def app(belly):
    pytest.importorskip("anywidget")
    from coralbay_viz import show

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab."""
    pytest.importorskip("jupyterlab")
    with jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium of this machine."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    pytest.importorskip("playwright", reason="playwright is not installed")
    with headless(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folder of the screenshots: CORALBAY_SCREENSHOTS, or a temporary one."""
    chosen = os.environ.get("CORALBAY_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def open_notebook(lab, chromium, pictures):
    """Open a notebook of these cells in a page and run it."""
    opened = []

    def open_(*cells):
        page = NotebookPage(lab, chromium, f"story-{len(list(lab.folder.glob('*.ipynb')))}.ipynb", cells, pictures)
        opened.append(page)
        return page

    yield open_
    for page in opened:
        page.close()
