"""Rough alignment of two scans from their features alone, sufficient for a distance prior.

Cells of one scan are matched in the other and back; a similarity transform is fitted to those that return, by RANSAC
(Fischler and Bolles 1981) with the closed form of Umeyama (1991), then an affine one to what agrees with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CoralBayError
from ..features import FeatureMaps
from ..features.descriptors import joint_stages
from ..similarity.cell_table import body_tokens
from ..spatial import geometry
from ..spatial.geometry import Affine
from .match import RETURN_MM

CANDIDATES = 1500
TRIALS = 600
INLIER_MM = 30.0
# Patients of all sizes and breaths; what lies beyond is no patient seen twice.
SCALES = (0.6, 1.6)
MOST_DEGREES = 40.0
FEWEST_INLIERS = 12
# Of the matches that return: real pairs with a region in common had .23 or more, such without .10 or less.
SMALLEST_SHARE = 0.15
FEWEST_FOR_AFFINE = 40


@dataclass(frozen=True, eq=False)
class Alignment:
    """Expected positions of points of one scan in another scan.

    Parameters
    ----------
    affine : (4, 4) array
        World mm of the source to world mm of the target.
    inliers, candidates : int
        Matches that agree with it, of those that returned.
    spread_mm : float
        Median distance of the inliers from where it puts them.
    """

    affine: Affine
    inliers: int
    candidates: int
    spread_mm: float

    def __call__(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Map positions (..., 3) of the source to expected positions in the target."""
        return geometry.apply(self.affine, position_mm)


def align(
    source: FeatureMaps, target: FeatureMaps, *, weights: Mapping[int, float] | None = None, seed: int = 0
) -> Alignment:
    """Align two scans roughly, by a similarity transform.

    Parameters
    ----------
    source, target : FeatureMaps
        Features of both scans, of the same encoder.
    weights : mapping of int to float, optional
        Weights of the strides; by default equal ones of those of `joint_stages`.
    seed : int
        Of the sample of cells.

    Raises
    ------
    CoralBayError
        If too few matches agree: the scans show different parts of the body, or the features are not sufficient.
    """
    source.require_same_encoder(target)
    if weights is None:
        source, target = joint_stages(source), joint_stages(target)
    rng = np.random.default_rng(seed)
    here, there = _returning_pairs(source, target, weights, rng)
    affine, inside = _consensus(here, there, rng)
    fewest = max(FEWEST_INLIERS, int(np.ceil(SMALLEST_SHARE * len(here))))
    if inside.sum() < fewest:
        raise CoralBayError(
            "scans cannot be aligned",
            found=f"{int(inside.sum())} of {len(here)} matches agree",
            expected=f"at least {fewest}",
            hint="check that both show the same part of the body, search without a prior, or give a transform",
        )
    fit = geometry.fit_affine if inside.sum() >= FEWEST_FOR_AFFINE else _similarity
    affine = fit(here[inside], there[inside])
    residual = np.linalg.norm(geometry.apply(affine, here[inside]) - there[inside], axis=1)
    return Alignment(affine, int(inside.sum()), len(here), float(np.median(residual)))


def _returning_pairs(
    source: FeatureMaps, target: FeatureMaps, weights: Mapping[int, float] | None, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Positions (N, 3) of a sample of cells and of their matches, for matches that return."""
    first, second = body_tokens(source, weights), body_tokens(target, weights)
    chosen = np.sort(rng.choice(len(first), min(CANDIDATES, len(first)), replace=False))
    matched = (first.vectors[chosen] @ second.vectors.T).argmax(1)
    returned = (second.vectors[matched] @ first.vectors.T).argmax(1)
    away = np.linalg.norm(first.position_mm[returned] - first.position_mm[chosen], axis=1)
    returning = away <= RETURN_MM
    return first.position_mm[chosen[returning]], second.position_mm[matched[returning]]


def _consensus(here: NDArray, there: NDArray, rng: np.random.Generator) -> tuple[Affine, NDArray[np.bool_]]:
    """Find the similarity transform with which most pairs agree, and these pairs."""
    best, inside = np.eye(4), np.zeros(len(here), bool)
    for _ in range(TRIALS if len(here) >= 3 else 0):
        three = rng.choice(len(here), 3, replace=False)
        affine = _similarity(here[three], there[three])
        if not _is_plausible(affine):
            continue
        agree = np.linalg.norm(geometry.apply(affine, here) - there, axis=1) <= INLIER_MM
        if agree.sum() > inside.sum():
            best, inside = affine, agree
    for _ in range(3 if inside.sum() >= FEWEST_INLIERS else 0):
        best = _similarity(here[inside], there[inside])
        inside = np.linalg.norm(geometry.apply(best, here) - there, axis=1) <= INLIER_MM
    return best, inside


def _is_plausible(affine: Affine) -> bool:
    size = float(np.cbrt(np.linalg.det(affine[:3, :3])))
    if not SCALES[0] <= size <= SCALES[1]:
        return False
    cosine = (np.trace(affine[:3, :3] / size) - 1) / 2
    return bool(cosine >= np.cos(np.radians(MOST_DEGREES)))


def _similarity(here: NDArray, there: NDArray) -> Affine:
    """Rotation, scale and shift that bring points (N, 3) nearest to others (Umeyama 1991, eq. 40-43)."""
    a, b = here.mean(0), there.mean(0)
    u, d, vt = np.linalg.svd((there - b).T @ (here - a) / len(here))
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = u @ sign @ vt
    size = float(np.trace(np.diag(d) @ sign) / max(((here - a) ** 2).sum(1).mean(), 1e-9))
    affine = np.eye(4)
    affine[:3, :3] = size * rotation
    affine[:3, 3] = b - affine[:3, :3] @ a
    return affine
