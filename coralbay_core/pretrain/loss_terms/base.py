"""Interface of a loss term. The docstring of the package explains how to add one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .settings import TermSettings

if TYPE_CHECKING:
    from ..batch import Batch
    from ..source import VolumeSource


@dataclass(frozen=True, eq=False)
class BranchOutput:
    """Output of a network, student or teacher, for a batch of B crop locations.

    Attributes
    ----------
    globals : dict of int to (B * global views, C, z, y, x) Tensor
        Maps by stride.
    locals : dict of int to (B * local views, C, z, y, x) Tensor, or None
        None for the teacher.
    heads : nn.Module
        Heads of the term on this network.
    """

    globals: dict[int, Tensor]
    locals: dict[int, Tensor] | None
    heads: Any


@dataclass(frozen=True)
class StepInfo:
    """Number of the step, from 0, and the scheduled values of this step."""

    step: int
    teacher_temperature: float


@dataclass(frozen=True, eq=False)
class TermOutput:
    """A term's contribution to the loss, and the values that the monitor observes.

    Attributes
    ----------
    loss : () Tensor
        Mean over the batch, so that the mean over processes is that of the whole batch.
    assigned : (N, K) Tensor, optional
        The teacher's targets, if they are assignments to prototypes: monitored for collapse.
    soft : (N, K) Tensor, optional
        The teacher's probabilities before they were balanced.
    cross_entropy : () Tensor, optional
        Cross entropy of the student against `assigned`; by default the loss.
    scalars : dict of str to () Tensor
        Other values for the log.
    """

    loss: Tensor
    assigned: Tensor | None = None
    soft: Tensor | None = None
    cross_entropy: Tensor | None = None
    scalars: dict[str, Tensor] | None = None


class Term(nn.Module):
    """Base class of the loss terms: registered under `name`, configured by `Settings`.

    Buffers are state that is saved with the run. Parameters belong in heads, whose copy follows in the teacher.

    Parameters
    ----------
    settings : Settings
    channels : dict of int to int
        Channels of the network's maps by stride.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[TermSettings]] = TermSettings
    needs_teacher: ClassVar[bool] = True
    """Whether the term reads the teacher's maps; if none does, they are not computed."""

    def __init__(self, settings: Any, channels: dict[int, int]):
        super().__init__()
        self.settings = settings
        self.channels = channels

    def strides(self) -> tuple[int, ...]:
        """Strides of the maps that the term reads."""
        raise NotImplementedError

    def make_heads(self) -> nn.Module:
        """Heads on top of the network, made once for the student and copied for the teacher."""
        return nn.Module()

    def prepare(self, source: "VolumeSource") -> None:
        """Prepare for the run, once, with all volumes, e.g. find clusters and attach them as labels."""

    def corrupt(self, images: Tensor, batch: "Batch", heads: Any) -> Tensor:
        """Change the student's global images, e.g. mask them; `heads` are the student's."""
        return images

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", info: StepInfo) -> TermOutput:
        """Compute the contribution to the loss; `teacher` has no gradients."""
        raise NotImplementedError


def by_view(rows: Tensor, batch_size: int) -> Tensor:
    """Rows (B * views, ...), item by item of a batch of B, to (views, B, ...)."""
    return rows.view(batch_size, -1, *rows.shape[1:]).transpose(0, 1)


def sample(maps: Tensor, points: Tensor, side: int) -> Tensor:
    """Trilinear samples (V, N, C) of a stage (V, C, z, y, x) at voxels (V, N, 3) of views with `side` voxels.

    In normalized coordinates over outer edges a position is the same in the view and in every stage, which keeps the
    half-voxel offset of a stride right.
    """
    grid = ((points + 0.5) * 2 / side - 1).flip(-1)[:, :, None, None]
    sampled = F.grid_sample(maps.float(), grid, align_corners=False, padding_mode="border")
    return sampled.flatten(2).transpose(1, 2)


def detached(tensor: Tensor, temperature: float) -> Tensor:
    """Probabilities of logits, for the monitor."""
    with torch.no_grad():
        return (tensor.detach().float() / temperature).softmax(-1)
