"""What a user waits for with a scan of 512 x 512 x 600 voxels: the window, the scan, the first heat map, all features.

    make bench-first                                 (ARGS="--ct CT --starts 3")

A CT is resampled to the slices of a DICOM series: 0.75 mm pixels, 600 slices 1 mm apart, along which it is stretched,
with the noise of a scanner. In a window, somebody clicks and presses *Compute* as soon as the scan is there. Then the
scan is opened again, with its features in the cache. Every part runs in a process of its own, with a cache of its own.
Seconds of the clock depend on what else runs on the machine, those of the processor hardly: both are printed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHAPE = (600, 512, 512)
SPACING_MM = (1.0, 0.75, 0.75)
NOISE_HU = 10
_START = """
import resource, sys, time
begin = time.perf_counter()
import napari
from qtpy.QtCore import QTimer
loop = napari.run
def shown():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(time.perf_counter() - begin, used.ru_utime + used.ru_stime, flush=True)
    napari.current_viewer().close()
def run():
    QTimer.singleShot(0, shown)
    loop()
napari.run = run
if sys.argv[1] == "napari":
    napari.Viewer()
    napari.run()
else:
    from coralbay_core.cli import run as command
    command(["view"])
"""


class Clock:
    """Seconds of the clock and of the processor since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu()
        self.marks: dict[str, tuple[float, float]] = {}

    def mark(self, name: str) -> None:
        """Note the time of an event, the first time that it happens."""
        self.marks.setdefault(name, (time.perf_counter() - self._wall, _cpu() - self._cpu))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def write_series(ct: Path | None, folder: Path) -> None:
    """Write the series; without a CT, of the phantom."""
    from coralbay_core.io import load_volume
    from coralbay_core.phantom import make_phantom
    from coralbay_core.spatial import Grid
    from coralbay_core.spatial.resampling import resample
    from tests.support.dicom import write_series

    volume = make_phantom().volume if ct is None else load_volume(ct)
    grid = volume.grid.orientation.grid
    step = np.array(SPACING_MM)
    step[0] = grid.spacing_mm[0] * grid.shape[0] / SHAPE[0]  # stretched: the series says that slices are 1 mm apart
    affine = grid.affine.copy()
    affine[:3, :3] *= step / grid.spacing_mm
    affine[:3, 3] = grid.center_mm - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    hu = resample(volume.data, volume.grid, Grid(SHAPE, affine), fill=-1000)
    hu += np.random.default_rng(0).normal(0, NOISE_HU, SHAPE).astype(np.float32)
    hu = hu.round().clip(-1024, 3071).astype(np.int16)
    write_series(folder, hu, step=(0, 0, SPACING_MM[0]), spacing=SPACING_MM[1:])


def first_answer(folder: Path) -> Clock:
    """Open the series in a window, click in its middle at once, and wait for all features."""
    session, viewer, wait = _window()
    drawn: list[str] = []
    clock = Clock()
    canvas = viewer.window._qt_viewer.canvas._scene_canvas

    def answered(scan: object) -> None:
        if session.heat is not None:
            drawn.append("heat")

    canvas.events.draw.connect(lambda event: clock.mark("first heat map drawn") if drawn else None)
    session.heat_changed.connect(answered)
    session.preview_changed.connect(lambda scan: clock.mark("features around the click"))
    session.features_changed.connect(lambda scan: clock.mark("features of the whole scan"))
    session.open(folder)
    wait(lambda: session.scan is not None)
    clock.mark("scan read")
    middle = session.scan.volume.grid.center_mm
    session.click(tuple(middle))
    session.compute()
    wait(lambda: session.features is not None)
    wait(lambda: session.heat is not None and not session.heat.partial)
    clock.mark("heat map of the whole scan")
    viewer.close()
    session.close()
    return clock


def cached(folder: Path) -> Clock:
    """Open the series in a window that finds its features in the cache; then they are opened once more."""
    from coralbay_core.extraction.pipeline import features_for

    session, viewer, wait = _window()
    session.open(folder)
    wait(lambda: session.scan is not None)
    clock = Clock()
    wait(lambda: session.features is not None)
    clock.mark("from the scan to its features, first time in a window")
    encoder, volume = session.controllers.features.encoders.get(session.model), session.scan.volume
    viewer.close()
    session.close()
    again = Clock()
    features_for(volume, encoder)
    again.mark("the same again, packages imported")
    clock.marks |= again.marks
    return clock


def _window() -> tuple:
    from qtpy.QtCore import QEventLoop, QTimer

    from coralbay_viz.napari_ui.launch import open_window
    from coralbay_viz.napari_ui.widget import threaded_session

    session = threaded_session()
    viewer, _ = open_window(session)

    def wait(until: Callable[[], object]) -> None:
        loop, timer = QEventLoop(), QTimer()
        timer.setInterval(5)
        timer.timeout.connect(lambda: loop.quit() if until() else None)
        timer.start()
        loop.exec()
        timer.stop()

    start = time.perf_counter()
    wait(lambda: time.perf_counter() > start + 2)  # the window is drawn, and its user finds the folder
    return session, viewer, wait


PARTS = {"first": first_answer, "cached": cached}


def start(kind: str) -> tuple[float, float]:
    """Seconds of clock and processor from an empty process to a window."""
    command = [sys.executable, "-W", "ignore", "-c", _START, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cpu = done.stdout.split()[-2:]
    return float(wall), float(cpu)


def _run_part(name: str, folder: Path, cache: Path) -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.first_answer", "--part", name, "--series", str(folder)]
    environment = os.environ | {"CORALBAY_CACHE": str(cache), "CORALBAY_STATE": str(cache / "state")}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, help="by default the phantom")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--series", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments.series).marks))
        return
    print("| what | s | s of the processor |\n|---|---|---|")
    starts = {kind: [] for kind in ("napari", "coralbay view")}
    for _ in range(arguments.starts):
        for kind, times in starts.items():
            times.append(start(kind))
    for kind, times in starts.items():
        wall, cpu = (statistics.median(part) for part in zip(*times, strict=True))
        print(f"| start of {kind} | {wall:.1f} | {cpu:.1f} |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "series"
        write_series(arguments.ct, folder)
        for part in PARTS:
            for name, (wall, cpu) in _run_part(part, folder, Path(temporary)).items():
                print(f"| {name} | {wall:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
