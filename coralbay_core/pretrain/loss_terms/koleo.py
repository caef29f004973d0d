"""KoLeo: a regularizer that spreads the pooled vectors of different crop locations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ...models.swin3d import pooled
from .. import distributed
from ..loss_functions import koleo
from .base import BranchOutput, StepInfo, Term, TermOutput, by_view
from .settings import TermSettings, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch


@dataclass(frozen=True)
class KoleoSettings(TermSettings):
    """Spread of the student's pooled global views (arXiv 1806.03198, as in DINOv2).

    Parameters
    ----------
    strides : tuple of int
        Stages that are pooled; empty: all.
    within_views : bool
        Search neighbors only within the same view of other locations (DINOv2), not among all views.
    """

    weight: float = 0.05
    strides: tuple[int, ...] = ()
    within_views: bool = False
    least_views: ClassVar[int] = 1

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        return unknown_strides(self.strides, channels)


class Koleo(Term):
    """KoLeo regularizer; see `KoleoSettings`."""

    name = "koleo"
    needs_teacher = False
    Settings = KoleoSettings
    settings: KoleoSettings

    def strides(self) -> tuple[int, ...]:
        return tuple(sorted(self.settings.strides or self.channels))

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        vectors = pooled(student.globals, self.strides()).float()
        groups = by_view(vectors, batch.size) if self.settings.within_views else vectors[None]
        losses = []
        for rows in groups:
            # Neighbors may lie in any process and are pushed away like those of this process.
            everyone = distributed.gather_with_gradient(rows)
            losses.append(koleo(rows, everyone, first=distributed.rank() * len(rows)))
        return TermOutput(torch.stack(losses).mean())
