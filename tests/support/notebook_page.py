"""A notebook in JupyterLab as a user sees it: the page, and the kernel behind it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import numpy as np

from tests.support.waiting import wait_until

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
SCREEN = {"width": 1400, "height": 1180}
PHANTOM = """
import coralbay_viz
from coralbay_core.phantom import make_phantom
phantom = make_phantom(spacing_mm=(3.0, 3.0, 3.0))
app = coralbay_viz.show(phantom.volume)
app.session.compute()
app.wait()
app.go_to(phantom.landmarks["liver_right_lobe"])
app
"""


class Lab:
    """A running JupyterLab.

    Parameters
    ----------
    url : str
    folder : Path
        Of its notebooks.
    runtime : Path
        Of its kernels' connection files.
    """

    def __init__(self, url, folder, runtime):
        self.url, self.folder, self.runtime = url, folder, runtime

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def delete(self, path):
        request = urllib.request.Request(f"{self.url}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=20).close()


class Kernel:
    """The kernel of a notebook, asked beside the page."""

    def __init__(self, lab, name):
        from jupyter_client import BlockingKernelClient

        (session,) = [entry for entry in lab.get("/api/sessions") if entry["path"] == name]
        self._client = BlockingKernelClient(connection_file=str(lab.runtime / f"kernel-{session['kernel']['id']}.json"))
        self._client.load_connection_file()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._end = lambda: lab.delete(f"/api/sessions/{session['id']}")

    def ask(self, expression, timeout=60):
        """The value of an expression, by way of JSON."""
        wrapped = {"value": f"__import__('json').dumps({expression})"}
        message = self._client.execute("", silent=True, user_expressions=wrapped)
        while True:
            reply = self._client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == message:
                break
        value = reply["content"]["user_expressions"]["value"]
        assert value["status"] == "ok", value
        return json.loads(eval(value["data"]["text/plain"]))  # the repr of a string

    def do(self, code):
        """Run code without waiting for it."""
        self._client.execute(code, silent=True)

    def until(self, expression, timeout_s=30.0):
        """Wait for an expression to be true."""
        try:
            wait_until(lambda: self.ask(f"bool({expression})"), timeout_s)
        except AssertionError:
            raise AssertionError(f"not within {timeout_s:g} s: {expression}") from None

    def close(self):
        self._client.stop_channels()
        with suppress(urllib.error.HTTPError):  # a kernel that restarts is ended with the server
            self._end()


class NotebookPage:
    """A notebook that was run in a page: the view, and the kernel behind it."""

    def __init__(self, lab, browser, name, cells, pictures, watch=None, ready=".coralbay[data-ct]"):
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook.cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
        nbformat.write(notebook, lab.folder / name)
        self.pictures = pictures
        self.errors = []
        self.page = browser.new_page(viewport=SCREEN)
        self.watched = watch(self.page) if watch else None
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{lab.url}/lab/tree/{name}?reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        self.page.get_by_text("| Idle").wait_for(timeout=60_000)  # before that, nothing runs
        self.page.keyboard.press("Control+b")  # the file browser away
        self.run_all()
        try:
            self.page.wait_for_selector(ready, timeout=120_000)
        except Exception:
            self.shot("failed")
            raise
        self.kernel = Kernel(lab, name)

    def run_all(self):
        self.page.get_by_text("Run", exact=True).first.click()
        self.page.get_by_text("Run All Cells", exact=True).click()

    def pane(self, view, beside=False):
        return self.page.locator(f".coralbay-view[data-view={view}]").nth(int(beside))

    def place(self, view, x, y):
        """Page coordinates of a place in a pane, given as shares of its size."""
        self.pane(view).scroll_into_view_if_needed()
        box = self.pane(view).bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def pixels(self, view):
        """RGBA of a pane, (rows, columns, 4)."""
        script = """canvas => {
          const {width, height} = canvas;
          return [height, width, Array.from(canvas.getContext("2d").getImageData(0, 0, width, height).data)];
        }"""
        height, width, values = self.pane(view).evaluate(script)
        return np.array(values, np.uint8).reshape(height, width, 4)

    def mark(self, role):
        """Number of the newest slices of a layer that were drawn; 0 for none."""
        return int(self.page.locator(".coralbay").first.get_attribute(f"data-{role}") or 0)

    def newer(self, role, mark):
        """Wait until newer slices of a layer are drawn."""
        script = f"mark => Number(document.querySelector('.coralbay').dataset.{role} ?? 0) > mark"
        self.page.wait_for_function(script, arg=mark, timeout=30_000)

    def shot(self, name):
        """Keep a picture of the page."""
        self.page.screenshot(path=str(self.pictures / f"{name}.png"))

    def close(self):
        self.kernel.close()
        self.page.close()
        assert not self.errors


def find_chromium():
    """The program, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def headless(program):
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def jupyterlab(home: Path):
    """JupyterLab on a port of its own, with settings of its own, below an empty folder."""
    folders = {name: home / name for name in ("config", "settings", "workspaces", "runtime", "data", "notebooks")}
    extension = folders["settings"] / "@jupyterlab" / "apputils-extension"
    for folder in (*folders.values(), extension):
        folder.mkdir(parents=True, exist_ok=True)
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
    options.append("--ServerApp.disable_check_xsrf=True")  # kernels are ended without a form
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folders['notebooks']}"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    lab = Lab(f"http://127.0.0.1:{port}", folders["notebooks"], folders["runtime"])
    try:
        _wait_for(lab, server, home / "log")
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:  # a kernel at work holds it up
            server.kill()
            server.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(lab, server, log):
    def answers():
        assert server.poll() is None, log.read_text()
        with suppress(OSError):
            return lab.get("/api")

    wait_until(answers)
