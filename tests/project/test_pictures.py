"""Pictures of the documentation: in full color, so that small patches such as clicks and lights keep their meaning."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from coralbay_viz.model.palette import NEGATIVE, POSITIVE
from tests.support import ROOT

IMAGES = ROOT / "docs" / "images"
ANIMATION = IMAGES / "animation.webp"
LIMIT_BYTES = 4_000_000
TOLERANCE = 12  # of a color channel: fonts and discs have soft edges
LOSSY = 30
LARGEST = 0.002  # of the picture: a larger patch is no click

# Patches in the color of a positive click: clicks, their number in the panel, and the light of ready features.
WITH_A_CLICK = ("similar", "planes", "3d", "windows", "compare")
WINDOWS = (*WITH_A_CLICK, "colors", "segment", "score")
NOTEBOOKS = ("notebook", "notebook-beside")


def pixels(path):
    with Image.open(path) as picture:
        assert picture.mode == "RGB", f"{path.name} has a palette"
        return np.asarray(picture).astype(int)


def patches(picture, color, least=12, tolerance=TOLERANCE):
    """Number of connected patches of a color that are as large as a click or a light."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    labels, _ = ndimage.label(np.abs(picture - wanted).max(-1) <= tolerance)
    sizes = np.bincount(labels.ravel())[1:]
    return int(((sizes >= least) & (sizes <= LARGEST * labels.size)).sum())


def count_colors(picture):
    return len(np.unique(picture @ (1 << 16, 1 << 8, 1)))


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_shows_that_its_features_are_ready_and_where_was_clicked(name):
    picture = pixels(IMAGES / "napari" / f"{name}.png")
    assert patches(picture, POSITIVE) >= (2 if name in WITH_A_CLICK else 1)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_its_clicks(name):
    picture = pixels(IMAGES / f"{name}.png")
    assert patches(picture, POSITIVE) >= 3  # in the three views
    assert patches(picture, NEGATIVE) >= 1  # in the panel


@pytest.mark.parametrize("path", sorted(IMAGES.rglob("*.png")), ids=lambda path: path.stem)
def test_no_picture_has_a_palette(path):
    assert count_colors(pixels(path)) > 256


def test_the_animation_is_small_and_shows_a_click():
    assert ANIMATION.stat().st_size < LIMIT_BYTES
    with Image.open(ANIMATION) as film:
        assert film.n_frames > 20
        counts, colors = [], []
        for number in (0, film.n_frames // 2, film.n_frames - 1):
            film.seek(number)
            picture = np.asarray(film.convert("RGB")).astype(int)
            counts.append(patches(picture, POSITIVE, tolerance=LOSSY))
            colors.append(count_colors(picture))
    before, clicked, _ = counts
    assert 1 <= before < clicked
    assert min(colors) > 256
