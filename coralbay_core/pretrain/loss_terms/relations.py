"""Relations between tokens: the heat map is trained to rank cells as label-free descriptors do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import distributed
from ..distillation import DistilledVectors
from ..label_free_descriptors import KINDS, STRIDE, Descriptions, describe_volume
from .base import BranchOutput, StepInfo, Term, TermOutput, sample
from .settings import TermSettings, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch
    from ..source import VolumeSource

DISTILLED = "distilled"
"""Kind of the vectors of another encoder, beside those of `KINDS`."""

_SALT = 41
_MARGIN = 1.0  # voxels that a cell keeps to the edge of a view

Parts = tuple[float, float, float]
"""Weights of tissue, surroundings and position in a similarity."""

# Targets of a single stage, for cells of one patient and of two: the finest stage has too small a receptive field for
# more than tissue, and for the coarsest stage tissue is too small.
_FINEST: tuple[Parts, Parts] = ((1, 0, 0), (1, 0, 0))
_BETWEEN: tuple[Parts, Parts] = ((1, 2, 1), (1, 2, 0))
_COARSEST: tuple[Parts, Parts] = ((0, 1, 1), (0, 1, 0))


@dataclass(frozen=True)
class RelationsSettings(TermSettings):
    """Similarities between tokens, trained to equal those between label-free descriptors of their cells.

    Parameters
    ----------
    strides : tuple of int
        Stages whose mean cosine is the heat map of a click.
    other_strides : tuple of int
        Stages beyond these that are trained on their own, with the target of the nearest one.
    points : int
        Number of cells per global view.
    temperature : float
        Temperature of both similarities; a lower value gives more weight to the most similar cells.
    stage_weight : float
        Weight of the similarities of single stages, relative to those of the mean: tissue for the finest stage,
        surroundings and position for the coarsest, all three for stages in between.
    within : tuple of float
        Weights of tissue, surroundings and position in the similarity of two cells of one patient.
    across : tuple of float
        The same for cells of two patients; by default without position, which is not comparable between scans.
    cells : int
        Maximum number of cells per volume that are held in memory, 0.9 kB each.
    distill : str
        Name under which ``coralbay prepare-distillation`` stored another encoder's features; empty: none. The cells
        are then those of its features.
    distill_share : float
        Share of that encoder's similarity in every target; the rest is that of the label-free descriptors.
    """

    strides: tuple[int, ...] = (4, 8, 16, 32)
    other_strides: tuple[int, ...] = ()
    points: int = 256
    temperature: float = 0.1
    stage_weight: float = 0.3
    within: tuple[float, float, float] = (1.0, 1.0, 1.0)
    across: tuple[float, float, float] = (1.0, 2.0, 0.0)
    cells: int = 30_000
    distill: str = ""
    distill_share: float = 0.5
    least_views: ClassVar[int] = 1

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        found = unknown_strides((*self.strides, *self.other_strides), channels)
        if both := sorted({*self.strides} & {*self.other_strides}):
            found.append(f"other_strides repeats {both} of strides")
        if not self.strides or self.points < 2 or self.cells < 2:
            found.append("needs strides, and at least two points and cells")
        if not 0 <= self.distill_share <= 1:
            found.append(f"distill_share is {self.distill_share:g}, expected 0 to 1")
        for name, parts in (("within", self.within), ("across", self.across)):
            if len(parts) != len(KINDS) or min(parts) < 0 or not sum(parts) > 0:
                found.append(f"{name} is {list(parts)}, expected parts of {', '.join(KINDS)}, not all 0")
        return found


class Relations(Term):
    """Ranking of all other cells of the batch by each cell, within the patient and across patients.

    ::

        z = unit vectors of maps whose channels are standardized over the cells of the batch
        S = mean over strides of z z'                               # what a click shows in the heat map
        K = weighted mean of inner products of descriptors          # tissue, surroundings, position
        loss = KL(softmax(K / T) || softmax(S / T)), over all cells but the one that ranks

    There is no head: the maps that users compare are trained directly. No cell is a negative as such, so neighbors in
    one organ are not pushed apart. Windows, noise and geometry differ between views while the descriptors of their
    cells do not, so maps become invariant to the former. Relational distillation is known between networks (SEED,
    arXiv 2101.04731; ReSSL, arXiv 2107.09282); here the teacher is handcrafted, as in MaskFeat (arXiv 2112.09133).
    """

    name = "relations"
    Settings = RelationsSettings
    settings: RelationsSettings
    needs_teacher = False

    def __init__(self, settings: RelationsSettings, channels: dict[int, int]):
        super().__init__(settings, channels)
        self.volumes: list[Descriptions] = []

    def strides(self) -> tuple[int, ...]:
        return tuple(sorted((*self.settings.strides, *self.settings.other_strides)))

    def prepare(self, source: "VolumeSource") -> None:
        """Describe all volumes, in every process: any of them may get any crop location."""
        self.volumes = []
        for volume in range(len(source.names)):
            hu = source.read(volume, np.zeros(3, int), np.array(source.shape(volume)))
            described = describe_volume(hu, source.spacing_mm)
            if self.settings.distill:
                described = _with_distilled(described, source.distilled(self.settings.distill, volume))
            self.volumes.append(described.some(np.random.default_rng(volume), self.settings.cells))

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        points, vectors, patients = self._cells(batch)
        target = TargetRelations(vectors, patients, self.settings.distill_share)
        temperature = self.settings.temperature
        cosines = {s: _cosines(sample(student.globals[s], points, batch.globals.side)) for s in self.strides()}
        heat = torch.stack([cosines[s] for s in sorted(self.settings.strides)]).mean(0)
        wanted = target(self.settings.within, self.settings.across)
        loss = target.divergence(heat, wanted, temperature)
        own = {s: target.divergence(c, target(*self._own(s)), temperature) for s, c in cosines.items()}
        scalars = {"heat": loss.detach(), "agreement": target.agreement(heat, wanted)}
        scalars |= {f"stride{s}": value.detach() for s, value in own.items()}
        return TermOutput(loss + self.settings.stage_weight * torch.stack(list(own.values())).sum(), scalars=scalars)

    def _own(self, stride: int) -> tuple[Parts, Parts]:
        """Weights of the descriptor kinds in the target of a single stage."""
        finest, coarsest = min(self.settings.strides), max(self.settings.strides)
        return _FINEST if stride <= finest else _COARSEST if stride >= coarsest else _BETWEEN

    def _cells(self, batch: "Batch") -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Voxels of views (V, N, 3), descriptors (V * N, C) by kind, and the number of each cell's volume (V * N,)."""
        views = len(batch.globals.affines) // batch.size
        affines = batch.globals.affines.cpu().double().numpy().reshape(batch.size, views, 3, 4)
        device = batch.globals.images.device
        kinds = (*KINDS, DISTILLED) if self.settings.distill else KINDS
        points, rows, patients = [], {kind: [] for kind in kinds}, []  # type: ignore[var-annotated]
        for item, rng in enumerate(batch.rngs(_SALT)):
            described = self.volumes[batch.volumes[item]]
            for affine in affines[item]:
                at, chosen = cells_in_view(described.centers, affine, batch.globals.side, self.settings.points, rng)
                points.append(at)
                patients += [batch.volumes[item]] * self.settings.points
                for kind in kinds:
                    rows[kind].append(described.vectors[kind][chosen])
        vectors = {k: torch.from_numpy(np.concatenate(v)).to(device, torch.float32) for k, v in rows.items()}
        stacked = torch.from_numpy(np.stack(points)).to(device, torch.float32)
        return stacked, vectors, torch.tensor(patients, device=device)


def _cosines(tokens: Tensor) -> Tensor:
    """Cosines of this process's tokens (V, N, C) with all tokens of the batch, as the product compares them."""
    rows = distributed.gather_with_gradient(tokens.flatten(0, 1))
    # In inference channels are standardized over the patient's body; here the batch takes its place. Running
    # statistics instead let a constant part of the maps grow (docs/measurements/pretraining.md).
    units = F.normalize((rows - rows.mean(0)) / (rows.std(0) + 1e-4), dim=-1)
    return distributed.own_rows(units) @ units.T


def _with_distilled(described: Descriptions, distilled: DistilledVectors) -> Descriptions:
    """Descriptors of the cells that have features of another encoder, with these as a further kind."""
    cells = np.rint((described.centers - (STRIDE - 1) / 2) / STRIDE).astype(int)
    shape = np.maximum(cells.max(0), distilled.cells.max(0)) + 1
    number = np.full(shape, -1)
    number[tuple(cells.T)] = np.arange(len(cells))
    found = number[tuple(distilled.cells.T)]
    both = found >= 0
    vectors = {kind: rows[found[both]] for kind, rows in described.vectors.items()}
    return Descriptions(described.centers[found[both]], vectors | {DISTILLED: distilled.vectors[both]})


def cells_in_view(
    centers: np.ndarray, affine: np.ndarray, side: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw cells in a view at random; some repeatedly if there are fewer than `count`.

    Parameters
    ----------
    centers : (N, 3) array
        Voxel of the volume.
    affine : (3, 4) array
        View to volume.
    side, count : int
    rng : np.random.Generator

    Returns
    -------
    points : (count, 3) array
        Voxel of the view.
    chosen : (count,) int array
        Indices of the cells. If none lies in the view, the one nearest to its center, moved to the edge.
    """
    points = (centers - affine[:, 3]) @ np.linalg.inv(affine[:, :3]).T
    inside = np.flatnonzero(((points >= _MARGIN) & (points <= side - 1 - _MARGIN)).all(1))
    if not len(inside):
        inside = np.abs(points - (side - 1) / 2).max(1).argmin()[None]
    chosen = rng.choice(inside, count, replace=len(inside) < count)
    return np.clip(points[chosen], 0, side - 1), chosen


class TargetRelations:
    """Target relations of this process's cells to all cells of the batch.

    Parameters
    ----------
    vectors : mapping of str to (N, C) Tensor
        Unit vectors by kind, of the cells of this process.
    patients : (N,) int Tensor
    share : float
        Share of the kind `DISTILLED`, where there is one.
    """

    def __init__(self, vectors: Mapping[str, Tensor], patients: Tensor, share: float = 0.0):
        self.same = patients[:, None] == distributed.gather_rows(patients)
        self.inner = [vectors[kind] @ distributed.gather_rows(vectors[kind]).T for kind in KINDS]
        rows = vectors.get(DISTILLED)
        self.distilled = None if rows is None else rows @ distributed.gather_rows(rows).T
        self.share = share
        own = torch.arange(len(patients), device=patients.device)
        self.itself = torch.zeros_like(self.same)
        self.itself[own, own + distributed.rank() * len(patients)] = True

    def __call__(self, within: Parts, across: Parts) -> Tensor:
        """Similarities (N, cells) with these weights of the kinds, for cells of one patient and of two."""
        inner = torch.stack(self.inner)
        one, two = (torch.tensordot(inner.new_tensor(parts) / sum(parts), inner, 1) for parts in (within, across))
        handcrafted = torch.where(self.same, one, two)
        return handcrafted if self.distilled is None else torch.lerp(handcrafted, self.distilled, self.share)

    def divergence(self, given: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Mean KL divergence of rankings (N, cells) from the target rankings."""
        ours, target = (
            (values / temperature).masked_fill(self.itself, -1e4).log_softmax(1) for values in (given, wanted)
        )
        return (target.exp() * (target - ours)).sum(1).mean()

    @torch.no_grad()
    def agreement(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Correlation of the rankings, all pairs of two cells."""
        return torch.corrcoef(torch.stack([given[~self.itself], wanted[~self.itself]]))[0, 1]
