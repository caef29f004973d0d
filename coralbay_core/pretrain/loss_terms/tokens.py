"""Loss terms on matched tokens: positions in overlapping views are known from the affines of the crops."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..assign import Assigner, AssignmentMethod
from ..heads import DinoHead, TokenHead
from ..loss_functions import matched_tokens, soft_cross_entropy
from .base import BranchOutput, StepInfo, Term, TermOutput, by_view, detached, sample
from .settings import TermSettings, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch

# Views of the student and of the teacher.
_DIRECTIONS = ((0, 1), (1, 0))


@dataclass(frozen=True)
class TokensSettings(TermSettings):
    """Contrastive loss (InfoNCE) on tokens matched by position.

    Parameters
    ----------
    strides : tuple of int
        Stages, each with its own head.
    points : int
        Number of matched points per location.
    outputs : int
        Number of outputs of a head.
    temperature : float
        Temperature of the cosines.
    exclusion_voxels, exclusion_strides : float
        Points closer than the first value plus the second value times the stride are not used as negatives.
    """

    strides: tuple[int, ...] = (4, 8, 16)
    points: int = 96
    outputs: int = 64
    temperature: float = 0.1
    exclusion_voxels: float = 4.0
    exclusion_strides: float = 1.25

    def pairs(self) -> int:
        return self.points

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        return unknown_strides(self.strides, channels)


class Tokens(Term):
    """InfoNCE: a token must be closest to the teacher's token at the same position in another view."""

    name = "tokens"
    Settings = TokensSettings
    settings: TokensSettings

    def strides(self) -> tuple[int, ...]:
        return self.settings.strides

    def make_heads(self) -> nn.Module:
        return nn.ModuleDict({str(s): TokenHead(self.channels[s], self.settings.outputs) for s in self.strides()})

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        assert batch.pairs is not None
        positions = batch.pairs.positions[:, : self.settings.points]
        valid = batch.pairs.valid[:, : self.settings.points]
        losses, right = [], []
        for stride, queries, keys in _matched(student, teacher, batch, self.strides(), self.settings.points):
            exclusion = self.settings.exclusion_voxels + self.settings.exclusion_strides * stride
            losses.append(matched_tokens(queries, keys, positions, valid, exclusion, self.settings.temperature))
            right.append(_accuracy(queries, keys))
        return TermOutput(torch.stack(losses).mean(), scalars={"accuracy": torch.stack(right).mean()})


@torch.no_grad()
def _accuracy(queries: Tensor, keys: Tensor) -> Tensor:
    """Share of tokens whose nearest key is that of their own position."""
    nearest = (queries @ keys.transpose(1, 2)).argmax(-1)
    return (nearest == torch.arange(keys.shape[1], device=keys.device)).float().mean()


def _matched(
    student: BranchOutput, teacher: BranchOutput, batch: "Batch", strides: tuple[int, ...], count: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Head outputs (B, N, outputs) of student and teacher at matched points, for each stride and direction."""
    assert batch.pairs is not None
    points = batch.pairs.points[:, :, :count]
    side = batch.globals.side
    for stride in strides:
        # Only the first two global views are matched.
        ours, theirs = (by_view(branch.globals[stride], batch.size) for branch in (student, teacher))
        for a, b in _DIRECTIONS:
            queries = student.heads[str(stride)](sample(ours[a], points[:, a], side))
            keys = teacher.heads[str(stride)](sample(theirs[b], points[:, b], side))
            yield stride, queries, keys


@dataclass(frozen=True)
class TokenDinoSettings(TermSettings):
    """Self-distillation of tokens matched by position.

    Parameters
    ----------
    strides : tuple of int
        Stages, each with its own head.
    points : int
        Number of matched points per location.
    prototypes, hidden, bottleneck : int
        Sizes of a head.
    temperature : float
        Temperature of the student.
    assignment : str
        Method of assignment: ``sinkhorn`` or ``centring``.
    queue : int
        Number of teacher outputs of earlier steps that Sinkhorn also balances.
    """

    strides: tuple[int, ...] = (4, 8)
    points: int = 96
    prototypes: int = 256
    hidden: int = 256
    bottleneck: int = 64
    temperature: float = 0.1
    assignment: AssignmentMethod = "sinkhorn"
    queue: int = 0

    def pairs(self) -> int:
        return self.points

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        return unknown_strides(self.strides, channels)


class TokenDino(Term):
    """A token predicts the prototypes of the teacher's token at the same position in another view."""

    name = "token_dino"
    Settings = TokenDinoSettings
    settings: TokenDinoSettings

    def __init__(self, settings: TokenDinoSettings, channels: dict[int, int]):
        super().__init__(settings, channels)
        self.assigners = nn.ModuleDict(
            {str(s): Assigner(settings.assignment, settings.prototypes, settings.queue) for s in settings.strides}
        )

    def strides(self) -> tuple[int, ...]:
        return self.settings.strides

    def make_heads(self) -> nn.Module:
        s = self.settings
        return nn.ModuleDict(
            {str(i): DinoHead(self.channels[i], s.hidden, s.bottleneck, s.prototypes) for i in self.strides()}
        )

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        assert batch.pairs is not None
        valid = batch.pairs.valid[:, : self.settings.points]
        losses, assigned, soft = [], [], []
        for stride, predicted, logits in _matched(student, teacher, batch, self.strides(), self.settings.points):
            targets = self.assigners[str(stride)](logits.flatten(0, 1), info.teacher_temperature).view_as(logits)
            loss = soft_cross_entropy(predicted, targets, self.settings.temperature)
            losses.append((loss * valid).sum() / valid.numel())
            assigned.append(targets.flatten(0, 1))
            soft.append(detached(logits.flatten(0, 1), self.settings.temperature))
        return TermOutput(torch.stack(losses).mean(), torch.cat(assigned), torch.cat(soft))
