"""Descriptors of a scan at 8 bits: heat maps without features, files, and libraries that lack them."""

import shutil

import numpy as np
import pytest

from coralbay_core import load_encoder
from coralbay_core.errors import InputError
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.io import save_map
from coralbay_core.library import Library, search_library
from coralbay_core.library.candidates import Candidates
from coralbay_core.library.scan_maps import ScanMaps, load_scan_maps
from coralbay_core.library.vectors import Vectors
from coralbay_core.phantom import make_phantom
from coralbay_core.similarity import make_query, search, top_regions
from coralbay_core.util.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.forward


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("hu-context")


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(seed, 5.0) for seed in range(2)]


@pytest.fixture(scope="module")
def features(phantoms, encoder):
    return [features_for(made.volume, encoder, store=False) for made in phantoms]


@pytest.fixture(scope="module")
def maps(features):
    return ScanMaps.of(features[1])


@pytest.mark.parametrize(
    ("positive", "negative", "weights"),
    [
        (["liver_right_lobe"], [], None),
        (["liver_right_lobe", "T6"], ["L3"], None),
        (["L3"], [], {8: 1.0}),
        (["L3", "T6"] * 6, [], {4: 0.2, 8: 0.8}),
    ],
)
def test_scores_are_those_of_the_heat_map(features, maps, phantoms, positive, negative, weights):
    places = phantoms[0].landmarks
    query = make_query(features[0], [places[n] for n in positive], [places[n] for n in negative])
    weights = weights and {s: weights.get(s, 0.0) for s in maps.strides}
    heat = search(features[1], query, weights=weights)
    scores = maps.scores(query, weights)
    # Against negatives a cosine counts twenty times in the softmax.
    np.testing.assert_allclose(scores, heat.data[heat.inside], atol=0.03 if negative else 0.004)
    found, expected = maps.regions(scores, 3), top_regions(heat, 3)
    assert found[0].position_mm == pytest.approx(expected[0].position_mm)
    assert found[0].size_ml == pytest.approx(expected[0].size_ml, rel=0.2)


def test_a_file_gives_the_same_maps(maps, features, tmp_path):
    path = maps.save(tmp_path / "maps" / "a.safetensors", {"file": "x"})
    read, about = load_scan_maps(path)
    assert about["file"] == "x"
    query = make_query(features[0], [features[0].grid.center_mm])
    np.testing.assert_array_equal(read.scores(query), maps.scores(query))
    assert path.stat().st_size < features[1].size_bytes / 2


@pytest.mark.parametrize(
    "change",
    [
        {"rows": lambda rows: rows[:-1]},
        {"rows": lambda rows: rows.astype(np.int16)},
        {"cells": lambda cells: cells[::-1]},
        {"cells": lambda cells: cells + 10**8},
        {"scale": lambda scale: scale[:0]},
        {"shape": [1, 2]},
        {"shape": [10**6] * 3},
        {"strides": [7]},
        {"strides": []},
        {"strides": [0]},
        {"affine": "x"},
    ],
)
def test_a_damaged_file_is_told(maps, tmp_path, change):
    path = maps.save(tmp_path / "a.safetensors", {})
    arrays, about = read_tensors(path, "scan maps", 1)
    for key, value in change.items():
        if callable(value):
            arrays[f"{key}.{maps.strides[0]}"] = value(arrays[f"{key}.{maps.strides[0]}"])
        else:
            about[key] = value
    write_tensors(path, "scan maps", 1, arrays, about)
    with pytest.raises(InputError, match="damaged maps"):
        load_scan_maps(path)


def test_a_query_of_other_stages_is_refused(maps, phantoms):
    volume = phantoms[0].volume
    other = features_for(volume, load_encoder("hu-patch"), store=False)
    with pytest.raises(InputError, match="does not fit"):
        maps.scores(make_query(other, [volume.grid.center_mm]))


# --- in a library


@pytest.fixture
def library(tmp_path, phantoms, encoder):
    pytest.importorskip("lancedb", reason="pip install 'coralbay[library]'")
    library = Library(tmp_path / "lib", FeatureStore(tmp_path / "features"))
    for number, made in enumerate(phantoms):
        library.add(save_map(tmp_path / f"{number}.nii.gz", made.volume.data, made.volume), encoder)
    return library


def test_a_search_needs_neither_features_nor_encoder(library, features, phantoms):
    query = make_query(features[0], [phantoms[0].landmarks["liver_right_lobe"]])
    hits = search_library(library, query, lambda: pytest.fail("not needed")).hits
    shutil.rmtree(library.store.root)
    again = search_library(library, query, lambda: pytest.fail("not needed"))
    assert again.hits == hits
    assert not again.skipped
    assert {hit.scan.name for hit in hits} == {"0", "1"}


def test_a_library_without_maps_makes_them(library, features, phantoms, encoder):
    query = make_query(features[0], [phantoms[0].landmarks["liver_right_lobe"]])
    hits = search_library(library, query, lambda: encoder).hits
    shutil.rmtree(library.folder / "maps")
    first, second = library.manifest.scans
    assert search_library(library, query, lambda: encoder).hits == hits
    assert library.has_maps(first)
    (library.folder / "maps" / f"{second.scan}.safetensors").write_bytes(b"damaged")
    assert search_library(library, query, lambda: encoder).hits == hits
    library.remove(second.name)
    assert not library.has_maps(second)


def test_a_file_with_another_date_is_read_once(library, features, phantoms, encoder, tmp_path, monkeypatch):
    query = make_query(features[0], [phantoms[0].landmarks["L3"]])
    shutil.rmtree(library.store.root)
    (tmp_path / "0.nii.gz").touch()
    opened, real = [], library.open
    monkeypatch.setattr(library, "open", lambda entry: opened.append(entry.name) or real(entry))
    for _ in range(2):
        assert len(search_library(library, query, lambda: encoder).searched) == 2
    assert opened == ["0"]


# --- candidates


def test_scans_are_scored_until_the_rest_is_unlikely():
    found = Candidates(coarse={"a": 0.8, "b": 0.7, "c": 0.5}, best={"a": 0.9, "b": 0.75})
    assert found.reaches(0.1, 3)  # there are not three yet
    # The index was up to .1 too low, with a standard deviation of .025.
    assert found.reaches(0.62, 2)
    assert not found.reaches(0.6, 2)
    assert not found.reaches(-np.inf, 2)


def test_the_best_scans_of_an_index(tmp_path):
    pytest.importorskip("lancedb", reason="pip install 'coralbay[library]'")
    rng = np.random.default_rng(0)
    vectors, rows = Vectors(tmp_path, 8), {f"{n:032x}": rng.normal(size=(50, 8)).astype(np.float32) for n in range(9)}
    for scan, cells in rows.items():
        vectors.add(scan, cells, np.zeros((50, 3)))
    query = rng.normal(size=8).astype(np.float32)
    best, floor = vectors.best_scans(query, 40)
    for scan, cells in rows.items():
        highest = float((cells @ query).max())
        assert best[scan] == pytest.approx(highest, abs=1e-5) if scan in best else highest <= floor + 1e-5
    everything = np.sort(np.concatenate([cells @ query for cells in rows.values()]))
    assert floor == pytest.approx(everything[-40], abs=1e-5)
    assert vectors.best_scans(query, 1000)[1] == -np.inf
