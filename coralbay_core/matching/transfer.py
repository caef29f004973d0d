"""Labels of scans that travel to another scan over deformations, and are joined there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..spatial import Grid, LabelVolume, Volume
from ..spatial.interpolation import box_grid
from ..spatial.volume import AIR_HU
from ..util.cancellation import IsCancelled, check_cancelled
from .deformation import Deformation
from .displacement import loosely
from .label_refinement import refined

_SLAB_VOXELS = 4_000_000
_LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class LabelSource:
    """A labeled scan, and its deformation to the scan that the labels travel to.

    Parameters
    ----------
    labels : LabelVolume
        On any grid in the source of the deformation.
    deformation : Deformation
    """

    labels: LabelVolume
    deformation: Deformation


@dataclass(frozen=True, eq=False)
class TransferredLabels:
    """Labels that travelled.

    Parameters
    ----------
    labels : LabelVolume
        On the grid of the scan that they travelled to; 0 where there is none.
    confidence : (z, y, x) float32 array
        Of each voxel: 0, where nothing is known, to 1; of the alignments, times the share of the scans that agree.
    refined : bool
        Whether a probe drew the borders.
    """

    labels: LabelVolume
    confidence: NDArray[np.float32]
    refined: bool = False


def transfer_labels(
    sources: Sequence[LabelSource],
    features: FeatureMaps,
    volume: Volume,
    *,
    refine: bool = True,
    cancelled: IsCancelled | None = None,
) -> TransferredLabels:
    """Carry labels of one or several scans to another scan.

    Parameters
    ----------
    sources : sequence of LabelSource
        Of several, each votes with its confidence. Label values mean the same in all.
    features : FeatureMaps
        Of the scan that the labels travel to.
    volume : Volume
        The CT of these features.
    refine : bool
        Whether a probe that is fitted to the surest labels draws the borders (`label_refinement`).
    cancelled : callable, optional
        When it returns true, `Cancelled` is raised.
    """
    if not sources:
        raise InputError("no labels to transfer", expected="one labeled scan or more")
    plain = warp_labels(sources, volume.grid, cancelled=cancelled)
    if not plain.labels.data.any():
        raise InputError(
            "no label lies in the common part of the scans",
            where=sources[0].labels.name,
            hint="choose scans that show the same part of the body",
        )
    if not refine:
        return plain
    labels = refined(plain.labels, plain.confidence, features, volume, cancelled=cancelled)
    return replace(plain, labels=labels, refined=True)


def warp_labels(
    sources: Sequence[LabelSource], grid: Grid, *, cancelled: IsCancelled | None = None
) -> TransferredLabels:
    """Carry labels over the deformations alone, to the voxels of a grid in the target."""
    kind = np.result_type(*(np.min_scalar_type(int(s.labels.data.max(initial=0))) for s in sources))
    labels, sure = np.zeros(grid.shape, kind), np.zeros(grid.shape, np.float32)
    for part, slab in _slabs(grid):
        check_cancelled(cancelled, "transfer")
        votes = [_vote(source, slab) for source in sources]
        labels[part], sure[part] = _majority([v[0] for v in votes], [v[1] for v in votes])
    names = {value: name for source in reversed(sources) for value, name in source.labels.names.items()}
    colors = {value: color for source in reversed(sources) for value, color in source.labels.colors.items()}
    return TransferredLabels(LabelVolume(labels, grid, sources[0].labels.name, names=names, colors=colors), sure)


def warp_volume(
    volume: Volume, deformation: Deformation, grid: Grid, *, cancelled: IsCancelled | None = None
) -> NDArray[np.float32]:
    """Carry a CT over a deformation to the voxels of a grid in the target, HU, to lay it over the other CT.

    Parameters
    ----------
    volume : Volume
        The source of the deformation.
    deformation : Deformation
    grid : Grid
    cancelled : callable, optional
        When it returns true, `Cancelled` is raised.

    Returns
    -------
    (z, y, x) float32 array
        Air where the source ends.
    """
    from scipy import ndimage

    out = np.empty(grid.shape, np.float32)
    for part, slab in _slabs(grid):
        check_cancelled(cancelled, "transfer")
        index = volume.grid.to_index(_there(deformation, slab)).T
        found = ndimage.map_coordinates(
            volume.data, index, output=np.float32, order=1, mode="grid-constant", cval=AIR_HU
        )
        out[part] = found.reshape(slab.shape)
    return out


def _slabs(grid: Grid) -> Iterator[tuple[slice, Grid]]:
    """Parts of a grid along z, each of a few million voxels."""
    depth = max(1, _SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], depth):
        part = slice(start, min(start + depth, grid.shape[0]))
        yield part, box_grid(grid, (part, slice(0, grid.shape[1]), slice(0, grid.shape[2])))


def _there(deformation: Deformation, grid: Grid) -> NDArray[np.float64]:
    """Places of the source that the cells of a grid in the target come from, (N, 3)."""
    position_mm = grid.cell_positions(np.ones(grid.shape, bool))
    return position_mm + deformation.backward.on(grid).reshape(3, -1).T


def _vote(source: LabelSource, grid: Grid) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Labels of one scan at the cells of a grid, and their confidence."""
    there = _there(source.deformation, grid)
    own = source.labels.grid
    value = source.labels.data[tuple(own.nearest_index(there).T)]
    value[~own.contains(there)] = 0
    sure = loosely(lambda p: source.deformation.confidence_at(p, of="target")[:, None], grid)[0]
    return value.reshape(grid.shape), sure


def _majority(
    values: list[NDArray[np.integer]], sure: list[NDArray[np.float32]]
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Label with most confidence behind it, and the mean confidence of all scans in it."""
    if len(values) == 1:
        return values[0], sure[0]
    best, most = values[0], np.full(values[0].shape, -1, np.float32)
    for value in values:
        # Where nothing is known everywhere, the number of scans decides.
        behind = sum(np.where(other == value, weight + _LEAST, 0) for other, weight in zip(values, sure, strict=True))
        better = behind > most
        best, most = np.where(better, value, best), np.where(better, behind, most)
    return best, np.clip(most / len(values) - _LEAST, 0, 1).astype(np.float32)
