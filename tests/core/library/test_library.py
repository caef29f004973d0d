"""A library of scans: added, searched, removed, damaged."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from coralbay_core import load_encoder, load_volume
from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.extraction.cache import FeatureStore, content_digest
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.io import save_map
from coralbay_core.library import Library, Places, search_library
from coralbay_core.library.reduction import fit_compact
from coralbay_core.library.vectors import Vectors
from coralbay_core.matching import request
from coralbay_core.phantom import make_phantom
from coralbay_core.similarity import make_query

pytestmark = pytest.mark.forward

pytest.importorskip("lancedb", reason="pip install 'coralbay[library]'")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("hu-context")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Files of three torsos, coarse ones, in folders of their own."""
    folder, phantoms = tmp_path_factory.mktemp("scans"), {}
    for seed in range(3):
        made = make_phantom(seed, 5.0)
        phantoms[save_map(folder / f"p{seed}" / "ct.nii.gz", made.volume.data, made.volume)] = made
    return phantoms


@pytest.fixture(scope="module")
def built(tmp_path_factory, scans, encoder):
    """Folder with a library of the three scans and the store of their features."""
    folder = tmp_path_factory.mktemp("built")
    library = Library(folder / "lib", FeatureStore(folder / "features"))
    for path in scans:
        assert library.add(path, encoder).is_new
    return folder


@pytest.fixture
def library(tmp_path, built):
    """A library of its own for each test."""
    for part in ("lib", "features"):
        shutil.copytree(built / part, tmp_path / part)
    return Library(tmp_path / "lib", FeatureStore(tmp_path / "features"))


def test_a_query_of_more_stages_counts_those_of_the_library_equally(library, scans, encoder):
    features = features_for(load_volume(next(iter(scans))), encoder, store=False)
    query = make_query(features, [features.finest.grid.cell_positions(features.body_at(4))[100]])
    coarse = np.eye(1, 8, dtype=np.float32)
    more = replace(query, positive=query.positive | {32: coarse}, negative=query.negative | {32: coarse[:0]})
    few, many = (library.basis.of_query(asked, library.manifest.channels, None) for asked in (query, more))
    np.testing.assert_array_equal(few, many)


def test_what_was_clicked_is_found_in_every_other_scan(library, scans, encoder):
    paths = list(scans)
    clicked = scans[paths[0]]
    volume = load_volume(paths[0])
    query = make_query(features_for(volume, encoder, store=library.store), clicked.landmarks["liver_right_lobe"])
    report = search_library(library, query, lambda: encoder, regions=1, exclude=content_digest(volume))
    assert {hit.scan.path for hit in report.hits} == {str(p) for p in paths[1:]}
    for hit in report.hits:
        made = next(m for p, m in scans.items() if str(p) == hit.scan.path)
        index = tuple(np.rint(made.volume.grid.to_index(hit.position_mm)).astype(int))
        assert made.labels.names[int(made.labels.data[index])].startswith(("liver", "spleen"))
        assert hit.coarse == pytest.approx(hit.score, abs=0.25)
    with_own = search_library(library, query, lambda: encoder, regions=1)
    assert with_own.hits[0].scan.path == str(paths[0])


def test_the_same_place_is_looked_for_in_aligned_scans(library, scans, encoder, monkeypatch):
    """A scan that cannot be aligned keeps its best region, says why, and comes last."""
    paths = list(scans)
    features = features_for(load_volume(paths[0]), encoder, store=library.store)
    click = scans[paths[0]].landmarks["T6"]
    query, own = make_query(features, click), content_digest(load_volume(paths[0]))
    real, aligned = request.alignment_of, []

    def first_alone(source, target, **more):
        if aligned and target is not aligned[0]:
            raise CoralBayError("scans show different parts of the body")
        aligned.append(target)
        return real(source, target, **more)

    monkeypatch.setattr(request, "alignment_of", first_alone)
    places = Places(features, click)
    one, other = search_library(library, query, lambda: encoder, regions=1, exclude=own, places=places).hits
    assert (one.is_aligned, other.is_aligned) == (True, False)
    assert "alignment is" in one.note
    made = next(m for p, m in scans.items() if str(p) == one.scan.path)
    assert np.linalg.norm(np.subtract(one.position_mm, made.landmarks["T6"])) < 40
    assert other.note == "scans show different parts of the body; the whole scan was searched"


def test_a_scan_is_added_once_and_can_go(library, scans, encoder):
    path = next(iter(scans))
    assert not library.add(path, encoder).is_new
    before = len(library.vectors)
    names = [entry.name for entry in library.manifest.scans]
    assert len(set(names)) == 3
    gone = library.remove(names[0])
    assert len(library.manifest.scans) == 2
    assert len(library.vectors) == before - gone.tokens
    with pytest.raises(InputError, match="no such scan"):
        library.remove(names[0])


def test_features_come_back_from_the_file_when_the_cache_is_empty(library, scans, encoder):
    entry = library.manifest.scans[0]
    kept = library.features(entry, lambda: pytest.fail("they are cached"))
    library.store = FeatureStore(library.folder / "another")
    assert not library.is_cached(entry)
    again = library.features(entry, lambda: encoder)
    np.testing.assert_array_equal(again.finest.data, kept.finest.data)


def test_a_scan_that_moved_or_changed_costs_only_itself(tmp_path, scans, encoder):
    library = Library(tmp_path / "lib", FeatureStore(tmp_path / "features"))
    copies = []
    for number, made in enumerate(list(scans.values())[:2]):
        copies.append(save_map(tmp_path / f"{number}.nii.gz", made.volume.data, made.volume))
        library.add(copies[-1], encoder)
    query = make_query(
        features_for(load_volume(copies[0]), encoder, store=library.store),
        next(iter(scans.values())).landmarks["liver_right_lobe"],
    )
    library.store = FeatureStore(tmp_path / "empty")
    first = next(iter(scans.values()))
    copies[1].unlink()
    report = search_library(library, query, lambda: encoder)
    assert [entry.path for entry in report.searched] == [str(copies[0])]
    assert "scan of the library is missing" in next(iter(report.skipped.values()))
    save_map(copies[1], first.volume.data + 1, first.volume)
    assert "has changed" in next(iter(search_library(library, query, lambda: encoder).skipped.values()))


def test_other_models_are_refused(library, scans, encoder):
    other = load_encoder("hu-patch")
    with pytest.raises(InputError, match="another model"):
        library.add(next(iter(scans)), other)
    volume = next(iter(scans.values())).volume
    query = make_query(features_for(volume, other, store=False), volume.grid.to_world(np.array(volume.shape) / 2))
    with pytest.raises(CoralBayError, match="different models"):
        search_library(library, query, lambda: encoder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 99}', "[" * 100_000, '{"version": 1, "scans": [{"scan": "x\' OR 1=1"}]}']
)
def test_a_damaged_library_is_told_in_one_line(library, content):
    (library.folder / "library.json").write_text(content)
    with pytest.raises(InputError) as error:
        _ = library.manifest
    assert "\n" not in str(error.value)


def test_hashes_are_checked_before_they_become_filters(library):
    path = library.folder / "library.json"
    content = json.loads(path.read_text())
    content["scans"][0]["scan"] = "x' OR scan != '"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="damaged library"):
        _ = library.manifest


def test_no_library(tmp_path):
    with pytest.raises(MissingFileError, match="coralbay library add"):
        _ = Library(tmp_path).manifest
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        Library(tmp_path / "file")


def test_compact_products_come_near_the_full_ones():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(3000, 20)) @ rng.normal(size=(20, 300))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    basis = fit_compact([rows[:1000], rows[1000:]], 20)
    assert basis.energy_share == pytest.approx(1, abs=1e-4)
    short = basis.compact(rows)
    np.testing.assert_allclose(short @ short[:5].T, rows @ rows[:5].T, atol=1e-3)
    np.testing.assert_allclose(basis.axes.T @ basis.axes, np.eye(20), atol=1e-5)


@pytest.mark.slow
def test_a_hundred_scans_of_many_cells_are_searched_by_index(tmp_path):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(300, 16)).astype(np.float32)
    vectors = Vectors(tmp_path, 16)
    rows = {}
    for scan in range(100):
        cells = centers[rng.integers(300, size=2500)] + 0.2 * rng.normal(size=(2500, 16)).astype(np.float32)
        rows[f"{scan:032x}"] = (cells / np.linalg.norm(cells, axis=1, keepdims=True)).astype(np.float32)
        vectors.add(f"{scan:032x}", rows[f"{scan:032x}"], rng.normal(size=(2500, 3)))
    vectors.settle()
    assert vectors.indexed
    assert len(vectors) == 250_000
    everything = np.concatenate(list(rows.values()))
    recalls = []
    for query in everything[rng.integers(len(everything), size=20)]:
        highest = {scan: float((cells @ query).max()) for scan, cells in rows.items()}
        found, _ = vectors.best_scans(query, 100)
        assert set(found) <= set(rows)
        tenth = sorted(highest.values())[-10]
        recalls.append(np.mean([found.get(s, -1) >= best - 1e-5 for s, best in highest.items() if best >= tenth]))
    assert np.mean(recalls) > 0.9
    vectors.add("0" * 32, rows["0" * 32][:10], rng.normal(size=(10, 3)))
    assert len(vectors) == 250_000 - 2490
