"""JupyterLab and a headless Chromium for the tests of this folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from notebook_page import Lab, NotebookPage

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Nothing that asks the network.
FLAGS = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
SETTINGS = {"notification": {"fetchNews": "false", "checkForUpdates": False}}  # else a pop-up covers the page


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(lab, server, log):
    end = time.monotonic() + 60
    while True:
        try:
            lab.get("/api")
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a port of its own, with settings of its own."""
    pytest.importorskip("jupyterlab")
    home = tmp_path_factory.mktemp("lab")
    folders = {name: home / name for name in ("config", "settings", "workspaces", "runtime", "data", "notebooks")}
    for folder in folders.values():
        folder.mkdir()
    extension = folders["settings"] / "@jupyterlab" / "apputils-extension"
    extension.mkdir(parents=True)
    for name, values in SETTINGS.items():
        (extension / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    environment = os.environ | {variable: str(folders[name]) for variable, name in places.items()}
    port = free_port()
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", "--ServerApp.password="]
    options.append("--ServerApp.disable_check_xsrf=True")  # tests end kernels without a form
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folders['notebooks']}"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    made = Lab(f"http://127.0.0.1:{port}", folders["notebooks"], folders["runtime"])
    try:
        _wait_for(made, server, home / "log")
        yield made
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:  # a kernel at work holds it up
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium of this machine."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


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
