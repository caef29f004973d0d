"""Bases, UMAP, clusters and scatter plots on features that are known."""

import warnings

import numpy as np
import pytest
import torch

from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.projection import (
    Scatter,
    cells_inside,
    cluster_cells,
    fit_basis,
    fit_umap,
    labels_on,
    load_basis,
    pca_rgb,
    scatter_of,
)
from coralbay_core.projection.embedding import UmapModel
from tests.support.hostile_files import hostile_files
from tests.support.made_features import CT_GRID, GRID, TISSUES, made_features, tissue_map, world


def cell_of(name: str) -> tuple[int, ...]:
    return tuple(np.rint(made_features().finest.grid.to_index(world(name))).astype(int))


def color(rgb, name: str) -> np.ndarray:
    return rgb.components[(slice(None), *cell_of(name))]


# --- basis --------------------------------------------------------------------------------------------------------


def test_coordinates_are_centred_uncorrelated_and_ordered():
    features = made_features()
    basis = fit_basis(features, 5)
    inside = cells_inside(features)
    cells = basis.coordinates(features)[:, inside]
    assert np.abs(cells.mean(1)).max() < 0.02
    covariance = np.cov(cells)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02 * covariance[0, 0]
    assert list(basis.explained) == sorted(basis.explained, reverse=True)
    assert 0 < sum(basis.explained) < 1
    rows = np.concatenate([basis.weights[stride] for stride in basis.strides])
    np.testing.assert_allclose(rows.T @ rows, np.eye(5), atol=1e-4)
    assert (rows[np.abs(rows).argmax(0), range(5)] > 0).all()


def test_a_shared_basis_gives_a_tissue_the_same_color_in_every_scan(tmp_path):
    scans = [made_features(seed=s, noise=0.1) for s in range(3)]
    basis = fit_basis(scans[:2])
    assert basis.scans == 2
    again = load_basis(basis.save(tmp_path / "deep" / "basis.safetensors"))
    colors = [again.rgb(scan) for scan in scans]
    for name in TISSUES:
        seen = np.array([color(rgb, name) for rgb in colors])
        assert np.ptp(seen, axis=0).max() < 0.08
    np.testing.assert_array_equal(colors[2].components, basis.rgb(scans[2]).components)
    assert again.explained == pytest.approx(basis.explained)


def test_chosen_components_are_those_of_the_basis():
    features = made_features()
    basis = fit_basis(features, 6)
    chosen = pca_rgb(features, components=(4, 0, 2), basis=basis)
    first = basis.rgb(features, (0, 2, 4))
    np.testing.assert_allclose(chosen.components[[1, 2, 0]], first.components, atol=1e-6)
    assert chosen.explained == (basis.explained[4], basis.explained[0], basis.explained[2])
    with pytest.raises(InputError, match="no such components"):
        basis.rgb(features, (0, 1, 6))


def test_a_basis_is_refused_where_it_does_not_fit(tmp_path):
    features = made_features()
    basis = fit_basis(features)
    with pytest.raises(InputError, match="another model"):
        basis.coordinates(made_features(fingerprint="other"))
    few = made_features()
    del few.stages[8]
    with pytest.raises(InputError, match="features lack stages of the basis"):
        basis.rgb(few)
    with pytest.raises(InputError, match="features of different stages"):
        fit_basis([features, few])
    with pytest.raises(InputError, match="different models"):
        fit_basis([features, made_features(fingerprint="other")])
    with pytest.raises(MissingFileError):
        load_basis(tmp_path / "none.safetensors")


def test_hostile_bases_are_refused_in_one_line(tmp_path):
    good = fit_basis(made_features()).save(tmp_path / "good.safetensors").read_bytes()
    for name, content in hostile_files(good):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_basis(path)
        assert "\n" not in str(caught.value), name


# --- selection ----------------------------------------------------------------------------------------------------


def test_inside_a_selection_only_its_cells_are_fitted_and_shown():
    features = made_features()
    mask = np.zeros(CT_GRID.shape, np.uint8)
    at = np.rint(CT_GRID.to_index(GRID.to_world(TISSUES["left"]))).astype(int)
    mask[tuple(slice(a - 8, a + 8) for a in at)] = 1
    inside = cells_inside(features, mask, CT_GRID)
    assert 0 < inside.sum() < cells_inside(features).sum() / 10
    rgb = pca_rgb(features, inside=inside)
    shown = rgb.resample_to(CT_GRID).any(-1)
    assert shown.sum() > 0.5 * mask.sum()
    assert not shown[tuple(np.rint(CT_GRID.to_index(world("right"))).astype(int))]
    with pytest.raises(InputError, match="empty selection"):
        cells_inside(features, np.zeros(CT_GRID.shape), CT_GRID)
    with pytest.raises(InputError, match="applies to one scan only"):
        fit_basis([features, features], inside=inside)


# --- scatter ------------------------------------------------------------------------------------------------------


def test_lasso_to_mask_and_click_to_point_and_back():
    features = made_features(noise=0.1)
    points = scatter_of(fit_basis(features), features)
    number = points.point_at(world("left"))
    assert number is not None
    assert np.linalg.norm(points.position_mm[number] - world("left")) < 6
    assert points.nearest(points.points[number]) == number
    (x, y), others = points.points[number], [points.points[points.point_at(world(n))] for n in ("right", "top")]
    reach = 0.5 * float(np.abs(np.array(others) - (x, y)).max(1).min())
    around = [(x - reach, y - reach), (x + reach, y - reach), (x + reach, y + reach), (x - reach, y + reach)]
    chosen = points.lasso(around)
    assert chosen[number]
    mask = points.mask(chosen, CT_GRID)
    assert mask[tuple(np.rint(CT_GRID.to_index(world("left"))).astype(int))]
    assert not mask[tuple(np.rint(CT_GRID.to_index(world("right"))).astype(int))]
    np.testing.assert_array_equal(points.choose(points.mask(chosen), points.grid), chosen)
    assert points.point_at((900, 0, 0)) is None
    assert points.point_at(GRID.to_world((48, 1, 30))) is None  # outside the body
    with pytest.raises(InputError, match="not a polygon"):
        points.lasso([(0, 0), (1, 1)])


def test_every_point_is_its_own_cell():
    inside = np.random.default_rng(0).random((4, 5, 6)) < 0.4
    points = Scatter(np.zeros((int(inside.sum()), 2), np.float32), inside, made_features().finest.grid)
    points = Scatter(points.points, inside, type(points.grid)(inside.shape, points.grid.affine))
    assert [points.point_at(place) for place in points.position_mm] == list(range(len(points.points)))
    assert len(points.thinned(5)) == 5
    assert len(points.thinned(10**6)) == len(points.points)


# --- clusters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "count"), [("kmeans", 12), ("hdbscan", 30)])
def test_clusters_are_the_tissues(method, count):
    features = made_features(noise=0.1)
    basis, inside = fit_basis(features, 4), cells_inside(features)
    found = cluster_cells(basis.coordinates(features), inside, features.finest.grid, count, method=method)
    assert not found.data[~inside].any()
    sizes = np.bincount(found.data[found.data > 0])[1:]
    assert list(sizes) == sorted(sizes, reverse=True)
    own = {name: int(found.data[cell_of(name)]) for name in TISSUES}
    assert len(set(own.values()) - {0}) == len(TISSUES)
    kinds = tissue_map()[2::4, 2::4, 2::4]
    for number, name in enumerate(TISSUES, 1):
        overlap = ((found.data == own[name]) & (kinds == number)).sum()
        assert overlap > 0.3 * (kinds == number).sum()  # the outer cells look like their surroundings, too
    shown = labels_on(found, CT_GRID)
    assert shown.data.shape == CT_GRID.shape
    assert not shown.data[:, 0].any()
    assert found.names[1] == "cluster 1"


def test_bad_clusters():
    features = made_features()
    maps, inside = fit_basis(features).coordinates(features), cells_inside(features)
    with pytest.raises(InputError, match="number of clusters"):
        cluster_cells(maps, inside, features.finest.grid, 1)
    with pytest.raises(InputError, match="unknown clustering method"):
        cluster_cells(maps, inside, features.finest.grid, 3, method="dbscan")


# --- UMAP ---------------------------------------------------------------------------------------------------------


def model_of(sample, embedded):
    basis = fit_basis(made_features(), 4)
    return UmapModel(basis, sample.astype(np.float32), embedded.astype(np.float32))


def test_cells_are_placed_among_their_nearest_of_the_sample():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(2000, 3)) / 4
    model = model_of(sample, np.stack([sample[:, 0], sample[:, 1] - sample[:, 2]], 1))
    points = rng.normal(size=(300, 3)) / 8
    wanted = np.stack([points[:, 0], points[:, 1] - points[:, 2]], 1)
    found = model.embed(points.astype(np.float32))
    assert np.abs(found - wanted).mean() < 0.05
    assert model.embed(points[:0].astype(np.float32)).shape == (0, 2)


@pytest.mark.parametrize("count", [1, 3, 200])
def test_a_cell_between_two_places_goes_to_one_of_them(count):
    # What lies close together was torn apart in the plane: a mean of both places would be in neither.
    sample = np.random.default_rng(1).normal(size=(count, 3))
    places = np.where(sample[:, :1] > 0, 5.0, -5.0) * np.ones((1, 2))
    found = model_of(sample, places).embed(np.zeros((1, 3), np.float32))
    assert np.abs(np.abs(found) - 5).max() < 1e-4


# More cells of each tissue than neighbors: otherwise tissues touch in the embedding.
FIT = {"fit_cells": 1500, "neighbors": 8}


@pytest.mark.slow
def test_umap_separates_tissues_and_applies_to_another_scan():
    pytest.importorskip("umap")
    features, other = made_features(noise=0.2), made_features(seed=3, noise=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit_umap(features, 2, **FIT)
    places = [model.apply(scan).coordinates for scan in (features, other)]
    center = {name: places[0][(slice(None), *cell_of(name))] for name in TISSUES}
    for name, place in center.items():
        moved = places[1][(slice(None), *cell_of(name))]
        away = {n: np.linalg.norm(moved - c) for n, c in center.items()}
        assert min(away, key=away.get) == name, place
    points = scatter_of(model.apply(features))
    assert points.points.shape == (cells_inside(features).sum(), 2)
    with pytest.raises(InputError, match="colors need another embedding"):
        model.apply(features).rgb()
    rgb = fit_umap(features, 3, **FIT).apply(features).rgb()
    assert np.isfinite(rgb.components).all()
    threads = torch.get_num_threads()
    again = fit_umap(features, 2, **FIT)
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(again.embedded, model.embedded)
