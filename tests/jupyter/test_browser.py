"""Stories in JupyterLab: what a user does with the mouse, and what Python then knows and the page shows."""

import re

import numpy as np
import pytest

from tests.support.notebook_page import PHANTOM

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOLERANCE_MM = 3.0


def test_a_click_lights_up_what_looks_alike(open_notebook):
    page = open_notebook(PHANTOM)
    want = np.array(page.kernel.ask("list(phantom.landmarks['liver_right_lobe'])"))
    before = page.pixels("coronal")
    grid = page.kernel.ask("[list(app.session.volume.shape), app.session.volume.affine.tolist()]")
    x, y = shares_of(want, *grid)
    page.page.mouse.click(*page.place("axial", x, y))
    page.newer("heat", 0)
    (clicked,) = page.kernel.ask("app.session.clicks.positive")
    assert np.abs(clicked - want).max() < TOLERANCE_MM
    assert page.kernel.ask("app.session.heat.regions[0].score") > 0.9
    changed = np.abs(page.pixels("coronal").astype(int) - before).max(-1) > 20
    assert 0.01 < changed.mean() < 0.5  # the liver, not everything
    low, high = page.page.locator(".coralbay-colors").first.inner_text().removeprefix("similarity").split()
    assert float(low) == pytest.approx(page.kernel.ask("app.session.threshold"), abs=0.006)
    assert float(low) < float(high)
    page.shot("click")
    mark = page.mark("heat")
    page.page.keyboard.down("Shift")
    page.page.mouse.click(*page.place("axial", 0.62, 0.6))
    page.page.keyboard.up("Shift")
    page.newer("heat", mark)
    assert page.kernel.ask("len(app.session.clicks.negative)") == 1
    # A line of code does the same.
    mark = page.mark("heat")
    page.kernel.do("app.session.undo()")
    page.newer("heat", mark)
    assert page.kernel.ask("len(app.session.clicks.negative)") == 0


def shares_of(position_mm, shape, affine):
    """Where a position lies in the axial pane, which is square; the longest side of the scan fits into each pane."""
    index = np.linalg.inv(affine) @ [*position_mm, 1]
    spacing = np.linalg.norm(np.array(affine)[:3, :3], axis=0)
    size = np.array(shape) * spacing
    side = size.max()
    y, x = ((index[1:3] + 0.5) * spacing[1:] + (side - size[1:]) / 2) / side
    return x, y


def test_mouse_and_keys_move_about(open_notebook):
    page = open_notebook(PHANTOM)
    start = np.array(page.kernel.ask("app.view.cursor"))
    mark = page.mark("ct")
    page.page.mouse.move(*page.place("axial", 0.5, 0.5))
    page.page.mouse.wheel(0, -100)
    page.newer("ct", mark)
    up = np.array(page.kernel.ask("app.view.cursor"))
    np.testing.assert_allclose(up - start, [0, 0, 3], atol=0.01)
    mark = page.mark("ct")
    page.pane("coronal").focus()
    page.page.keyboard.press("ArrowRight")
    page.newer("ct", mark)
    np.testing.assert_allclose(np.array(page.kernel.ask("app.view.cursor")) - up, [-3, 0, 0], atol=0.01)
    page.page.keyboard.press("Enter")
    page.newer("heat", 0)
    np.testing.assert_allclose(page.kernel.ask("app.session.clicks.positive[0]"), page.kernel.ask("app.view.cursor"))
    level, width = page.kernel.ask("app.view.window")
    before = page.pixels("sagittal")
    page.page.mouse.move(*page.place("axial", 0.5, 0.5))
    page.page.mouse.down(button="right")
    page.page.mouse.move(*page.place("axial", 0.8, 0.3), steps=4)
    page.page.mouse.up(button="right")
    page.kernel.until(f"app.view.window[0] < {level} and app.view.window[1] > {width}")
    assert np.abs(page.pixels("sagittal").astype(int) - before).max() > 20
    assert page.kernel.ask("app.views.tools.windows.value") == "Custom"
    page.shot("window")
    # One view alone, and all three again; zoom is shared and leaves the crosshair where it is.
    small = page.pane("sagittal").bounding_box()
    page.page.get_by_role("button", name="Enlarge the sagittal view").click()
    page.kernel.until("app.view.enlarged == 'sagittal'")
    assert page.pane("sagittal").bounding_box()["width"] > 2.5 * small["width"]
    assert not page.pane("axial").is_visible()
    page.shot("enlarged")
    page.page.get_by_role("button", name="Show all three views").click()
    page.kernel.until("app.view.enlarged == ''")
    page.pane("axial").press("+")
    page.kernel.until("app.view.zoom > 1.1")
    page.pane("coronal").press("0")
    page.kernel.until("app.view.zoom == 1")


def test_the_readout_is_of_the_slice_that_is_shown(open_notebook):
    page = open_notebook(PHANTOM)
    page.page.mouse.move(*page.place("axial", 0.31, 0.46))
    mark = page.mark("ct")
    page.page.mouse.wheel(0, 100)  # the pointer stays where it is
    page.newer("ct", mark)
    assert abs(read(page)["S"] - page.kernel.ask("app.view.cursor[2]")) < 1.5  # half a slice
    assert_true(page)
    mark = page.mark("ct")
    for key in ("PageUp", "ArrowRight"):
        page.pane("axial").press(key)
        page.newer("ct", mark)
        mark = page.mark("ct")
    assert page.page.locator(".coralbay-readout").first.inner_text().startswith("crosshair")
    np.testing.assert_allclose([read(page)[axis] for axis in "RAS"], page.kernel.ask("app.view.cursor"), atol=0.06)
    assert_true(page)


def read(page):
    """What the readout says: R, A and S in mm, and HU."""
    text = page.page.locator(".coralbay-readout").first.inner_text()
    pattern = r"R (?P<R>\S+)  A (?P<A>\S+)  S (?P<S>\S+) mm · (?P<HU>-?\d+) HU"
    return {name: float(value) for name, value in re.search(pattern, text).groupdict().items()}


def assert_true(page):
    """The readout's HU are those of the scan at its mm."""
    said = read(page)
    place = [said[axis] for axis in "RAS"]
    index = f"tuple(app.session.volume.grid.to_index({place}).round().astype(int))"
    assert said["HU"] == page.kernel.ask(f"int(app.session.volume.data[{index}])")


def test_strokes_and_a_live_probe(open_notebook):
    page = open_notebook(PHANTOM)
    page.page.get_by_role("button", name="Paint").click()
    draw(page, [(0.28, 0.45), (0.36, 0.5)])
    page.newer("strokes", 0)
    assert page.kernel.ask("sorted(set(app.session.scan.strokes.now.values.tolist()))") == [1]
    page.kernel.do("app.paint.panel.label.value = 2")
    page.kernel.until("app.view.brush_color == '#56b4e9'")
    draw(page, [(0.68, 0.3), (0.72, 0.35)])
    page.newer("segmentation", 0)
    counts = page.kernel.ask(
        "__import__('numpy').bincount(app.session.segmentation.data.ravel(), minlength=3).tolist()"
    )
    assert min(counts[1:]) > 100
    page.shot("paint")
    page.page.keyboard.press("Control+z")
    page.kernel.until("set(app.session.scan.strokes.now.values.tolist()) == {1}")


def draw(page, corners):
    mouse = page.page.mouse
    mouse.move(*page.place("axial", *corners[0]))
    mouse.down()
    for corner in corners[1:]:
        mouse.move(*page.place("axial", *corner), steps=5)
    mouse.up()


def test_points_and_slices_are_linked(open_notebook):
    page = open_notebook(PHANTOM)
    page.page.get_by_role("tab", name="Colors").click()
    page.page.get_by_role("button", name="PCA colors").click()
    page.newer("pca", 0)
    page.page.get_by_role("button", name="PCA points").click()
    count = page.kernel.ask("int(app.session.features.body_at(4).sum())")
    page.page.wait_for_selector(f".coralbay-scatter[data-points='{count}']")
    page.shot("scatter")
    box = page.page.locator(".coralbay-scatter canvas").bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    before = page.kernel.ask("app.view.cursor")
    page.page.mouse.click(*at(0.5, 0.5))
    page.kernel.until(f"app.view.cursor != {before}")
    page.page.mouse.move(*at(0.05, 0.05))
    page.page.mouse.down()
    for corner in ((0.5, 0.05), (0.5, 0.95), (0.05, 0.95), (0.05, 0.05)):
        page.page.mouse.move(*at(*corner), steps=4)
    page.page.mouse.up()
    page.newer("lasso", 0)
    chosen = page.kernel.ask("int(app.session.scan.selection.sum())")
    assert 0 < chosen < count
    page.shot("lasso")


def test_two_scans_side_by_side(open_notebook):
    page = open_notebook(PHANTOM, OTHER)
    page.kernel.until("app.views.second_binding")
    page.page.wait_for_function("document.querySelectorAll('.coralbay')[1].dataset.ct > 0")
    x, y = 0.3, 0.5
    page.page.mouse.click(*page.place("axial", x, y))
    page.kernel.until("app.session.scans[0].heat is not None")
    page.page.wait_for_function("document.querySelectorAll('.coralbay')[1].dataset.heat > 0")
    assert page.kernel.ask("app.session.scans[0].origin is app.session.scan")
    for beside in (False, True):  # three in a row each
        tops = {page.pane(view, beside).bounding_box()["y"] for view in ("axial", "coronal", "sagittal")}
        assert len(tops) == 1
    page.shot("beside")


OTHER = """
second = make_phantom(seed=1, spacing_mm=(3.0, 3.0, 3.0))
app.session.add(second.volume)
app.session.compute()
app.wait()
app.compare(app.session.scans[0])
"""


HELD = """
import ctypes, gc

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

class Counters(ctypes.Structure):  # mallinfo2 of glibc 2.33 and newer
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Counters

def held():
    gc.collect()
    counters = library.mallinfo2()
    return counters.uordblks + counters.hblkhd
"""


def test_memory_does_not_grow_with_clicks(open_notebook):
    page = open_notebook(PHANTOM)
    # What is allocated. Resident memory would also count what the allocator keeps, up to 100 MB.
    page.kernel.do(HELD)
    sizes = []
    for number in range(200):
        if number % 8 == 0:
            page.kernel.until("not app.status.running")
            sizes.append(page.kernel.ask("held()"))
            page.kernel.ask("app.session.clear_clicks() and None")
        mark = page.mark("heat")
        angle = 2 * np.pi * number / 29
        page.page.mouse.click(*page.place("axial", 0.5 + 0.2 * np.cos(angle), 0.5 + 0.1 * np.sin(angle)))
        page.newer("heat", mark)
    grown = np.min(sizes[-5:]) - np.min(sizes[5:10])
    assert grown < 20e6, f"{grown / 1e6:.1f} MB more after 120 clicks: {np.round(np.array(sizes) / 1e6, 1)}"
    page.kernel.until("not app.status.running")


def test_a_busy_kernel_says_so_and_a_restarted_one_too(open_notebook):
    page = open_notebook(PHANTOM)
    page.kernel.do("import time; time.sleep(4)")
    page.page.mouse.click(*page.place("axial", 0.3, 0.5))
    page.page.get_by_text("Python is busy").first.wait_for(timeout=5000)
    page.newer("heat", 0)  # the click was not lost
    assert page.page.get_by_text("Python is busy").count() == 0
    page.page.get_by_text("Kernel", exact=True).first.click()
    page.page.get_by_text("Restart Kernel…").first.click()
    page.page.locator(".jp-Dialog .jp-mod-accept").click()
    page.page.get_by_text("The kernel was restarted").first.wait_for(timeout=30_000)
    page.shot("restarted")
