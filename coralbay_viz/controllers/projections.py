"""Projections: PCA and UMAP colors, clusters, scatter plots and the selection."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.spatial import LabelVolume

from ..jobs import Job

if TYPE_CHECKING:
    from coralbay_core.projection import Basis, Scatter, UmapModel

    from ..model.scan import Scan
from ..model.results import Method, PcaResult
from ..tasks.projections import clusters, colors, fit_basis, scatter, umap_colors


class ProjectionCommands:
    """The part of `Session` that is about colors, clusters and scatter plots.

    While a `basis` is set it is used for all scans, so that colors mean the same everywhere; `umap` likewise.
    """

    pca_changed = Signal(object)
    clusters_changed = Signal(object)
    scatter_changed = Signal(object)
    selection_changed = Signal(object)
    basis_changed = Signal(object)

    basis: "Basis | None" = None
    umap: "UmapModel | None" = None
    components: tuple[int, int, int] = (0, 1, 2)
    umap_components: tuple[int, int, int] = (0, 1, 2)

    def compute_pca(self, components: tuple[int, int, int] | None = None, scan: "Scan | None" = None) -> Job:
        """Turn main directions of the features into colors, inside the selection if there is one.

        Parameters
        ----------
        components : three ints, optional
            Which become red, green and blue, from 0; stays until changed.
        scan : Scan, optional
            By default the active one.
        """
        if components is not None:
            self.components = components
        return self._compute_colors("pca", scan)

    def compute_umap(self, components: tuple[int, int, int] | None = None, scan: "Scan | None" = None) -> Job:
        """Colors from a UMAP instead; they appear where those of `compute_pca` do.

        Parameters
        ----------
        components : three ints, optional
            Which of its three coordinates become red, green and blue, from 0; stays until changed.
        scan : Scan, optional
            By default the active one.
        """
        if components is not None:
            self.umap_components = components
        return self._compute_colors("umap", scan)

    def _compute_colors(self, method: Method, scan: "Scan | None") -> Job:
        scan = self._require_features(scan)
        selection = scan.projecting.selection
        if method == "umap":
            known = scan.pca and scan.pca.embedding
            asked = (self.umap_components, self.basis, selection, self.umap, known)
            work = partial(umap_colors, scan.features, scan.overlay_grid, *asked)
        else:
            work = partial(colors, scan.features, scan.overlay_grid, self.components, self.basis, selection)
        return self.run(self._lane("pca", scan), work, partial(self._set_pca, scan), torch=True)

    def _set_pca(self, scan: "Scan", result: PcaResult) -> None:
        scan.pca = result
        self.pca_changed.emit(scan)

    # One basis for all

    def lock_basis(self, locked: bool = True) -> None:
        """Use the active scan's components, or UMAP, for all scans from now on, or let each have its own again."""
        basis = umap = None
        if locked:
            scan = self._require_scan()
            shown = self._require(scan.pca, "no colors to keep", "switch the PCA overlay on first")
            basis = shown.basis
            umap = shown.embedding and shown.embedding.model
        self._set_basis(basis, umap)

    def fit_basis(self) -> Job:
        """Fit one basis on all open scans that have features of one model, and use it from now on."""
        scan = self._require_features()
        features = [s.features for s in self.scans if s.features is not None]
        features = [f for f in features if f.fingerprint == scan.features.fingerprint]
        return self.run("basis", partial(fit_basis, features), self._set_basis, torch=True)

    def save_basis(self, path: str | Path) -> Job:
        """Write the locked basis, or the active scan's own."""
        basis = self.basis or (self.pca and self.pca.basis)
        basis = self._require(basis, "no basis to save", "switch the PCA overlay on first")
        return self.run(f"save {path}", lambda report, cancelled: basis.save(path), self.saved.emit)

    def load_basis(self, path: str | Path) -> None:
        """Read a basis and use it from now on; the next `compute_pca` shows it."""
        from coralbay_core.projection import load_basis

        basis = load_basis(path)
        if self.features is not None:
            basis.require_fits(self.features)
        self._set_basis(basis)

    def _set_basis(self, basis: "Basis | None", umap: "UmapModel | None" = None) -> None:
        self.basis, self.umap = basis, umap
        self.basis_changed.emit(basis)

    # Groups

    def compute_clusters(self, count: int = 8, how: str = "kmeans") -> Job:
        """Group the cells of the active scan, inside the selection if there is one: ``kmeans`` or ``hdbscan``."""
        scan = self._require_features()
        selection = scan.projecting.selection
        work = partial(clusters, scan.features, scan.label_grid, count, how, self.basis, selection)
        return self.run(self._lane("clusters", scan), work, partial(self._set_clusters, scan), torch=True)

    def _set_clusters(self, scan: "Scan", result: LabelVolume) -> None:
        scan.projecting.clusters = result
        self.clusters_changed.emit(scan)

    # Points of a plane

    def compute_scatter(self, method: Method = "pca") -> Job:
        """Show cells as points of a plane, inside the selection if there is one."""
        scan = self._require_features()
        work = partial(scatter, scan.features, method, self.basis, scan.projecting.selection)
        return self.run(self._lane("scatter", scan), work, partial(self._set_scatter, scan), torch=True)

    def _set_scatter(self, scan: "Scan", result: "Scatter") -> None:
        scan.projecting.scatter = result
        self.scatter_changed.emit(scan)

    def lasso(self, polygon: Sequence[Sequence[float]]) -> LabelVolume:
        """Select the cells whose points lie inside a polygon of the scatter plot; also as a mask to draw.

        The selection is what projections are then about, until `select` changes it.
        """
        scan, points = self._require_scatter()
        chosen = points.lasso(polygon)
        self._set_selection(scan, points.mask(chosen) if chosen.any() else None)
        mask = points.mask(chosen, scan.label_grid).astype(np.uint8)
        return LabelVolume(mask, scan.label_grid, name="lasso", names={1: "lasso"})

    def select(self, mask: LabelVolume | None) -> None:
        """Make projections be about the part of the active scan where a mask is not 0; None for all of it."""
        scan = self._require_features()
        selection = None
        if mask is not None:
            from coralbay_core.projection import cells_inside

            selection = cells_inside(scan.features, mask.data, mask.grid)
        self._set_selection(scan, selection)

    def _set_selection(self, scan: "Scan", selection: NDArray[np.bool_] | None) -> None:
        scan.projecting.selection = selection
        self.selection_changed.emit(scan)

    def point_at(self, position_mm: Sequence[float]) -> int | None:
        """Number of the scatter point of a place in the patient; None where that is not shown."""
        return self._require_scatter()[1].point_at(position_mm)

    def place_of(self, point: Sequence[float]) -> NDArray[np.float64]:
        """World mm of the scatter point nearest to a place of the plane."""
        points = self._require_scatter()[1]
        return points.position_mm[points.nearest(point)]

    def _require_scatter(self) -> "tuple[Scan, Scatter]":
        scan = self._require_scan()
        return scan, self._require(scan.projecting.scatter, "no scatter plot", "compute one first")
