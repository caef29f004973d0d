"""Self-distillation of pooled maps: the paper's objective."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...models.swin3d import pooled
from ..assign import Assigner, AssignmentMethod
from ..heads import DinoHead
from ..loss_functions import cross_view_entropy
from .base import BranchOutput, StepInfo, Term, TermOutput, by_view, detached
from .settings import TermSettings, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch


@dataclass(frozen=True)
class DinoSettings(TermSettings):
    """Cross-view self-distillation of pooled maps.

    Parameters
    ----------
    strides : tuple of int
        Stages that are pooled; empty: all, but not stride 16 if the network has residual blocks (as in the paper: that
        stage has none).
    prototypes, hidden, bottleneck : int
        Sizes of the head.
    temperature : float
        Temperature of the student.
    assignment : str
        Method of assignment: ``sinkhorn`` or ``centring``.
    queue : int
        Number of teacher outputs of earlier steps that Sinkhorn also balances.
    center_momentum : float
        Momentum of the mean that centring subtracts.
    """

    strides: tuple[int, ...] = ()
    prototypes: int = 256
    hidden: int = 512
    bottleneck: int = 128
    temperature: float = 0.1
    assignment: AssignmentMethod = "sinkhorn"
    queue: int = 240
    center_momentum: float = 0.9

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        return unknown_strides(self.strides, channels)


class Dino(Term):
    """The paper's objective: one head on the concatenation of all pooled maps (arXiv 2606.03888)."""

    name = "dino"
    Settings = DinoSettings
    settings: DinoSettings

    def __init__(self, settings: DinoSettings, channels: dict[int, int]):
        super().__init__(settings, channels)
        # A list of one: its name is part of the checkpoints.
        self.assigners = nn.ModuleList(
            [Assigner(settings.assignment, settings.prototypes, settings.queue, settings.center_momentum)]
        )

    def strides(self) -> tuple[int, ...]:
        if self.settings.strides:
            return tuple(sorted(self.settings.strides))
        return tuple(sorted(s for s in self.channels if not (1 in self.channels and s == 16)))

    def make_heads(self) -> nn.Module:
        s = self.settings
        inputs = sum(self.channels[stride] for stride in self.strides())
        return nn.ModuleList([DinoHead(inputs, s.hidden, s.bottleneck, s.prototypes)])

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        logits = teacher.heads[0](pooled(teacher.globals, self.strides()))
        targets = self.assigners[0](logits, info.teacher_temperature)
        loss = cross_view_entropy(
            self._predicted(student, batch.size), by_view(targets, batch.size), self.settings.temperature
        )
        return TermOutput(loss, targets, detached(logits, self.settings.temperature))

    def _predicted(self, student: BranchOutput, batch_size: int) -> Tensor:
        """Logits (views, batch size, K); global views first."""
        branches = [student.globals] + ([student.locals] if student.locals else [])
        return torch.cat([by_view(student.heads[0](pooled(maps, self.strides())), batch_size) for maps in branches])
