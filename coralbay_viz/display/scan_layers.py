"""State to layers: the one function that napari, notebooks and still pictures draw a scan with."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import LabelVolume
from coralbay_core.spatial.checkerboard import checkerboard

from ..model.first_window import first_window
from . import layer_specs
from .layer_specs import ROLES, LayerSpec
from .view_state import AGREEMENT, ViewState

if TYPE_CHECKING:
    from ..model.results import HeatResult
    from ..model.scan import Scan

# A heat map of the other side shows the best 30 % of its range.
_SYMMETRY_SHOWN = 0.3


def layer_of(role: str, scan: "Scan", view: ViewState) -> LayerSpec | None:
    """One layer of a scan, or None if there is nothing to show in that role.

    Parameters
    ----------
    role : str
        One of `ROLES`.
    scan : Scan
    view : ViewState
    """
    return _MAKERS[role](scan, view)


def changes(session: Any) -> tuple[tuple[Any, tuple[str, ...]], ...]:
    """Signals of a session that carry a scan, each with the roles whose layers they change.

    Parameters
    ----------
    session : Session
    """
    return (
        (session.features_changed, ("clusters", "lasso", "symmetry", "found")),
        (session.clicks_changed, ("clicks",)),
        (session.heat_changed, ("heat", "regions")),
        (session.marked_changed, ("regions",)),
        (session.hover_changed, ("hover",)),
        (session.windows.changed, ("windows",)),
        (session.pca_changed, ("pca",)),
        (session.clusters_changed, ("clusters",)),
        (session.selection_changed, ("lasso",)),
        (session.strokes_changed, ("strokes",)),
        # A new segmentation has no suggestions yet.
        (session.segmentation_changed, ("segmentation", "suggestions")),
        (session.suggestions_changed, ("suggestions",)),
        (session.class_colors_changed, ("segmentation", "strokes")),
        (session.scores_changed, ("scores",)),
        (session.symmetry_changed, ("symmetry", "found")),
        (session.match_changed, ("found",)),
        (session.warped_changed, ("warped",)),
    )


THRESHOLDED = ("heat", "training_heat", "hover")
"""Roles whose layers depend on `ViewState.body_fraction`."""


def _ct(scan: "Scan", view: ViewState) -> LayerSpec:
    return layer_specs.ct_spec(scan.volume, view.window or first_window(scan.volume))


def _warped(scan: "Scan", view: ViewState) -> LayerSpec | None:
    """The scan and a second one in turns, in squares."""
    warped = scan.warped
    if warped is None:
        return None
    data = checkerboard(warped.own, warped.other, warped.grid, view.square_mm)
    return layer_specs.warped_spec(data, warped.grid, f"{warped.name} over it")


def _pca(scan: "Scan", view: ViewState) -> LayerSpec | None:
    pca = scan.pca
    if pca is None:
        return None
    return layer_specs.rgb_spec(pca.shown, pca.grid, f"{pca.method.upper()} colors")


def _clusters(scan: "Scan", view: ViewState) -> LayerSpec | None:
    return None if scan.clusters is None else layer_specs.labels_spec(scan.clusters, "clusters")


def _training_pca(scan: "Scan", view: ViewState) -> LayerSpec | None:
    if view.training is None:
        return None
    pca = view.training.pca
    return layer_specs.rgb_spec(pca.shown, pca.grid, "training colors", "training_pca")


def _heat(scan: "Scan", view: ViewState) -> LayerSpec | None:
    heat = scan.heat
    if heat is None:
        return None
    return layer_specs.heat_spec(heat.shown, heat.grid, _limits(heat, view), "similarity")


def _training_heat(scan: "Scan", view: ViewState) -> LayerSpec | None:
    heat = None if view.training is None else view.training.heat
    if heat is None:
        return None
    name = "training similarity"
    return layer_specs.heat_spec(heat.shown, heat.grid, _limits(heat, view), name, "training_heat")


def _hover(scan: "Scan", view: ViewState) -> LayerSpec | None:
    heat = scan.hover
    return None if heat is None else layer_specs.hover_spec(heat.shown, heat.grid, _limits(heat, view))


def _limits(heat: "HeatResult", view: ViewState) -> tuple[float, float]:
    return heat.scale.score_of(view.body_fraction), heat.scale.high


def _windows(scan: "Scan", view: ViewState) -> LayerSpec | None:
    """Agreement of the compared windows, or the ranks under one of them."""
    found, chosen = scan.windows, view.window_shown
    if found is None or chosen is None:
        return None
    if chosen not in found.shown:
        chosen = AGREEMENT
    data = found.stability if chosen == AGREEMENT else found.shown[chosen]
    return layer_specs.fraction_spec(data, found.grid, "windows", f"CT window {chosen.lower()}")


def _symmetry(scan: "Scan", view: ViewState) -> LayerSpec | None:
    result, shown = scan.symmetry, scan.symmetry_shown
    if result is None or shown is None:
        return None
    values = result.heat.data[result.heat.inside]
    low, high = float(values.min()), float(values.max())
    limits = high - _SYMMETRY_SHOWN * (high - low), high
    return layer_specs.heat_spec(shown, scan.overlay_grid, limits, "contralateral", "symmetry")


def _segmentation(scan: "Scan", view: ViewState) -> LayerSpec | None:
    return None if scan.segmentation is None else layer_specs.labels_spec(scan.segmentation, chosen=scan.class_colors)


def _scores(scan: "Scan", view: ViewState) -> LayerSpec | None:
    found = scan.scores
    if found is None:
        return None
    if view.margin:
        return layer_specs.scores_spec(found.uncertainty, found.grid, "uncertainty")
    names = {} if scan.segmentation is None else scan.segmentation.names
    label = "" if found.value is None else f" of {names.get(found.value, f'label {found.value}')}"
    return layer_specs.scores_spec(found.probability, found.grid, f"probability{label}")


def _lasso(scan: "Scan", view: ViewState) -> LayerSpec | None:
    mask = selection_mask(scan)
    return None if mask is None else layer_specs.labels_spec(mask, "lasso")


def _strokes(scan: "Scan", view: ViewState) -> LayerSpec | None:
    painted = scan.strokes.now
    return None if painted is None else layer_specs.strokes_spec(painted.labels, scan.class_colors)


def _regions(scan: "Scan", view: ViewState) -> LayerSpec | None:
    heat = scan.heat
    if heat is None or not heat.regions:
        return None
    return layer_specs.regions_spec([region.position_mm for region in heat.regions], scan.marked)


def _found(scan: "Scan", view: ViewState) -> LayerSpec | None:
    """Both sides of a comparison of sides, and the match of another scan's cursor."""
    places: list[NDArray[np.float64]] = []
    texts: list[str] = []
    if scan.symmetry is not None:
        places += [scan.symmetry.position_mm, scan.symmetry.counterpart_mm]
        texts += ["here", "contralateral"]
    if scan.matched is not None:
        places.append(scan.matched.position_mm)
        texts.append("match")
    return layer_specs.found_spec(places, texts) if places else None


def _suggestions(scan: "Scan", view: ViewState) -> LayerSpec | None:
    places = [suggestion.position_mm for suggestion in scan.suggestions]
    return layer_specs.suggestions_spec(places) if places else None


def _mark(scan: "Scan", view: ViewState) -> LayerSpec | None:
    return None if view.mark_mm is None else layer_specs.mark_spec(view.mark_mm)


def _clicks(scan: "Scan", view: ViewState) -> LayerSpec | None:
    clicks = scan.clicks.now
    return layer_specs.clicks_spec(clicks.positive, clicks.negative) if clicks else None


_MAKERS: "dict[str, Callable[[Scan, ViewState], LayerSpec | None]]" = {
    "ct": _ct,
    "warped": _warped,
    "pca": _pca,
    "clusters": _clusters,
    "training_pca": _training_pca,
    "heat": _heat,
    "training_heat": _training_heat,
    "windows": _windows,
    "symmetry": _symmetry,
    "hover": _hover,
    "segmentation": _segmentation,
    "scores": _scores,
    "lasso": _lasso,
    "strokes": _strokes,
    "regions": _regions,
    "found": _found,
    "suggestions": _suggestions,
    "mark": _mark,
    "clicks": _clicks,
}

OVERLAYS = ROLES[1:]
"""Roles of all layers that lie over a scan, from the bottom of the stack to its top."""


def selection_mask(scan: "Scan") -> LabelVolume | None:
    """Selected cells of the scatter plot on the scan's label grid; None for the whole body."""
    cells = scan.selection
    if cells is None or scan.features is None:
        return None
    from coralbay_core.spatial.resampling import resample

    mask = resample(cells.astype(np.uint8), scan.features.finest.grid, scan.label_grid, order=0, fill=0)
    return LabelVolume(mask.astype(np.uint8), scan.label_grid, name="lasso", names={1: "lasso"})


def initial_cursor(scan: "Scan") -> NDArray[np.float64]:
    """Position that is shown first, world mm: the last click, the best region, or the middle of the scan."""
    if scan.clicks.now.positive:
        return np.array(scan.clicks.now.positive[-1])
    if scan.heat is not None and scan.heat.regions:
        return np.array(scan.heat.regions[0].position_mm)
    return scan.volume.grid.center_mm
