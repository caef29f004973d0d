"""Symmetry: the mid-sagittal plane of a patient, and the difference of a place from its mirror image.

The plane is found from the body and its features, not from the array: a patient lies off center and turned, and a crop
has any center. Features of mirrored places differ even in a symmetric body, since an encoder is not equivariant to
mirroring; so a difference is reported with its rank among those of the body at large.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OutsideVolumeError
from ..features import FeatureMaps
from ..features.descriptors import stage_descriptors
from ..features.feature_maps import sample_trilinear
from ..spatial import Grid
from . import HeatMap, heat_map
from .cell_table import body_tokens, point_tokens
from .prior import DistancePrior
from .stage_weights import Weights, resolve_weights

SAMPLE = 2500
SEARCH_MM = 20.0
# How far the plane may be turned from the one that the scanner's axes give.
MOST_DEGREES = 25.0


@dataclass(frozen=True, eq=False)
class Midplane:
    """The mid-sagittal plane.

    Parameters
    ----------
    point_mm : (3,) array
        On the plane, world mm.
    normal : (3,) array
        Unit vector to the patient's right.
    overlap : float
        Share of the body whose mirror image is body, too.
    """

    point_mm: NDArray[np.float64]
    normal: NDArray[np.float64]
    overlap: float = 1.0

    def mirror(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Mirror positions (..., 3)."""
        position = np.asarray(position_mm, float)
        return position - 2 * ((position - self.point_mm) @ self.normal)[..., None] * self.normal

    @property
    def turned_degrees(self) -> float:
        """Angle between the normal and the scanner's left-right axis."""
        return float(np.degrees(np.arccos(np.clip(self.normal[0], -1, 1))))


@dataclass(frozen=True, eq=False)
class SideBySide:
    """A place, its mirror image, and their difference.

    Parameters
    ----------
    position_mm, mirror_mm : (3,) arrays
    counterpart_mm : (3,) array
        The place near the mirror image that looks most like the position.
    difference : float
        1 - cosine to the counterpart; 0 is alike.
    by_stage : dict of int to float
        The same for each stride.
    rank : float
        Share of the body whose places differ less from their mirror images: .5 is as usual, .99 conspicuous.
    plane : Midplane
    heat : HeatMap
        Of the position around its mirror image.
    """

    position_mm: NDArray[np.float64]
    mirror_mm: NDArray[np.float64]
    counterpart_mm: NDArray[np.float64]
    difference: float
    by_stage: dict[int, float]
    rank: float
    plane: Midplane
    heat: HeatMap


@dataclass(frozen=True, eq=False)
class _Sides:
    """Data of the cost of a candidate plane."""

    body: NDArray[np.float32]
    grid: Grid
    places: NDArray[np.float64]
    rows: NDArray[np.float32]
    maps: NDArray[np.float32]
    map_grid: Grid

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        return self.places.mean(0)

    def plane(self, parameters: NDArray) -> Midplane:
        """Plane of an offset in units of 10 mm, yaw and tilt in units of 5 degrees."""
        yaw, tilt = np.radians(np.clip(5 * parameters[1:], -MOST_DEGREES, MOST_DEGREES))
        normal = np.array([np.cos(yaw) * np.cos(tilt), np.sin(yaw) * np.cos(tilt), np.sin(tilt)])
        return Midplane(self.middle + 10 * parameters[0] * normal, normal)

    def cost(self, parameters: NDArray) -> float:
        """Cost of a plane: low if body and features are the same on both sides."""
        there = self.plane(parameters).mirror(self.places)
        inside = sample_trilinear(self.body[None], self.grid.to_index(there))[:, 0] * self.grid.contains(there)
        mirrored = sample_trilinear(self.maps, self.map_grid.to_index(there))
        alike = np.einsum("nc,nc->n", self.rows, mirrored)
        return -float((inside * (1 + alike)).mean())


def find_midplane(features: FeatureMaps, *, seed: int = 0) -> Midplane:
    """Find the mid-sagittal plane, which mirrors body to body, and places to places that look alike.

    A search over offset and two angles from several starts (Nelder and Mead 1965), on a sample of the body.

    Parameters
    ----------
    features : FeatureMaps
        Of a scan that shows both sides.
    seed : int
        Of the sample.
    """
    from scipy.optimize import minimize

    sides = _sides(features, seed)
    # Simplices of 10 mm and 5 degrees around planes that lean to either side.
    corners = np.vstack([np.zeros(3), np.eye(3)])
    starts = [corners + np.array([0, yaw, 0]) for yaw in (-1.5, -0.5, 0.5)]
    options = {"xatol": 0.02, "fatol": 1e-5}
    trials = [
        minimize(sides.cost, s[0], method="Nelder-Mead", options=options | {"initial_simplex": s}) for s in starts
    ]
    found = min(trials, key=lambda result: result.fun)
    plane = sides.plane(found.x)
    there = plane.mirror(sides.places)
    inside = sample_trilinear(sides.body[None], sides.grid.to_index(there))[:, 0] * sides.grid.contains(there)
    return Midplane(plane.point_mm, plane.normal, float((inside >= 0.5).mean()))


def _sides(features: FeatureMaps, seed: int) -> _Sides:
    stride = features.strides[0]  # it is the most local; coarser ones reach across the plane

    grid = features.stages[stride].grid
    body = features.body_at(stride)
    cells = np.argwhere(body)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cells))[:SAMPLE])
    unit = stage_descriptors(features, stride).unit
    rows = unit[:, *cells[chosen].T].T
    return _Sides(body.astype(np.float32), grid, grid.to_world(cells[chosen]), rows, unit, grid)


def compare_sides(
    features: FeatureMaps,
    position_mm: ArrayLike,
    *,
    plane: Midplane | None = None,
    weights: Weights = None,
    search_mm: float = SEARCH_MM,
) -> SideBySide:
    """Compare a place with the other side of the patient.

    Parameters
    ----------
    features : FeatureMaps
    position_mm : (3,) array
        World mm.
    plane : Midplane, optional
        Found by `find_midplane` if not given.
    weights : mapping of int to float, optional
        Of the strides.
    search_mm : float
        Width of the distance prior around the mirror image: organs are not exactly mirrored.

    Raises
    ------
    OutsideVolumeError
        Where the position or its mirror image lies outside the scan.
    """
    position = np.asarray(position_mm, float).reshape(3)
    features.grid.require_inside(position, where="position")
    plane = plane or find_midplane(features)
    there = plane.mirror(position)
    if not features.grid.contains(there):
        raise OutsideVolumeError(
            "the other side lies outside the scan",
            where=", ".join(f"{v:.1f}" for v in position),
            found=", ".join(f"{v:.1f}" for v in there),
            expected="a scan that shows both sides there",
        )
    shares = resolve_weights(weights, features, features)
    heat = heat_map(features, position, weights=shares, prior=DistancePrior(there, search_mm))
    counterpart, _ = heat.best()
    pair = np.stack([position, counterpart])
    by_stage = {s: 1 - float(np.prod(point_tokens(features, pair, {s: 1.0}), axis=0).sum()) for s in shares}
    difference = sum(share * by_stage[s] for s, share in shares.items())
    usual = usual_differences(features, plane, search_mm=search_mm)
    rank = float((usual < difference).mean()) if len(usual) else float("nan")
    return SideBySide(position, there, counterpart, difference, by_stage, rank, plane, heat)


def usual_differences(
    features: FeatureMaps, plane: Midplane, *, search_mm: float = SEARCH_MM, seed: int = 0, count: int = 400
) -> NDArray[np.float64]:
    """Compute differences (N,) of sampled places from the most similar cell near (`search_mm`) their mirror images."""
    tokens = body_tokens(features)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(tokens))[:count]
    there = plane.mirror(tokens.position_mm[chosen])
    out = []
    for number, place in zip(chosen, there, strict=True):
        near = np.linalg.norm(tokens.position_mm - place, axis=1) <= search_mm
        near[number] = False
        if near.any():
            out.append(1 - float((tokens.vectors[near] @ tokens.vectors[number]).max()))
    return np.array(out)
