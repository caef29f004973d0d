"""From a click in a notebook to the new heat map on the page: time and bytes, in JupyterLab and a headless Chromium.

    make bench-notebook                        (ARGS="--clicks 40", ARGS="--side 200", ARGS=--niivue)
    python benchmarks/notebook.py [--side 300] [--spacing 1.5] [--clicks 30] [--niivue]

The scan is the phantom in a cube of 300 voxels a side; its features are in the cache. A click is a real one, from the
release of the button to the frame in which the canvas has drawn the new heat map, measured by the page's own clock.
Bytes are those of the web socket's frames to the page. `--niivue` measures the same with ipyniivue, where it is
installed: the click moves its crosshair, Python sends the new overlay of the whole volume (8 bits, on the 3 mm grid),
and the time, of three clicks, goes from the crosshair's arrival in Python to the page's report that it has the overlay.
Without a GPU its WebGL is drawn by the CPU, so look at its bytes more than at its time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.notebook_page import NotebookPage, find_chromium, headless, jupyterlab

SCAN = """
import numpy as np
from coralbay_core.phantom import make_phantom
from coralbay_core.spatial.volume import Grid, Volume
phantom = make_phantom(spacing_mm=({spacing},) * 3)
shape = np.array(phantom.volume.shape)
data = np.full(({side},) * 3, -1000, np.int16)
low = np.maximum(({side} - shape) // 2, 0)
start = np.maximum((shape - {side}) // 2, 0)
size = np.minimum(shape, {side})
inner, outer = (tuple(slice(a, a + n) for a, n in zip(begin, size)) for begin in (low, start))
data[inner] = phantom.volume.data[outer]
affine = phantom.volume.affine.copy()
affine[:3, 3] = phantom.volume.grid.to_world(start - low)
volume = Volume(data, Grid(data.shape, affine), name="phantom")
"""
APP = """
import coralbay_viz
app = coralbay_viz.show(volume)
app.session.compute()
app.wait()
app.go_to(phantom.landmarks["liver_right_lobe"])
app
"""
NIIVUE = """
import io, time
import ipyniivue, nibabel
from coralbay_viz import Session
session = Session()
session.add(volume)
session.compute()
def as_nifti(data, grid):
    image = nibabel.Nifti1Image(np.ascontiguousarray(data.transpose(2, 1, 0)), grid.affine[:, [2, 1, 0, 3]])
    return image.to_bytes()
view = ipyniivue.NiiVue()
base = ipyniivue.Volume(data=as_nifti(volume.data, volume.grid), name="ct.nii")
view.load_volumes([base])
seconds, began = [], None
@view.on_location_change
def clicked(location):
    global began
    if began is not None or "heat" not in globals().get("wanted", ""):
        return
    began = time.perf_counter()
    session.clear_clicks()
    session.click(location["mm"][:3])
    low, high = session.threshold, session.heat.scale.high
    levels = np.clip((session.heat.shown - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    data = as_nifti(levels, session.heat.grid)
    heat = ipyniivue.Volume(data=data, name="heat.nii", colormap="warm")
    heat.observe(loaded, "hdr")  # the page sends the header back when it has the volume
    view.volumes = [base, heat]
def loaded(change):
    global began
    if began is not None:
        seconds.append(time.perf_counter() - began)
        began = None
view
"""
# Time from the release of the button to the frame after the canvas was drawn with slices of a newer heat map.
WATCH = """() => {
  const root = document.querySelector(".coralbay");
  window.times = [];
  let begin = null;
  let shown = root.dataset.heat;
  document.addEventListener("pointerup", () => (begin = performance.now()), true);
  new MutationObserver(() => {
    if (root.dataset.heat === shown || begin === null) return;
    shown = root.dataset.heat;
    const start = begin;
    begin = null;
    requestAnimationFrame(() => window.times.push(performance.now() - start));
  }).observe(root, { attributeFilter: ["data-heat"] });
}"""


class Traffic:
    """Bytes of web sockets to a page."""

    def __init__(self, page):
        self.bytes = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, frame):
        self.bytes += len(frame)


def places(count):
    """Places in the axial pane, all different, well inside the body."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return [(0.5 + 0.16 * float(np.cos(a)), 0.5 + 0.09 * float(np.sin(a))) for a in angles]


def measure_app(lab, browser, scan, clicks, folder):
    notebook = NotebookPage(lab, browser, "app.ipynb", [scan, APP], folder, watch=Traffic)
    page, traffic, sizes = notebook.page, notebook.watched, []
    page.evaluate(WATCH)
    for number, place in enumerate(places(clicks)):
        notebook.kernel.ask("app.session.clear_clicks() and None")
        notebook.kernel.until("app.session.heat is None")
        page.wait_for_timeout(150)
        before = traffic.bytes
        page.mouse.click(*notebook.place("axial", *place))
        page.wait_for_function(f"window.times.length > {number}", timeout=60_000)
        page.wait_for_timeout(150)
        sizes.append(traffic.bytes - before)
    times = page.evaluate("window.times")
    notebook.shot("app")
    notebook.close()
    return times, sizes


def measure_niivue(lab, browser, scan, clicks, folder):
    notebook = NotebookPage(
        lab, browser, "niivue.ipynb", [scan, NIIVUE], folder, watch=Traffic, ready=".jp-OutputArea canvas"
    )
    page, traffic, sizes = notebook.page, notebook.watched, []
    opened = traffic.bytes
    page.wait_for_timeout(20_000)  # for the scan to be there
    opened = traffic.bytes
    notebook.kernel.ask("globals().update(wanted='heat')")
    page.locator(".jp-OutputArea canvas").first.scroll_into_view_if_needed()
    box = page.locator(".jp-OutputArea canvas").first.bounding_box()
    notebook.shot("niivue")
    for number, (x, y) in enumerate(places(clicks)):
        before = traffic.bytes
        page.mouse.click(box["x"] + box["width"] * (0.15 + 0.2 * x), box["y"] + box["height"] * (0.15 + 0.2 * y))
        notebook.kernel.until(f"len(seconds) > {number}", timeout_s=240)
        page.wait_for_timeout(150)
        sizes.append(traffic.bytes - before)
    times = [1000 * seconds for seconds in notebook.kernel.ask("seconds")]
    notebook.close()
    return times, sizes, opened


def line(name, times, sizes):
    quantiles = statistics.quantiles(times, n=20, method="inclusive")
    return (
        f"| {name} | {statistics.median(times):.0f} | {quantiles[-1]:.0f} | {max(times):.0f} "
        f"| {statistics.median(sizes) / 1000:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=300, help="voxels of the scan along each axis")
    parser.add_argument("--spacing", type=float, default=1.5, help="mm")
    parser.add_argument("--clicks", type=int, default=30)
    parser.add_argument("--niivue", action="store_true", help="measure ipyniivue, too")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit("error: no Chromium on this machine - apt-get install chromium")
    scan = SCAN.format(side=arguments.side, spacing=arguments.spacing)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        folder = arguments.pictures or Path(home)
        folder.mkdir(parents=True, exist_ok=True)
        with jupyterlab(Path(home)) as lab, headless(program) as browser:
            start = time.perf_counter()
            rows = [line("slices, this package", *measure_app(lab, browser, scan, arguments.clicks, folder))]
            print(rows[0])
            if arguments.niivue:
                times, sizes, opened = measure_niivue(lab, browser, scan, min(arguments.clicks, 3), folder)
                rows.append(line("whole overlay, ipyniivue", times, sizes))
                rows.append(f"\nipyniivue was sent {opened / 1e6:.0f} MB before the first click.")
    took = time.perf_counter() - start
    print(f"{arguments.side}^3 voxels of {arguments.spacing} mm, {arguments.clicks} clicks, {took:.0f} s\n")
    print("| click to heat map | median ms | 95 % | worst | kB a click |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
