"""PCA and UMAP colors, clusters and scatter plots.

A cancelled job stops between the steps: fitting the basis, fitting or applying UMAP, coloring.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import Grid, LabelVolume

from ..jobs import JobContext
from ..model.results import Method, PcaResult

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.projection import Basis, ClusterMethod, Embedding, Scatter, UmapModel


def colors(
    features: "FeatureMaps",
    grid: Grid,
    components: tuple[int, int, int],
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    context: JobContext,
) -> PcaResult:
    """Compute PCA colors."""
    used = _basis(features, basis, selection, max(components) + 1)
    context.check_cancelled()
    rgb = used.rgb(features, components, selection)
    context.check_cancelled()
    return PcaResult(rgb, rgb.resample_to(grid), grid, used)


def umap_colors(
    features: "FeatureMaps",
    grid: Grid,
    components: tuple[int, int, int],
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    model: "UmapModel | None",
    known: "Embedding | None",
    context: JobContext,
) -> PcaResult:
    """Compute colors of a UMAP: of the given model, or of one that is fitted; reuse a `known` embedding that fits."""
    from coralbay_core.projection import cells_inside, fit_umap

    inside = cells_inside(features) if selection is None else selection
    if known is None or not _is_wanted(known, features, inside, basis, model):
        if model is None:
            own = _basis(features, basis, selection)
            context.check_cancelled()
            model = fit_umap(
                features, 3, inside=selection, basis=own, cancelled=context.cancelled, progress=context.progress
            )
        known = model.apply(features, selection)
    context.check_cancelled()
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


def fit_basis(features: "list[FeatureMaps]", context: JobContext) -> "Basis":
    """Fit one PCA basis on several scans."""
    from coralbay_core import projection

    context.check_cancelled()
    return projection.fit_basis(features)


def clusters(
    features: "FeatureMaps",
    grid: Grid,
    count: int,
    method: "ClusterMethod",
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    context: JobContext,
) -> LabelVolume:
    """Group cells by their features."""
    from coralbay_core.projection import cells_inside, cluster_cells, labels_on

    used = _basis(features, basis, selection)
    context.check_cancelled()
    inside = cells_inside(features) if selection is None else selection
    coordinates = used.coordinates(features)
    context.check_cancelled()
    found = cluster_cells(coordinates, inside, features.finest.grid, count, method=method, cancelled=context.cancelled)
    return labels_on(found, grid)


def scatter(
    features: "FeatureMaps",
    method: Method,
    basis: "Basis | None",
    selection: NDArray[np.bool_] | None,
    context: JobContext,
) -> "Scatter":
    """Place cells on a plane."""
    from coralbay_core.projection import fit_umap, scatter_of

    used = _basis(features, basis, selection)
    context.check_cancelled()
    if method == "umap":
        model = fit_umap(
            features, 2, inside=selection, basis=used, cancelled=context.cancelled, progress=context.progress
        )
        return scatter_of(model.apply(features, selection))
    return scatter_of(used, features, selection)


def _basis(
    features: "FeatureMaps", basis: "Basis | None", selection: NDArray[np.bool_] | None, least: int = 0
) -> "Basis":
    from coralbay_core import projection
    from coralbay_core.projection.basis import COMPONENTS

    return basis or projection.fit_basis(features, max(COMPONENTS, least), inside=selection)
