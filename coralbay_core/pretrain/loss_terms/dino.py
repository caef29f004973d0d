"""Self-distillation of pooled maps: the paper's objective, and the same with a head a stage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...models.swin3d import pooled
from ..assign import Assigner, Kind
from ..heads import DinoHead
from ..loss_functions import cross_view_entropy
from .base import BranchOutput, StepInfo, Term, TermOutput, TermSettings, by_view, detached, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch


@dataclass(frozen=True)
class DinoSettings(TermSettings):
    """Cross-view self-distillation of pooled maps.

    Parameters
    ----------
    strides : tuple of int
        Stages that are pooled; empty for all, without stride 16 where the network has residual blocks (the paper's
        choice: that stage has none).
    prototypes, hidden, bottleneck : int
        Of the head.
    temperature : float
        Of the student.
    assignment : str
        ``sinkhorn`` or ``centring``.
    queue : int
        Teacher rows of earlier steps that Sinkhorn also balances.
    center_momentum : float
        Of the mean that centring subtracts.
    """

    strides: tuple[int, ...] = ()
    prototypes: int = 256
    hidden: int = 512
    bottleneck: int = 128
    temperature: float = 0.1
    assignment: Kind = "sinkhorn"
    queue: int = 240
    center_momentum: float = 0.9

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        return unknown_strides(self.strides, channels)


class _Pooled(Term):
    """A head on each of some groups of stages, pooled and concatenated."""

    Settings = DinoSettings
    settings: DinoSettings

    def __init__(self, settings: DinoSettings, channels: dict[int, int]):
        super().__init__(settings, channels)
        self.groups = self._groups()
        self.assigners = nn.ModuleList(
            Assigner(settings.assignment, settings.prototypes, settings.queue, settings.center_momentum)
            for _ in self.groups
        )

    def _groups(self) -> list[tuple[int, ...]]:
        raise NotImplementedError

    def _chosen(self) -> tuple[int, ...]:
        if self.settings.strides:
            return tuple(sorted(self.settings.strides))
        return tuple(sorted(s for s in self.channels if not (1 in self.channels and s == 16)))

    def strides(self) -> tuple[int, ...]:
        return self._chosen()

    def make_heads(self) -> nn.Module:
        s = self.settings
        inputs = [sum(self.channels[stride] for stride in group) for group in self.groups]
        return nn.ModuleList(DinoHead(n, s.hidden, s.bottleneck, s.prototypes) for n in inputs)

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", now: StepInfo) -> TermOutput:
        losses, assigned, soft = [], [], []
        for i, group in enumerate(self.groups):
            logits = teacher.heads[i](pooled(teacher.globals, group))
            targets = self.assigners[i](logits, now.teacher_temperature)
            predicted = self._predicted(student, i, group, batch.places)
            losses.append(cross_view_entropy(predicted, by_view(targets, batch.places), self.settings.temperature))
            assigned.append(targets)
            soft.append(detached(logits, self.settings.temperature))
        return TermOutput(torch.stack(losses).mean(), torch.cat(assigned), torch.cat(soft))

    def _predicted(self, student: BranchOutput, i: int, group: tuple[int, ...], places: int) -> Tensor:
        """Logits (views, places, K); global views first."""
        seen = [student.globals] + ([student.locals] if student.locals else [])
        return torch.cat([by_view(student.heads[i](pooled(maps, group)), places) for maps in seen])


class Dino(_Pooled):
    """The paper's objective: one head on the concatenation of all pooled maps (arXiv 2606.03888)."""

    name = "dino"

    def _groups(self) -> list[tuple[int, ...]]:
        return [self._chosen()]


class StageHeads(_Pooled):
    """A head a stage, so that none can rely on the others; beyond the paper."""

    name = "stage_heads"

    def _groups(self) -> list[tuple[int, ...]]:
        return [(stride,) for stride in self._chosen()]
