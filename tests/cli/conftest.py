"""A small CT with strokes, and a click in it."""

import json

import numpy as np
import pytest

from coralbay_core.io import save_map
from coralbay_core.phantom import make_phantom
from coralbay_core.spatial import Grid, Volume, geometry

VERTEBRA = "L2"
SIZE = np.array([40, 32, 40])


def crop(volume, center_mm):
    """A block of a volume around a position, on its own grid."""
    low = np.rint(volume.grid.to_index(center_mm)).astype(int) - SIZE // 2
    part = tuple(slice(a, a + n) for a, n in zip(low, SIZE, strict=True))
    return volume.data[part], Grid(tuple(SIZE), volume.affine @ geometry.translate(low))


@pytest.fixture(scope="module")
def scan(phantom, tmp_path_factory):
    """Folder with a small CT around a lumbar vertebra, and strokes 3 = vertebra, 7 = muscle."""
    folder = tmp_path_factory.mktemp("scan")
    data, grid = crop(phantom.volume, phantom.landmarks[VERTEBRA])
    ct = Volume(data, grid)
    save_map(folder / "ct.nii.gz", data, ct)
    labels, _ = crop(phantom.labels, phantom.landmarks[VERTEBRA])
    names = {name: value for value, name in phantom.labels.names.items()}
    strokes = np.zeros(grid.shape, np.uint8)
    strokes[labels == names["vertebrae_" + VERTEBRA]] = 3
    strokes[labels == names["autochthon_left"]] = 7
    assert set(np.unique(strokes)) == {0, 3, 7}
    save_map(folder / "strokes.nii.gz", strokes, ct)
    (folder / "strokes.json").write_text('{"3": "bone", "7": "muscle"}')
    return folder


@pytest.fixture(scope="module")
def click(phantom):
    """A position inside the vertebra, as it is typed."""
    return ",".join(f"{v:.1f}" for v in phantom.landmarks[VERTEBRA])


@pytest.fixture(scope="module")
def torsos(tmp_path_factory):
    """Two coarse phantoms as files, with labels of the first and landmarks of both."""
    folder = tmp_path_factory.mktemp("torsos")
    made = [make_phantom(seed, 5.0) for seed in (0, 1)]
    for name, phantom in zip("ab", made, strict=True):
        save_map(folder / f"{name}.nii.gz", phantom.volume.data, phantom.volume)
    save_map(folder / "labels.nii.gz", made[0].labels.data, made[0].volume)
    places = {name: p.tolist() for name, p in made[0].landmarks.items() if name in ("T6", "L3", "liver_right_lobe")}
    (folder / "landmarks.json").write_text(json.dumps(places))
    return folder, made
