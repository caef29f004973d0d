"""Projections: PCA and UMAP colors, clusters, scatter plots and the selection."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey, without_context
from ..model.results import Method, PcaResult, Results
from ..model.scan import Scan
from ..tasks.files import on_grid
from ..tasks.projections import clusters, colors, fit_basis, scatter, umap_colors
from .features import FeaturesController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.projection import Basis, ClusterMethod, Scatter, UmapModel

Components = tuple[int, int, int]


class ProjectionsController:
    """Features as colors, groups and points of a plane.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController

    Attributes
    ----------
    basis : Basis or None
        While it is set, it is used for all scans, so that colors mean the same everywhere.
    umap : UmapModel or None
        Likewise.
    """

    pca_changed = Signal(Scan)
    clusters_changed = Signal(Scan)
    scatter_changed = Signal(Scan)
    selection_changed = Signal(Scan)
    basis_changed = Signal(object)

    def __init__(self, workspace: Workspace, features: FeaturesController) -> None:
        self._workspace = workspace
        self._components: Components = (0, 1, 2)
        self._umap_components: Components = (0, 1, 2)
        self.basis: Basis | None = None
        self.umap: UmapModel | None = None
        features.results_replaced.connect(self._results_replaced)

    @property
    def components(self) -> Components:
        """PCA components that become red, green and blue."""
        return self._components

    @components.setter
    def components(self, numbers: Components) -> None:
        self._components = _three(numbers)

    @property
    def umap_components(self) -> Components:
        """Likewise of a UMAP."""
        return self._umap_components

    @umap_components.setter
    def umap_components(self, numbers: Components) -> None:
        self._umap_components = _three(numbers)

    # Colors

    @checked
    def compute_pca(self, components: Components | None = None, scan: Scan | None = None) -> Job:
        """Color a scan by its first principal components, inside the selection if there is one.

        Parameters
        ----------
        components : three ints, optional
            Components that become red, green and blue, from 0; stays until changed.
        scan : Scan, optional
            By default the active one.
        """
        if components is not None:
            self.components = components
        return self._compute_colors("pca", scan)

    @checked
    def compute_umap(self, components: Components | None = None, scan: Scan | None = None) -> Job:
        """Color a scan by a UMAP of its features, inside the selection if there is one.

        Parameters
        ----------
        components : three ints, optional
            Coordinates that become red, green and blue, from 0; stays until changed.
        scan : Scan, optional
            By default the active one.
        """
        if components is not None:
            self.umap_components = components
        return self._compute_colors("umap", scan)

    def _compute_colors(self, method: Method, scan: Scan | None) -> Job:
        scan, features = self._workspace.require_features(scan)
        grid, selection = scan.overlay_grid, scan.selection
        if method == "umap":
            known = self.umap, scan.results.embedding
            work = partial(umap_colors, features, grid, self.umap_components, self.basis, selection, *known)
        else:
            work = partial(colors, features, grid, self.components, self.basis, selection)
        return self._workspace.run(JobKey("pca", scan), work, partial(self._set_pca, scan), torch=True)

    def _set_pca(self, scan: Scan, result: PcaResult) -> None:
        scan.update(pca=result, embedding=result.embedding or scan.results.embedding)
        self.pca_changed.emit(scan)

    def _results_replaced(self, scan: Scan, old: Results) -> None:
        self.pca_changed.emit(scan)

    @checked
    def save_pca(self, path: str | Path) -> Job:
        """Write the PCA or UMAP colors on the grid of the scan's file, as RGB24."""
        scan = self._workspace.require_scan()
        result = require(scan.pca, "no colors to save", "show colors first")
        return self._workspace.write_map(path, scan, partial(on_grid, result.rgb), projection=result.method)

    # One basis for all scans

    def lock_basis(self, locked: bool = True) -> None:
        """Use the active scan's components, or UMAP, for all scans from now on; or let each scan have its own again."""
        basis: Basis | None = None
        umap: UmapModel | None = None
        if locked:
            shown = require(self._workspace.require_scan().pca, "no embedding to lock", "show colors first")
            basis = shown.basis
            umap = None if shown.embedding is None else shown.embedding.model
        self.set_basis(basis, umap)

    def fit_basis(self) -> Job:
        """Fit one basis on all open scans that have features of one model, and use it from now on."""
        _, own = self._workspace.require_features()
        features = [scan.features for scan in self._workspace.scans if scan.features is not None]
        alike = [maps for maps in features if maps.fingerprint == own.fingerprint]
        return self._workspace.run(JobKey("basis"), partial(fit_basis, alike), self.set_basis, torch=True)

    @checked
    def save_basis(self, path: str | Path) -> Job:
        """Write the locked basis, or the active scan's own."""
        scan = self._workspace.scan
        own = scan.pca.basis if scan is not None and scan.pca is not None else None
        basis = require(self.basis or own, "no components to save", "show colors first")
        return self._workspace.write(path, without_context(partial(basis.save, path)))

    @checked
    def load_basis(self, path: str | Path) -> None:
        """Read a basis and use it from now on; the next `compute_pca` shows it."""
        from coralbay_core.projection import load_basis

        basis = load_basis(path)
        scan = self._workspace.scan
        if scan is not None and scan.features is not None:
            basis.require_fits(scan.features)
        self.set_basis(basis)

    def set_basis(self, basis: "Basis | None", umap: "UmapModel | None" = None) -> None:
        """Set or remove the basis, and the UMAP, of all scans."""
        self.basis, self.umap = basis, umap
        self.basis_changed.emit(basis)

    # Clusters

    @checked
    def compute_clusters(self, count: int = 8, how: "ClusterMethod" = "kmeans") -> Job:
        """Group the cells of the active scan, inside the selection if there is one: ``kmeans`` or ``hdbscan``."""
        scan, features = self._workspace.require_features()
        work = partial(clusters, features, scan.label_grid, count, how, self.basis, scan.selection)
        return self._workspace.run(JobKey("clusters", scan), work, partial(self._set_clusters, scan), torch=True)

    def _set_clusters(self, scan: Scan, result: LabelVolume) -> None:
        scan.update(clusters=result)
        self.clusters_changed.emit(scan)

    # Scatter plot

    def compute_scatter(self, method: Method = "pca") -> Job:
        """Place the cells on a plane, inside the selection if there is one."""
        if method not in get_args(Method):
            raise InputError("unknown method", found=method, expected=" or ".join(get_args(Method)))
        scan, features = self._workspace.require_features()
        work = partial(scatter, features, method, self.basis, scan.selection)
        return self._workspace.run(JobKey("scatter", scan), work, partial(self._set_scatter, scan), torch=True)

    def _set_scatter(self, scan: Scan, result: "Scatter") -> None:
        scan.update(scatter=result)
        self.scatter_changed.emit(scan)

    @checked
    def lasso(self, polygon: Sequence[Sequence[float]]) -> LabelVolume:
        """Select the cells whose points lie inside a polygon of the scatter plot, and return them as a mask.

        Projections use the selection until `select` changes it.
        """
        scan, points = self._require_scatter()
        chosen = points.lasso(polygon)
        self._set_selection(scan, points.mask(chosen) if chosen.any() else None)
        mask = points.mask(chosen, scan.label_grid).astype(np.uint8)
        return LabelVolume(mask, scan.label_grid, name="lasso", names={1: "lasso"})

    @checked
    def select(self, mask: LabelVolume | None) -> None:
        """Restrict projections to the part of the active scan where a mask is not 0; None for all of it."""
        scan, features = self._workspace.require_features()
        selection = None
        if mask is not None:
            from coralbay_core.projection import cells_inside

            selection = cells_inside(features, mask.data, mask.grid)
        self._set_selection(scan, selection)

    def _set_selection(self, scan: Scan, selection: NDArray[np.bool_] | None) -> None:
        scan.update(selection=selection)
        self.selection_changed.emit(scan)

    @checked
    def point_at(self, position_mm: Sequence[float]) -> int | None:
        """Return the index of the scatter point of a position, world mm; None where the plot has none."""
        return self._require_scatter()[1].point_at(position_mm)

    @checked
    def place_of(self, point: Sequence[float]) -> NDArray[np.float64]:
        """Return the position, world mm, of the scatter point nearest to a point of the plane."""
        points = self._require_scatter()[1]
        return points.position_mm[points.nearest(point)]

    def _require_scatter(self) -> "tuple[Scan, Scatter]":
        scan = self._workspace.require_scan()
        return scan, require(scan.scatter, "no scatter plot", "compute one first")


def _three(numbers: Components) -> Components:
    """Return three component numbers, or raise."""
    try:
        red, green, blue = (int(number) for number in numbers if int(number) == number >= 0)
    except (TypeError, ValueError):
        expected = "three whole numbers from 0, for red, green and blue"
        raise InputError("not three components", found=numbers, expected=expected) from None
    return red, green, blue
