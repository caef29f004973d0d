"""Which tokens are alike: the product's own heat map is taught to rank cells as label-free descriptors do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import distributed
from ..likeness import KINDS, Descriptions, describe_volume
from .base import Now, Seen, Term, TermOutput, TermSettings, sample, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch
    from ..source import VolumeSource

_SALT = 41
_MARGIN = 1.0  # voxels that a cell keeps to the edge of a view
_SETTLING = 20  # steps in which the statistics follow at once, because the network changes most


@dataclass(frozen=True)
class RelationsSettings(TermSettings):
    """Relations between tokens as those between label-free descriptors of their cells (`coralbay_core.pretrain.likeness`).

    Parameters
    ----------
    strides : tuple of int
        Stages whose mean cosine is the heat map of a click.
    points : int
        Cells a global view.
    temperature : float
        Of the likeness of both sides: how much more the most alike cells count.
    stage_weight : float
        Of each stage's own relations beside those of the mean.
    within : tuple of float
        Parts of tissue, surroundings and place in the likeness of two cells of one patient.
    across : tuple of float
        The same of cells of two patients: places in two scans compare badly.
    cells : int
        At most so many cells a volume are kept in memory, 0.9 kB each.
    momentum : float
        Of the running mean and spread of channels, which stand for those over the patient's body at inference.
    """

    strides: tuple[int, ...] = (4, 8, 16)
    points: int = 256
    temperature: float = 0.1
    stage_weight: float = 0.3
    within: tuple[float, float, float] = (1.0, 1.0, 1.0)
    across: tuple[float, float, float] = (1.0, 2.0, 0.0)
    cells: int = 30_000
    momentum: float = 0.9

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        found = unknown_strides(self.strides, channels)
        if not self.strides or self.points < 2 or self.cells < 2:
            found.append("needs strides, and at least two points and cells")
        for name, parts in (("within", self.within), ("across", self.across)):
            if len(parts) != len(KINDS) or min(parts) < 0 or not sum(parts) > 0:
                found.append(f"{name} is {list(parts)}, expected parts of {', '.join(KINDS)}, not all 0")
        return found


class Relations(Term):
    """Each cell ranks all other cells of a patient, and those of the other patients of a batch.

    ::

        S = mean over strides of cosines of standardised maps      # what a click shows in the product
        K = weighted mean of inner products of descriptors          # tissue, surroundings, place
        loss = KL(softmax(K / T) || softmax(S / T)), over cells of the same patient, and over those of others

    There is no head: what is compared is what users compare. No cell is a negative as such, so neighbours in one organ
    are not pushed apart. The views' windows, noise and shapes differ while their cells' descriptors do not, so maps become
    indifferent to the former. Relational distillation is known from networks (SEED, arXiv 2101.04731; ReSSL, arXiv
    2107.09282); here the first teacher is made by hand, as in MaskFeat (arXiv 2112.09133).
    """

    name = "relations"
    Settings = RelationsSettings
    settings: RelationsSettings

    def __init__(self, settings: RelationsSettings, channels: dict[int, int]):
        super().__init__(settings, channels)
        self.volumes: list[Descriptions] = []
        for stride in settings.strides:
            self.register_buffer(f"mean{stride}", torch.zeros(channels[stride]))
            self.register_buffer(f"variance{stride}", torch.ones(channels[stride]))

    def strides(self) -> tuple[int, ...]:
        return tuple(sorted(self.settings.strides))

    def prepare(self, source: "VolumeSource") -> None:
        """Describe all volumes. Every process keeps them all: any of them may get any place."""
        self.volumes = []
        for volume in range(len(source.names)):
            hu = source.read(volume, np.zeros(3, int), np.array(source.shape(volume)))
            described = describe_volume(hu, source.spacing_mm)
            self.volumes.append(described.some(np.random.default_rng(volume), self.settings.cells))

    def forward(self, student: Seen, teacher: Seen, batch: "Batch", now: Now) -> TermOutput:
        points, vectors, patients = self._cells(batch)
        rows = {
            stride: self._standardized(stride, sample(student.globals[stride], points, batch.globals.side), now)
            for stride in self.strides()
        }
        target = Likeness(vectors, patients, self.settings.within, self.settings.across)
        cosines = [row @ distributed.gather_with_gradient(row).T for row in rows.values()]
        heat = torch.stack(cosines).mean(0)
        loss = target.divergence(heat, self.settings.temperature)
        alone = torch.stack([target.divergence(cosine, self.settings.temperature) for cosine in cosines])
        scalars = {"heat": loss.detach(), "agreement": target.agreement(heat)}
        scalars |= {f"stride{s}": value.detach() for s, value in zip(rows, alone, strict=True)}
        return TermOutput(loss + self.settings.stage_weight * alone.sum(), scalars=scalars)

    def _cells(self, batch: "Batch") -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Voxels of views (V, N, 3), descriptors (V * N, C) by kind, and the number of each cell's volume (V * N,)."""
        views = len(batch.globals.affines) // batch.places
        affines = batch.globals.affines.cpu().double().numpy().reshape(batch.places, views, 3, 4)
        device = batch.globals.images.device
        points, rows, patients = [], {kind: [] for kind in KINDS}, []  # type: ignore[var-annotated]
        for place, rng in enumerate(batch.rngs(_SALT)):
            described = self.volumes[batch.volumes[place]]
            for affine in affines[place]:
                at, chosen = cells_in_view(described.centers, affine, batch.globals.side, self.settings.points, rng)
                points.append(at)
                patients += [batch.volumes[place]] * self.settings.points
                for kind in KINDS:
                    rows[kind].append(described.vectors[kind][chosen])
        vectors = {k: torch.from_numpy(np.concatenate(v)).to(device, torch.float32) for k, v in rows.items()}
        stacked = torch.from_numpy(np.stack(points)).to(device, torch.float32)
        return stacked, vectors, torch.tensor(patients, device=device)

    def _standardized(self, stride: int, tokens: Tensor, now: Now) -> Tensor:
        """Tokens (V, N, C) as the product compares them: standardised channels, unit vectors, (V * N, C)."""
        rows = tokens.flatten(0, 1)
        mean, variance = (self.get_buffer(f"{name}{stride}") for name in ("mean", "variance"))
        with torch.no_grad():
            keep = self.settings.momentum if now.step >= _SETTLING else 0.5 if now.step else 0.0
            center = distributed.mean_over(rows.mean(0))
            spread = distributed.mean_over((rows - center).square().mean(0))
            # Not in place: a step that is not finite is taken back.
            mean, variance = center.lerp(mean, keep), spread.lerp(variance, keep)
            setattr(self, f"mean{stride}", mean)
            setattr(self, f"variance{stride}", variance)
        return F.normalize((rows - mean) / (variance.sqrt() + 1e-4), dim=-1)


def cells_in_view(
    centers: np.ndarray, affine: np.ndarray, side: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cells that lie in a view, drawn at random; some twice where there are fewer than `count`.

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
        Which cells. Where none lies in the view, the nearest to its middle, moved to the edge.
    """
    points = (centers - affine[:, 3]) @ np.linalg.inv(affine[:, :3]).T
    inside = np.flatnonzero(((points >= _MARGIN) & (points <= side - 1 - _MARGIN)).all(1))
    if not len(inside):
        inside = np.abs(points - (side - 1) / 2).max(1).argmin()[None]
    chosen = rng.choice(inside, count, replace=len(inside) < count)
    return np.clip(points[chosen], 0, side - 1), chosen


class Likeness:
    """Target relations of this process's cells to all cells of the batch.

    Parameters
    ----------
    vectors : mapping of str to (N, C) Tensor
        Unit vectors by kind, of the cells of this process.
    patients : (N,) int Tensor
    within, across : three floats
        Parts of the kinds, as in `RelationsSettings`.
    """

    def __init__(
        self,
        vectors: Mapping[str, Tensor],
        patients: Tensor,
        within: tuple[float, float, float],
        across: tuple[float, float, float],
    ):
        everyone = distributed.gather_rows(patients)
        same = patients[:, None] == everyone
        inner = [vectors[kind] @ distributed.gather_rows(vectors[kind]).T for kind in KINDS]
        parts = (sum(w * k for w, k in zip(ws, inner, strict=True)) / sum(ws) for ws in (within, across))
        self.values = torch.where(same, *parts)
        own = torch.arange(len(patients), device=patients.device)
        # A cell says nothing about itself.
        self.groups = [same.clone(), ~same]
        self.groups[0][own, own + distributed.rank() * len(patients)] = False

    def divergence(self, cosines: Tensor, temperature: float) -> Tensor:
        """Mean KL divergence of rankings (N, cells) from the target's, over the patient's own cells and over others'."""
        total = cosines.new_zeros(())
        for group in self.groups:
            ranked = group.any(1)
            if not ranked.any():
                continue
            wanted, given = (
                (values[ranked] / temperature).masked_fill(~group[ranked], -1e4).log_softmax(1)
                for values in (self.values, cosines)
            )
            total = total + (wanted.exp() * (wanted - given)).sum(1).sum() / (len(self.groups) * len(ranked))
        return total

    @torch.no_grad()
    def agreement(self, cosines: Tensor) -> Tensor:
        """Correlation of cosines with the target, all pairs of two cells."""
        pairs = self.groups[0] | self.groups[1]
        return torch.corrcoef(torch.stack([cosines[pairs], self.values[pairs]]))[0, 1]
