"""A library of scans in a session."""

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.io import save_map
from coralbay_core.spatial import Volume
from coralbay_viz import Session
from coralbay_viz.model.thumbnails import PIXELS, thumbnail
from tests.support.scans import cut

pytestmark = pytest.mark.forward

MODEL = "hu-context"


@pytest.fixture(scope="module")
def paths(phantom, tmp_path_factory):
    """Two files: the part around the liver, and the same with a little noise."""
    belly = cut(phantom.volume, phantom.landmarks["liver_right_lobe"], half_mm=60)
    noise = np.random.default_rng(0).normal(0, 10, belly.shape)
    folder = tmp_path_factory.mktemp("scans")
    return [
        save_map(folder / f"{name}.nii.gz", data.astype(np.int16), belly)
        for name, data in (("one", belly.data), ("two", belly.data + noise))
    ]


def test_a_thumbnail_is_what_a_radiologist_sees(phantom):
    place = phantom.landmarks["liver_right_lobe"]
    data = np.zeros_like(phantom.volume.data)
    marked = Volume(data, phantom.volume.grid)
    half = PIXELS // 2
    for offset, rows, columns in (
        ((0, 30, 0), slice(0, half), slice(None)),  # anterior is up
        ((30, 0, 0), slice(None), slice(0, half)),  # the patient's right is on the left
    ):
        data[:] = -500
        index = np.rint(marked.grid.to_index(np.add(place, offset))).astype(int)
        data[tuple(slice(i - 2, i + 3) for i in index)] = 500
        picture = thumbnail(marked, place)
        assert picture.shape == (PIXELS, PIXELS)
        assert picture.dtype == np.uint8
        assert picture[rows, columns].max() == 255
        assert np.count_nonzero(picture[rows, columns]) == np.count_nonzero(picture)
    assert not thumbnail(marked, (1e4, 0, 0)).any()


def test_what_was_clicked_is_found_in_the_library(paths, phantom, tmp_path):
    pytest.importorskip("lancedb", reason="pip install 'coralbay[library]'")
    session = Session(model=MODEL, store=FeatureStore(tmp_path / "features"))
    told = []
    session.library.changed.connect(lambda library: told.append(len(library.manifest.scans) if library.exists else 0))
    with pytest.raises(CoralBayError, match="no library is open"):
        session.library.add()
    session.library.open(tmp_path / "library")
    for path in paths:
        session.open(path)
        session.compute()
        session.library.add()
    assert told == [0, 1, 2]
    session.activate(session.scans[0])
    with pytest.raises(CoralBayError, match="no prompt to search for"):
        session.library.search()
    place = phantom.landmarks["liver_right_lobe"]
    session.click(place)
    rounds = []
    session.library.hits_changed.connect(lambda: rounds.append(session.library.hits))
    session.library.search(regions=1)
    early, late = rounds
    assert [row.thumbnail for row in early] == [None]
    (row,) = late
    assert (row.name, row.path) == ("two", str(paths[1].resolve()))
    assert np.linalg.norm(np.subtract(row.position_mm, place)) < 15
    assert row.score > 0.8
    assert row.thumbnail.mean() > 60  # liver
    session.library.search(regions=1, own=True)
    assert [row.name for row in session.library.hits] == ["one", "two"]
    session.keep_query("liver")
    session.clear_clicks()
    session.library.search("liver", regions=2, top=1)
    assert len(session.library.hits) == 1

    paths[1].rename(tmp_path / "gone.nii.gz")
    try:
        session.library.search("liver", regions=1)
        assert [row.thumbnail for row in session.library.hits] == [None]  # features are still in the cache
    finally:
        (tmp_path / "gone.nii.gz").rename(paths[1])

    again = Session(model="hu-patch")
    again.library.open(tmp_path / "library")
    again.open(paths[0])
    with pytest.raises(InputError, match="another model"):
        again.library.add()


def test_a_library_that_is_none_is_refused(paths):
    session = Session(model=MODEL)
    with pytest.raises(InputError, match="not a folder"):
        session.library.open(paths[0])
    assert session.library.current is None


@pytest.mark.parametrize("names", [False, True])
def test_names_are_stored_in_a_library_where_the_user_wants_them(paths, tmp_path, names):
    pytest.importorskip("lancedb")
    session = Session(model=MODEL)
    session.open(paths[0])
    session.library.open(tmp_path / "lib")
    session.library.add(names=names)
    assert (str(paths[0]) in (tmp_path / "lib" / "library.json").read_text()) == names
