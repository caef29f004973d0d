"""Projections of features to colors, scatter plots and clusters: PCA, UMAP, k-means, HDBSCAN."""

from .alignment import aligned_basis
from .basis import Basis, fit_basis, load_basis, pca_rgb
from .clusters import CLUSTER_METHODS, ClusterMethod, cluster_cells, labels_on
from .colors import RgbMap
from .embedding import Embedding, UmapModel, fit_umap
from .scatter import Scatter, scatter_of
from .selection import cells_inside

__all__ = [
    "CLUSTER_METHODS",
    "Basis",
    "ClusterMethod",
    "Embedding",
    "RgbMap",
    "Scatter",
    "UmapModel",
    "aligned_basis",
    "cells_inside",
    "cluster_cells",
    "fit_basis",
    "fit_umap",
    "labels_on",
    "load_basis",
    "pca_rgb",
    "scatter_of",
]
