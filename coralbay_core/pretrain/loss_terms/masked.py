"""Masked token prediction (iBOT, arXiv 2111.07832): targets are the teacher's assignments of the masked cells."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..assign import Assigner, AssignmentMethod
from ..heads import DinoHead
from ..loss_functions import soft_cross_entropy
from .base import BranchOutput, StepInfo, Term, TermOutput, detached
from .settings import TermSettings, unknown_strides

if TYPE_CHECKING:
    from ..batch import Batch

_STREAM = 10  # of random numbers


@dataclass(frozen=True)
class MaskedSettings(TermSettings):
    """Masked token prediction.

    Parameters
    ----------
    strides : tuple of int
        Stages, each with its own head; none coarser than `block`.
    block : int
        Side of a masked block, voxels.
    ratio : float
        Share of a view's blocks that are masked.
    views : int
        Number of global views per location with masked blocks, from the first one on. All other terms get the masked
        views, too.
    prototypes, hidden, bottleneck : int
        Sizes of a head.
    temperature : float
        Temperature of the student.
    assignment : str
        Method of assignment: ``sinkhorn`` or ``centring``.
    """

    strides: tuple[int, ...] = (4, 8)
    block: int = 8
    ratio: float = 0.4
    views: int = 1
    prototypes: int = 256
    hidden: int = 256
    bottleneck: int = 64
    temperature: float = 0.1
    assignment: AssignmentMethod = "sinkhorn"

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        found = unknown_strides(self.strides, channels)
        if any(self.block % stride for stride in self.strides):
            found.append(f"block {self.block} is no multiple of strides {list(self.strides)}")
        if views.global_side % self.block:
            found.append(f"block {self.block} does not divide views.global_side {views.global_side}")
        if not 1 <= self.views <= views.globals:
            found.append(f"views must be between 1 and views.globals ({views.globals}), not {self.views}")
        if not 0 < self.ratio < 1:
            found.append(f"ratio must lie between 0 and 1, not be {self.ratio}")
        return found


class _Heads(nn.Module):
    """One head per stage, and the gray value that fills masked blocks."""

    def __init__(self, settings: MaskedSettings, channels: dict[int, int]):
        super().__init__()
        s = settings
        self.fill = nn.Parameter(torch.tensor(0.5))
        self.stages = nn.ModuleDict(
            {str(i): DinoHead(channels[i], s.hidden, s.bottleneck, s.prototypes) for i in s.strides}
        )


class Masked(Term):
    """Masked token prediction; see `MaskedSettings`."""

    name = "masked"
    Settings = MaskedSettings
    settings: MaskedSettings

    def __init__(self, settings: MaskedSettings, channels: dict[int, int]):
        super().__init__(settings, channels)
        self.assigners = nn.ModuleDict(
            {str(s): Assigner(settings.assignment, settings.prototypes) for s in settings.strides}
        )

    def strides(self) -> tuple[int, ...]:
        return self.settings.strides

    def make_heads(self) -> nn.Module:
        return _Heads(self.settings, self.channels)

    def hidden(self, batch: "Batch") -> Tensor:
        """Masked blocks, (B * global views, n, n, n) bool; the same number in every masked view."""
        n = batch.globals.side // self.settings.block
        views = len(batch.globals.images) // batch.size
        masks = [self._one(rng, n, view < self.settings.views) for rng in batch.rngs(_STREAM) for view in range(views)]
        return torch.from_numpy(np.stack(masks)).to(batch.globals.images.device)

    def _one(self, rng: np.random.Generator, n: int, masked: bool) -> NDArray[np.bool_]:
        mask = np.zeros(n**3, bool)
        if masked:
            mask[rng.permutation(n**3)[: max(1, round(self.settings.ratio * n**3))]] = True
        return mask.reshape(n, n, n)

    def corrupt(self, images: Tensor, batch: "Batch", heads: Any) -> Tensor:
        hidden = _enlarged(self.hidden(batch), self.settings.block)[:, None]
        return torch.where(hidden, heads.fill.to(images.dtype), images)

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        hidden = self.hidden(batch)
        losses, assigned, soft = [], [], []
        for stride in self.strides():
            cells = _enlarged(hidden, self.settings.block // stride)
            head = str(stride)
            logits = teacher.heads.stages[head](_rows(teacher.globals[stride], cells))
            targets = self.assigners[head](logits, info.teacher_temperature)
            predicted = student.heads.stages[head](_rows(student.globals[stride], cells))
            losses.append(soft_cross_entropy(predicted, targets, self.settings.temperature).mean())
            assigned.append(targets)
            soft.append(detached(logits, self.settings.temperature))
        return TermOutput(torch.stack(losses).mean(), torch.cat(assigned), torch.cat(soft))


def _enlarged(mask: Tensor, factor: int) -> Tensor:
    """A mask (V, n, n, n) on cells that are `factor` times finer."""
    for axis in (1, 2, 3):
        mask = mask.repeat_interleave(factor, axis)
    return mask


def _rows(maps: Tensor, cells: Tensor) -> Tensor:
    """Tokens (M, C) of maps (V, C, z, y, x) in cells (V, z, y, x)."""
    return maps.permute(0, 2, 3, 4, 1)[cells]
