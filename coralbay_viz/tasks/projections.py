"""PCA and UMAP colors, clusters and scatter plots."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume

from ..jobs import Report

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.projection import Basis, Embedding, Scatter, UmapModel

from ..model.results import Method, PcaResult

Cancelled = Callable[[], bool]


def colors(
    features: "FeatureMaps",
    grid: Grid,
    components: tuple[int, int, int],
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    report: Report,
    cancelled: Cancelled,
) -> PcaResult:
    used = _basis(features, basis, selection, max(components) + 1)
    rgb = used.rgb(features, components, selection)
    return PcaResult(rgb, rgb.resample_to(grid), grid, used)


def umap_colors(
    features: "FeatureMaps",
    grid: Grid,
    components: tuple[int, int, int],
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    model: "UmapModel | None",
    known: "Embedding | None",
    report: Report,
    cancelled: Cancelled,
) -> PcaResult:
    """Colors of a UMAP: of the given model, else of one that is fitted; what is `known` is used where it is that."""
    from coralbay_core.projection import cells_inside, fit_umap

    inside = cells_inside(features) if selection is None else selection
    if known is None or not _is_wanted(known, features, inside, basis, model):
        used = model or fit_umap(features, 3, inside=selection, basis=_basis(features, basis, selection))
        known = used.apply(features, selection)
    rgb = known.rgb(components)
    return PcaResult(rgb, rgb.resample_to(grid), grid, known.model.basis, "umap", known)


def _is_wanted(
    known: "Embedding",
    features: "FeatureMaps",
    inside: NDArray[np.bool_],
    basis: "Basis | None",
    model: "UmapModel | None",
) -> bool:
    same_model = known.model is model if model is not None else basis is None or known.model.basis is basis
    return known.features is features and same_model and np.array_equal(known.inside, inside)


def fit_basis(features: "list[FeatureMaps]", report: Report, cancelled: Cancelled) -> "Basis":
    from coralbay_core import projection

    return projection.fit_basis(features)


def clusters(
    features: "FeatureMaps",
    grid: Grid,
    count: int,
    how: Any,
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    report: Report,
    cancelled: Cancelled,
) -> LabelVolume:
    from coralbay_core.projection import cells_inside, cluster_cells, labels_on

    used = _basis(features, basis, selection)
    inside = cells_inside(features) if selection is None else selection
    found = cluster_cells(used.coordinates(features), inside, features.finest.grid, count, method=how)
    return labels_on(found, grid)


def scatter(
    features: "FeatureMaps",
    method: Method,
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    report: Report,
    cancelled: Cancelled,
) -> "Scatter":
    from coralbay_core.projection import fit_umap, scatter_of

    used = _basis(features, basis, selection)
    if method == "umap":
        return scatter_of(fit_umap(features, 2, inside=selection, basis=used).apply(features, selection))
    return scatter_of(used, features, selection)


def _basis(
    features: "FeatureMaps", basis: "Basis | None", selection: NDArray[np.bool_] | None, least: int = 0
) -> "Basis":
    from coralbay_core import projection
    from coralbay_core.projection.basis import COMPONENTS

    return basis or projection.fit_basis(features, max(COMPONENTS, least), inside=selection)
