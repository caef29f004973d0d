"""Layers of a scan by role, independent of the viewer that draws them."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import LabelVolume

from ..model import palette
from . import layer_specs
from .layer_specs import LayerSpec

if TYPE_CHECKING:
    from ..model.scan import Scan


def layer_of(role: str, scan: "Scan", share: float) -> LayerSpec | None:
    """Return one layer of a scan, or None if there is none of that role.

    Parameters
    ----------
    role : str
        One of `SHOWN`.
    scan : Scan
    share : float
        Fraction of the body that the heat map shows.
    """
    return _MAKERS[role](scan, share)


def _clusters(scan: "Scan", share: float) -> LayerSpec | None:
    found = scan.clusters
    return found and layer_specs.labels_spec(found, "clusters")


def _found(scan: "Scan", share: float) -> LayerSpec | None:
    return None if scan.matched is None else layer_specs.found_spec([scan.matched.position_mm], ["match"])


def _ct(scan: "Scan", share: float) -> LayerSpec:
    return layer_specs.ct_spec(scan.volume)


def _colors(scan: "Scan", share: float) -> LayerSpec | None:
    pca = scan.pca
    return pca and layer_specs.rgb_spec(pca.shown, pca.grid, f"{pca.method.upper()} - {scan.name}")


def _heat(scan: "Scan", share: float) -> LayerSpec | None:
    heat = scan.heat
    if heat is None:
        return None
    return layer_specs.heat_spec(heat.shown, heat.grid, (heat.scale.score_of(share), heat.scale.high), "similar")


def _windows(scan: "Scan", share: float) -> LayerSpec | None:
    """Return the layer of the agreement of several CT windows."""
    seen = scan.windows
    return seen and layer_specs.share_spec(seen.stability, seen.grid, "windows", "agreement of CT windows")


def _segmentation(scan: "Scan", share: float) -> LayerSpec | None:
    return scan.segmentation and layer_specs.labels_spec(scan.segmentation)


def _strokes(scan: "Scan", share: float) -> LayerSpec | None:
    painted = scan.strokes.now
    return layer_specs.labels_spec(painted.labels, "strokes", opacity=0.9) if painted else None


def _selection(scan: "Scan", share: float) -> LayerSpec | None:
    chosen = selection_mask(scan)
    if chosen is None:
        return None
    spec = layer_specs.labels_spec(chosen, "lasso", opacity=0.4)
    return replace(spec, colors={0: layer_specs.CLEAR, 1: palette.REGION})


def _clicks(scan: "Scan", share: float) -> LayerSpec | None:
    clicks = scan.clicks.now
    return layer_specs.clicks_spec(clicks.positive, clicks.negative) if clicks else None


def _regions(scan: "Scan", share: float) -> LayerSpec | None:
    heat = scan.heat
    if heat is None or not heat.regions:
        return None
    return layer_specs.regions_spec([region.position_mm for region in heat.regions], scan.marked)


_MAKERS = {
    "ct": _ct,
    "pca": _colors,
    "clusters": _clusters,
    "heat": _heat,
    "windows": _windows,
    "segmentation": _segmentation,
    "lasso": _selection,
    "strokes": _strokes,
    "regions": _regions,
    "found": _found,
    "clicks": _clicks,
}

SHOWN = tuple(role for role in layer_specs.ROLES if role in _MAKERS)
"""Roles that `layer_of` knows, from the bottom of the stack to its top."""


def selection_mask(scan: "Scan") -> LabelVolume | None:
    """Return the selected cells on the scan's label grid; None for the whole body."""
    cells = scan.selection
    if cells is None or scan.features is None:
        return None
    from coralbay_core.spatial.resampling import resample

    mask = resample(cells.astype(np.uint8), scan.features.finest.grid, scan.label_grid, order=0, fill=0)
    return LabelVolume(mask.astype(np.uint8), scan.label_grid, name="lasso", names={1: "lasso"})


def initial_cursor(scan: "Scan") -> NDArray[np.float64]:
    """Return the initial cursor in world mm: the last click, the best region, or the center of the scan."""
    if scan.clicks.now.positive:
        return np.array(scan.clicks.now.positive[-1])
    if scan.heat is not None and scan.heat.regions:
        return np.array(scan.heat.regions[0].position_mm)
    return scan.volume.grid.center_mm
