"""Pictures of the notebook app for the documentation, of a real JupyterLab in a headless Chromium.

python scripts/notebook_pictures.py [-o docs/images]
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.notebook_page import PHANTOM, NotebookPage, find_chromium, headless, jupyterlab  # noqa: E402

SECOND = """
second = make_phantom(seed=1, spacing_mm=(3.0, 3.0, 3.0))
app.session.add(second.volume)
app.session.compute()
app.wait()
app.session.activate(app.session.scans[0])
app.compare(app.session.scans[1])
app.session.click(phantom.landmarks["liver_right_lobe"])
app.go_to(phantom.landmarks["liver_right_lobe"])
app.wait()
"""
STROKES = """
from coralbay_viz.demo import auto_strokes
scan = app.session.scan
placed = auto_strokes.place(scan.volume, scan.features, scan.label_grid, phantom)
app.session.segment(placed.labels)
app.wait()
app.views.choose_tool("paint")
app.views.reveal("segmentation", "strokes")
app.session.compute_statistics()
app.wait()
"""
POINTS = """
app.colors._color("pca")
app.wait()
app.session.compute_scatter("pca")
app.wait()
app.show_tab("Colors")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs" / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    program = find_chromium()
    if program is None:
        sys.exit("error: no Chromium on this machine - apt-get install chromium")
    home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with home as folder, jupyterlab(Path(folder)) as lab, headless(program) as browser:
        take(lab, browser, out)


def take(lab, browser, out: Path) -> None:
    notebook = NotebookPage(lab, browser, "pictures.ipynb", [PHANTOM], out)

    def keep(name: str) -> None:
        notebook.page.mouse.move(5, 5)
        notebook.page.wait_for_timeout(1500)
        notebook.page.locator(".jp-OutputArea-output").first.screenshot(path=str(out / f"{name}.png"))

    def do(code: str) -> None:
        notebook.kernel.ask(f"exec({code!r}, globals())", timeout=120)

    notebook.page.mouse.click(*notebook.place("axial", 0.28, 0.48))
    notebook.newer("heat", 0)
    notebook.page.wait_for_timeout(800)
    notebook.shot("notebook")
    do(STROKES)
    keep("notebook-paint")
    do(POINTS)
    keep("notebook-points")
    do(SECOND)
    do("app.views.reveal('heat'); app.show_tab('Similar')")
    keep("notebook-beside")
    notebook.close()


if __name__ == "__main__":
    main()
