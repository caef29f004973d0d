"""Animation at the top of README.md: a click, a drag of the threshold, and the match in a second patient.

    make animation                                      on two synthetic torsos
    make animation CT=scan.nii.gz SECOND=other.nii.gz   on scans of yours

Every picture is one of a real window; only the pointer and the line of text below are drawn. Waiting is left out.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QSlider

from coralbay_core.util.atomic_file import atomic_path
from scripts.napari_window import NapariWindow, handle_of

SIZE = (1180, 720)
LINE = 34
LIMIT_BYTES = 4_000_000
STEP_MS, REST_MS = 70, 1300
ARROW = ((0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12))

Point = tuple[float, float]  # in pixels of the window


class Film:
    """Pictures and how long each is shown."""

    def __init__(self, window: NapariWindow) -> None:
        self.window = window
        self.pictures: list[Image.Image] = []
        self.times_ms: list[int] = []
        self.text = ""
        self.pointer: Point = (0, 0)
        self._font = ImageFont.load_default(size=18)

    def shoot(self, ms: int = STEP_MS, *, pressed: bool = False, seconds: float = 0.05) -> None:
        """Add a picture of the window as it is now."""
        self.window.wait(seconds=seconds)
        shot = self.window.picture()
        picture = Image.new("RGB", (shot.width, shot.height + LINE), "#16323f")
        picture.paste(shot)
        draw = ImageDraw.Draw(picture)
        draw.text((14, shot.height + LINE / 2), self.text, "white", self._font, anchor="lm")
        x, y = self.pointer
        if pressed:
            draw.ellipse((x - 11, y - 11, x + 11, y + 11), outline="white", width=2)
        draw.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill="white", outline="black")
        self.pictures.append(picture)
        self.times_ms.append(ms)

    def move(self, to: Point, steps: int = 8) -> None:
        """Move the pointer in front of the window as it is."""
        start = np.array(self.pointer)
        for part in np.linspace(0, 1, steps + 1)[1:]:
            self.pointer = tuple(start + (np.array(to) - start) * part * part * (3 - 2 * part))
            self.shoot()

    def save(self, path: Path) -> None:
        """Write the animation as WebP, in full color."""
        first, *rest = self.pictures
        with atomic_path(path, path.suffix) as temporary:
            first.save(
                temporary,
                save_all=True,
                append_images=rest,
                duration=self.times_ms,
                loop=0,
                quality=88,
                method=6,
                kmax=30,
            )
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise SystemExit(f"error: animation is too large - {path} - {size} bytes - expected {LIMIT_BYTES} at most")
        print(f"{path}: {len(self.pictures)} pictures, {size / 1e6:.1f} MB, {sum(self.times_ms) / 1000:.0f} s")


def act(film: Film) -> None:
    """Do what the animation shows."""
    window = film.window
    panel = window.dock.similar_panel
    place = window.place()
    window.dock.binding.set_visible("pca", False)
    window.dock.binding.go_to(place)
    window.wait(seconds=1)

    film.text = "1   Click a structure: CoralBay shows what belongs to it."
    canvas = window.canvas
    film.pointer = window.in_window(canvas, canvas.rect().center())
    film.shoot(REST_MS)
    point = window.point_of(place)
    film.move(window.in_window(canvas, point))
    film.shoot(pressed=True)
    window.click_canvas(point)
    window.wait(lambda: window.session.heat is not None)
    film.shoot(REST_MS, seconds=1.5)

    film.text = "2   Drag the threshold: less of it, or more."
    slider = panel.slider
    film.move(window.in_window(slider, handle_of(slider)))
    drag(film, slider, [0.75, 0.15, 0.4])
    film.shoot(REST_MS)

    film.text = "3   The same click, searched in another patient."
    second = window.open_second()
    window.wait(seconds=1)
    window.dock.show_tab("Compare")
    film.move(window.in_window(window.dock.compare_panel.side_by_side))
    film.shoot(pressed=True)
    window.compare_with(second, place)
    film.shoot(2 * REST_MS, seconds=2.5)
    film.shoot(2 * REST_MS, seconds=0.5)


def drag(film: Film, slider: QSlider, stops: list[float]) -> None:
    """Drag the handle of a slider with the mouse to shares of its range, one after the other."""
    window, handle = film.window, handle_of(slider)
    QTest.mousePress(slider, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, handle)
    width, place = slider.width(), handle.x()
    for stop in stops:
        for x in np.linspace(place, stop * width, 9)[1:]:
            handle.setX(round(float(x)))
            QTest.mouseMove(slider, handle)
            film.pointer = window.in_window(slider, handle)
            film.shoot(110, pressed=True, seconds=0.3)
        place = stop * width
    QTest.mouseRelease(slider, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, handle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--second", type=Path)
    arguments = parser.parse_args()
    window = NapariWindow(arguments.ct, arguments.second)
    window.main.resize(*SIZE)
    for other in window.main.findChildren(QDockWidget):
        if not other.isAncestorOf(window.dock):
            other.hide()  # napari's own controls: the scan gets their place
    window.open_first()
    film = Film(window)
    act(film)
    film.save(arguments.out)
    window.close()


if __name__ == "__main__":
    main()
