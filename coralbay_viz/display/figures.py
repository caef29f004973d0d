"""Still pictures of a scan with overlays, for places without widgets: GitHub, reports."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from coralbay_core.errors import CoralBayError, InputError

from ..model import palette
from . import slices
from .layer_specs import IS_SCAN, ROLES, LayerSpec
from .scan_layers import OVERLAYS, initial_cursor, layer_of
from .view_state import ViewState

if TYPE_CHECKING:
    from ..model.scan import Scan
    from .slices import Plane

_WIDTH_IN, _DPI = 12.0, 90
_OUTLINE = [patheffects.withStroke(linewidth=2, foreground="black")]  # to be read on bright tissue, too
_CROSS = {"color": "#ffd75e", "linewidth": 0.6, "alpha": 0.8}


class Picture(Figure):
    """Figure that notebooks display without pyplot."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=_DPI, facecolor="black")
        return data.getvalue()


def limits_of(window: str | tuple[float, float]) -> tuple[float, float]:
    """Return the limits of a gray scale in HU, from the name of a window or from level and width."""
    if isinstance(window, str):
        if window not in palette.WINDOWS:
            raise InputError("unknown window", found=window, expected=f"one of {', '.join(palette.WINDOWS)}")
        return palette.WINDOWS[window].limits_hu
    level, width = window
    if not (np.isfinite(level) and 0 < width < float("inf")):
        raise InputError("unusable window", found=window, expected="level and width in HU, the width above 0")
    return palette.Window("", float(level), float(width)).limits_hu


def montage(
    scan: "Scan",
    position_mm: ArrayLike | None,
    show: Sequence[str] | None,
    body_fraction: float,
    window_hu: tuple[float, float],
    title: str = "",
) -> Picture:
    """Draw the three views through a position; see `Session.plot`."""
    place = np.asarray(initial_cursor(scan) if position_mm is None else position_mm, float)
    view_state, shown = ViewState(body_fraction), _roles(scan, show)
    made = [layer_of(role, scan, view_state) for role in ROLES if role == "ct" or role in shown]
    specs = [spec for spec in made if spec is not None]
    found = {view: slices.plane_at(specs[0].domain, view, place) for view in slices.VIEWS}
    planes = {view: plane for view, plane in found.items() if plane is not None}
    if len(planes) < len(found):
        raise CoralBayError("no layer at this position", where=scan.name, found=place.round(1).tolist())
    sizes = {view: plane.extent_mm for view, plane in planes.items()}
    aspect = sum(width / height for height, width in sizes.values())
    height_in = _WIDTH_IN / aspect + (0.35 if title else 0.0)
    figure = Picture(figsize=(_WIDTH_IN, height_in), facecolor="black", layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[width / height for height, width in sizes.values()])
    for axis, (view, plane) in zip(axes, planes.items(), strict=True):
        _draw(axis, specs, view, plane, place, window_hu)
    if title:
        figure.suptitle(title, color="white", fontsize=11)
    return figure


def _roles(scan: "Scan", show: Sequence[str] | None) -> Sequence[str]:
    if show is None:
        if scan.segmentation is not None:
            return ("segmentation", "strokes")
        if scan.heat is not None:
            return ("heat", "regions", "clicks")
        return ("pca", "clicks")
    if unknown := set(show) - set(ROLES):
        raise InputError("unknown layer", found=sorted(unknown), expected=f"some of {', '.join(OVERLAYS)}")
    return show


def _draw(axis: Any, specs: list[LayerSpec], view: Any, plane: "Plane", place: Any, window_hu: Any) -> None:
    """Draw the layers of one view in mm of the picture: x right, y down, from the center of the first pixel."""
    across, down = (step / np.linalg.norm(step) for step in (plane.right_mm, plane.down_mm))

    def flat(points: ArrayLike) -> Any:
        away = np.asarray(points, float).reshape(-1, 3) - plane.corner_mm
        return away @ across, away @ down

    for spec in specs:
        if spec.kind == "points":
            _draw_points(axis, spec, flat, plane)
        elif (own := slices.plane_at(spec.domain, view, place)) is not None:
            picture = slices.painted(spec, own, window_hu)
            smooth = "nearest" if spec.kind == "labels" else "bilinear"
            axis.imshow(picture, extent=_extent(own, flat), interpolation=smooth, origin="upper")
    height, width = plane.extent_mm
    half = np.linalg.norm(plane.right_mm) / 2, np.linalg.norm(plane.down_mm) / 2
    x, y = flat(place)
    axis.axvline(x[0], **_CROSS)
    axis.axhline(y[0], **_CROSS)
    axis.set(xlim=(-half[0], width - half[0]), ylim=(height - half[1], -half[1]), aspect="equal")
    axis.axis("off")
    _draw_letters(axis, slices.edge_letters(plane, specs[0].metadata[IS_SCAN].known_axes))


def _extent(plane: "Plane", flat: Any) -> tuple[float, float, float, float]:
    (left,), (top,) = flat(plane.corner_mm - plane.right_mm / 2 - plane.down_mm / 2)
    height, width = plane.extent_mm
    return left, left + width, top + height, top


def _draw_points(axis: Any, spec: LayerSpec, flat: Any, plane: "Plane") -> None:
    """Draw points within half a slice, or 3 mm, of the plane."""
    through = float(np.linalg.norm(plane.through_mm))
    away = (spec.data - plane.corner_mm) @ (plane.through_mm / through)
    near = np.abs(away) <= max(through / 2, 3.0)
    if not near.any():
        return
    x, y = flat(spec.data[near])
    faces, edges = (_each(spec.style[part], near) for part in ("face_color", "border_color"))
    axis.scatter(x, y, s=36, facecolors=faces, edgecolors=edges, linewidths=1.2, zorder=3)
    if "text" in spec.style:
        style = {"textcoords": "offset points", "color": "white", "fontsize": 8, "path_effects": _OUTLINE}
        for text, i, j in zip(np.array(spec.style["text"]["string"])[near], x, y, strict=True):
            axis.annotate(text, (i, j), (5, 3), **style)


def _each(color: Any, near: Any) -> Any:
    """Return one color for all points, or one per near point."""
    if isinstance(color, str):
        return "none" if color == "transparent" else color
    return [one for one, keep in zip(color, near, strict=True) if keep]


def _draw_letters(axis: Any, letters: dict[str, str]) -> None:
    for edge, (x, y) in {"left": (0.02, 0.5), "right": (0.98, 0.5), "top": (0.5, 0.98), "bottom": (0.5, 0.02)}.items():
        align = {"left": "left", "right": "right"}.get(edge, "center")
        upright = {"top": "top", "bottom": "bottom"}.get(edge, "center")
        axis.text(x, y, letters[edge], transform=axis.transAxes, color="white", fontsize=9, ha=align, va=upright)
