"""Deformable alignment of two scans by their features: smooth maps to each other that undo each other.

From a rough alignment, searches from coarse to fine (`coupled_search`) find a displacement of each cell in both
directions, and each direction is made to undo the other one (`inverse_consistency`). Nothing is trained, no HU is used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import CoralBayError
from ..features import FeatureMaps
from ..features.descriptors import joint_stages
from ..features.feature_maps import sample_trilinear
from ..spatial import Grid, geometry
from ..spatial.geometry import Affine
from ..spatial.resampling import resample
from ..util.cancellation import IsCancelled, check_cancelled
from .alignment import Alignment, align
from .coupled_search import Level, SearchCells, search_displacements
from .displacement import DisplacementMap
from .inverse_consistency import Field, after, composed, inverse, undoing
from .shared_features import SampledFeatures, shared_features

PRICES = (0.005, 0.015, 0.05, 0.15, 0.5, 1.5)
LEVELS = (Level(8, 4, PRICES), Level(4, 2, PRICES))
"""Searches from coarse to fine: within 48 mm in cells of 12 mm, then within 12 mm in cells of 6 mm."""

FEWEST_CELLS = 200
"""Cells of 12 mm in the common part of two scans below which there is nothing to align: about 350 ml."""

TRUSTED_MM = 12.0
"""Distance between a place and its way back at which confidence has fallen to exp(-1/2)."""

CERTAINTY = ((0.6, "reliable"), (0.4, "fair: check the result"), (-1.0, "doubtful: check the result"))
"""Words for a mean confidence, by the least that they need."""

_UNIT_MM = 1.0  # A prior that is an affine up to this is taken as one.

Prior = Callable[[ArrayLike], NDArray[np.float64]]
"""Maps positions (..., 3) of the source to the target, roughly."""


@dataclass(frozen=True, eq=False)
class Deformation:
    """Smooth maps between two scans.

    Parameters
    ----------
    forward, backward : DisplacementMap
        World mm of the source to those of the target, and back.
    confidence : tuple of two (z, y, x) float32 arrays
        Of the places of the source and of the target, on the grids' cells: from 0, where nothing is known, to 1.
    return_mm : tuple of two (z, y, x) float32 arrays
        How far each place is from its way back by the searches of both directions, before they were made to undo each
        other.
    common : (z, y, x) bool array
        Cells of the source's body that lie in the volume of the target.
    body_share, target_share : float
        Part of the source's body that this is, and likewise of the target's.
    folding : float
        Share of the cells of both bodies at which one of the maps folds.
    rough : Alignment, optional
        Alignment that the maps start from, unless a prior was given.
    """

    forward: DisplacementMap
    backward: DisplacementMap
    confidence: tuple[NDArray[np.float32], NDArray[np.float32]]
    return_mm: tuple[NDArray[np.float32], NDArray[np.float32]]
    common: NDArray[np.bool_]
    body_share: float
    target_share: float
    folding: float
    rough: Alignment | None = None

    def __call__(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Map positions (..., 3) of the source to the target."""
        return self.forward(position_mm)

    def confidence_at(
        self, position_mm: ArrayLike, *, of: Literal["source", "target"] = "source"
    ) -> NDArray[np.float32]:
        """Confidence (...) at positions (..., 3) of the source or the target; 0 beyond the common part."""
        direction = self.forward if of == "source" else self.backward
        values = self.confidence[0 if of == "source" else 1]
        between = geometry.apply(direction.before, position_mm)
        found = sample_trilinear(values[None], direction.grid.to_index(between.reshape(-1, 3)))[:, 0]
        inside = direction.grid.contains(between.reshape(-1, 3))
        return np.asarray(np.where(inside, found, 0), np.float32).reshape(between.shape[:-1])

    @property
    def reversed(self) -> "Deformation":
        """The same maps, from the target to the source."""
        body = self.confidence[1] > 0
        return replace(
            self,
            forward=self.backward,
            backward=self.forward,
            confidence=self.confidence[::-1],
            return_mm=self.return_mm[::-1],
            common=body,
            body_share=self.target_share,
            target_share=self.body_share,
            rough=None,
        )

    @property
    def mean_confidence(self) -> float:
        """Mean confidence of the common part."""
        return float(self.confidence[0][self.common].mean())

    @property
    def in_words(self) -> str:
        """How sure the alignment is, and of what: one line for users."""
        sure = next(word for least, word in CERTAINTY if self.mean_confidence >= least)
        low, high = self.common_mm
        part = "all of the body" if self.body_share > 0.95 else f"{self.body_share:.0%} of the body"
        return (
            f"alignment is {sure} (mean confidence {self.mean_confidence:.2f}); {part} is in both scans, "
            f"z {low[2]:.0f} to {high[2]:.0f} mm"
        )

    @property
    def common_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest world coordinates of the common part in the source, each (3,)."""
        low, high = _bounds(self.forward.grid, self.common)
        corners = geometry.apply(
            geometry.inverse(self.forward.before), geometry.box_corners([*zip(low, high, strict=True)])
        )
        return corners.min(0), corners.max(0)


def deform(
    source: FeatureMaps,
    target: FeatureMaps,
    *,
    weights: Mapping[int, float] | None = None,
    prior: "Alignment | Prior | None" = None,
    levels: tuple[Level, ...] = LEVELS,
    cancelled: IsCancelled | None = None,
) -> Deformation:
    """Align two scans, deformably, where both show the same part of the body.

    Parameters
    ----------
    source, target : FeatureMaps
        Features of both scans, of the same encoder.
    weights : mapping of int to float, optional
        Weights of the strides; by default equal ones of those of `joint_stages`.
    prior : callable, optional
        Maps positions of the source to the target, roughly: an `Alignment`, or a transform of another program. By
        default `align` finds it.
    levels : tuple of Level
    cancelled : callable, optional
        When it returns true, `Cancelled` is raised.

    Raises
    ------
    CoralBayError
        If the scans cannot be aligned, or show hardly any common part of the body.
    """
    source.require_same_encoder(target)
    if weights is None:
        source, target = joint_stages(source), joint_stages(target)
    rough = align(source, target, weights=weights) if prior is None else prior
    check_cancelled(cancelled, "alignment")
    affine, is_affine = _affine_of(rough, source)
    both = shared_features(source, target, affine, weights)
    common, share = _common_part(source, target, affine)
    fields = None if is_affine else _fields_of(rough, affine, _lattice(source, levels[0]))
    grid, bodies, errors = None, [], (np.zeros(1), np.zeros(1))
    for level in levels:
        finer = _lattice(source, level)
        if grid is not None and fields is not None:
            fields = _on_lattice(fields[0], grid, finer), _on_lattice(fields[1], grid, finer)
            errors = resample(errors[0], grid, finer), resample(errors[1], grid, finer)
        grid = finer
        bodies = _bodies(grid, both)
        fields, away = _searched(level, grid, both, bodies, fields, cancelled)
        errors = np.hypot(errors[0], away[0]), np.hypot(errors[1], away[1])
    assert grid is not None
    assert fields is not None
    forward, backward = _maps(grid, fields, affine)
    confidence = _confidence(grid, both, fields, bodies, errors)
    folds = (forward.jacobian <= 0) | (backward.jacobian <= 0)
    return Deformation(
        forward,
        backward,
        confidence,
        (errors[0].astype(np.float32), errors[1].astype(np.float32)),
        resample(common, _lattice(source, levels[0]), grid, order=0, fill=0) & bodies[0],
        share,
        _share_in(target, source, geometry.inverse(affine)),
        float(folds[bodies[0] | bodies[1]].mean()),
        rough if isinstance(rough, Alignment) else None,
    )


def _lattice(source: FeatureMaps, level: Level) -> Grid:
    return source.grid.coarsen(level.stride)


def _common_part(source: FeatureMaps, target: FeatureMaps, affine: Affine) -> tuple[NDArray[np.bool_], float]:
    """Cells of the source's body that lie in the target's volume, and their share; raises if there are too few."""
    stride = LEVELS[0].stride
    grid, body = source.grid.coarsen(stride), source.body_at(stride)
    common = np.zeros(body.shape, bool)
    common[body] = target.grid.contains(geometry.apply(affine, grid.cell_positions(body)))
    if common.sum() < FEWEST_CELLS:
        part = "none"
        if common.any():
            low, high = _bounds(grid, common)
            part = ", ".join(f"{axis} {a:.0f}..{b:.0f}" for axis, a, b in zip("RAS", low, high, strict=True)) + " mm"
        raise CoralBayError(
            "scans show different parts of the body",
            found=f"common part {part} ({int(common.sum())} cells)",
            expected=f"at least {FEWEST_CELLS} cells of 12 mm",
            hint="choose scans that show the same part, or give a better --transform",
        )
    return common, float(common.sum() / max(1, body.sum()))


def _share_in(features: FeatureMaps, other: FeatureMaps, affine: Affine) -> float:
    """Share of a body that lies in the volume of another scan."""
    stride = LEVELS[0].stride
    position_mm = features.grid.coarsen(stride).cell_positions(features.body_at(stride))
    return float(other.grid.contains(geometry.apply(affine, position_mm)).mean())


def _bounds(grid: Grid, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    position_mm = grid.cell_positions(mask)
    return position_mm.min(0), position_mm.max(0)


def _affine_of(rough: "Alignment | Prior", source: FeatureMaps) -> tuple[Affine, bool]:
    """Affine that is nearest to a prior on the body, and whether the prior is no more than that."""
    if isinstance(rough, Alignment):
        return rough.affine, True
    stride = LEVELS[0].stride
    here = source.grid.coarsen(stride).cell_positions(source.body_at(stride))
    there = rough(here)
    affine = geometry.fit_affine(here, there)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) <= 0:
        raise CoralBayError(
            "transform mirrors or flattens the body", hint="check that it maps the first scan to the second"
        )
    return affine, bool(np.abs(geometry.apply(affine, here) - there).max() < _UNIT_MM)


def _fields_of(rough: Prior, affine: Affine, grid: Grid) -> tuple[Field, Field]:
    """What a prior does beyond its affine, as fields of both directions."""
    here = grid.cell_positions(np.ones(grid.shape, bool))
    moved = geometry.apply(geometry.inverse(affine), rough(here)) - here
    cells = np.linalg.solve(grid.affine[:3, :3], moved.T).astype(np.float32).reshape(3, *grid.shape)
    return cells, inverse(cells)


def _searched(
    level: Level,
    grid: Grid,
    both: tuple[SampledFeatures, SampledFeatures],
    bodies: list[NDArray[np.bool_]],
    fields: tuple[Field, Field] | None,
    cancelled: IsCancelled | None,
) -> tuple[tuple[Field, Field], tuple[NDArray, NDArray]]:
    """Search both directions on a lattice; the fields, and how far each place is from its way back, in mm."""
    used = (both[0].smoothed(), both[1].smoothed()) if level.stride == LEVELS[0].stride else both
    found = []
    for number, mask in enumerate(bodies):
        check_cancelled(cancelled, "alignment")
        start = None if fields is None else fields[number]
        cells = SearchCells.of(grid, mask)
        moved = search_displacements(cells, used[number], used[1 - number], level, start)
        step = _spread_out(cells, moved)
        found.append(step if start is None else composed(step, start))
    size_mm = float(grid.spacing_mm.mean())
    away = [np.linalg.norm(a + after(a, b), axis=0) * size_mm for a, b in (found, found[::-1])]
    return undoing(found[0], found[1]), (away[0], away[1])


def _bodies(grid: Grid, both: tuple[SampledFeatures, SampledFeatures]) -> list[NDArray[np.bool_]]:
    """Cells of a lattice in the body of each scan."""
    index = torch.from_numpy(np.indices(grid.shape, np.float32).reshape(3, -1))
    masks = []
    for features in both:
        values, known = features.body_at(grid, index)
        masks.append(((values > 0.5) & known).numpy().reshape(grid.shape))
    return masks


def _spread_out(cells: SearchCells, values: NDArray[np.float32]) -> Field:
    """Displacements of the cells of a body (N, 3) as a field (3, z, y, x), continued smoothly outside the body."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~cells.inside, return_distances=False, return_indices=True)
    field = np.zeros((3, *cells.grid.shape), np.float32)
    field[:, cells.inside] = values.T
    field = field[(slice(None), *nearest)]
    smooth = np.stack([ndimage.gaussian_filter(part, 2.0, mode="nearest") for part in field])
    return np.where(cells.inside, field, smooth)


def _on_lattice(field: Field, coarse: Grid, fine: Grid) -> Field:
    """A field of one lattice on a finer one, in cells of that one."""
    ratio = coarse.spacing_mm / fine.spacing_mm
    parts = [resample(part, coarse, fine) * r for part, r in zip(field, ratio, strict=True)]
    return np.stack(parts).astype(np.float32)


def _maps(grid: Grid, fields: tuple[Field, Field], affine: Affine) -> tuple[DisplacementMap, DisplacementMap]:
    there, back = (np.einsum("ij,jzyx->izyx", grid.affine[:3, :3], field).astype(np.float32) for field in fields)
    same = np.eye(4)
    return DisplacementMap(same, grid, there, affine), DisplacementMap(geometry.inverse(affine), grid, back, same)


def _confidence(
    grid: Grid,
    both: tuple[SampledFeatures, SampledFeatures],
    fields: tuple[Field, Field],
    bodies: list[NDArray[np.bool_]],
    errors: tuple[NDArray, NDArray],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Confidence of both directions: places return, their features agree, and both volumes show them."""
    made = []
    for number, (field, body, away) in enumerate(zip(fields, bodies, errors, strict=True)):
        index = np.ascontiguousarray(np.argwhere(body).T, np.float32)
        own, _ = both[number].at(grid, torch.from_numpy(index))
        found, known = both[1 - number].at(grid, torch.from_numpy(index + field[:, body]))
        agreement = torch.nn.functional.cosine_similarity(own[:-1], found[:-1], dim=0).clamp(0, 1) * known
        value = np.zeros(grid.shape, np.float32)
        value[body] = np.exp(-0.5 * (away[body] / TRUSTED_MM) ** 2) * np.sqrt(agreement.numpy())
        made.append(value)
    return made[0], made[1]
