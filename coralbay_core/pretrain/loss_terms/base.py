"""What a term of the loss is. The package's docstring says how to add one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from ..batch import Batch
    from ..source import VolumeSource


@dataclass(frozen=True)
class TermSettings:
    """Base of the settings of a term.

    Parameters
    ----------
    weight : float
        Of the term in the loss; 0 leaves it out.
    """

    weight: float = 1.0
    least_views: ClassVar[int] = 2
    """Global views of a place that the term compares."""

    def pairs(self) -> int:
        """Matched points a place that the term needs in ``batch.pairs``."""
        return 0

    def targets(self) -> tuple[str, ...]:
        """Names of the label volumes that the term needs in ``batch.labels``."""
        return ()

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        """What does not fit the network (channels by stride) or the crops (`ViewsConfig`), a line each."""
        return []


def unknown_strides(strides: Sequence[int], channels: dict[int, int]) -> list[str]:
    """A line if a term asks for maps that the network does not have."""
    wrong = sorted(set(strides) - set(channels))
    return [f"the network has no strides {wrong}, it has {sorted(channels)}"] if wrong else []


@dataclass(frozen=True, eq=False)
class BranchOutput:
    """What a network, student or teacher, made of a batch.

    Attributes
    ----------
    globals : dict of int to (places * global views, C, z, y, x) Tensor
        Maps by stride.
    locals : dict of int to (places * local views, C, z, y, x) Tensor, or None
        The teacher sees none.
    heads : nn.Module
        The term's own heads of this network.
    """

    globals: dict[int, Tensor]
    locals: dict[int, Tensor] | None
    heads: Any


@dataclass(frozen=True)
class StepInfo:
    """Where the run stands: the step, from 0, and what schedules say for it."""

    step: int
    teacher_temperature: float


@dataclass(frozen=True, eq=False)
class TermOutput:
    """A term's share of the loss, and what the monitor watches.

    Attributes
    ----------
    loss : () Tensor
        A mean over places, so that the mean over processes is that of the whole batch.
    assigned : (N, K) Tensor, optional
        The teacher's targets, if they are assignments to prototypes: watched for collapse.
    soft : (N, K) Tensor, optional
        The teacher's probabilities before they were balanced.
    cross_entropy : () Tensor, optional
        Of student against `assigned`; by default the loss.
    scalars : dict of str to () Tensor
        Anything else worth a line in the log.
    """

    loss: Tensor
    assigned: Tensor | None = None
    soft: Tensor | None = None
    cross_entropy: Tensor | None = None
    scalars: dict[str, Tensor] | None = None


class Term(nn.Module):
    """Base of the terms: registered under `name`, configured by `Settings`.

    Buffers are state that is saved with the run. Parameters belong into heads, which the teacher follows.

    Parameters
    ----------
    settings : Settings
    channels : dict of int to int
        Channels of the network's maps by stride.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[TermSettings]] = TermSettings
    asks_teacher: ClassVar[bool] = True
    """Whether the term reads the teacher's maps; if none does, they are not computed."""

    def __init__(self, settings: Any, channels: dict[int, int]):
        super().__init__()
        self.settings = settings
        self.channels = channels

    def strides(self) -> tuple[int, ...]:
        """Maps that the term reads."""
        raise NotImplementedError

    def make_heads(self) -> nn.Module:
        """Heads on top of the network, made once for the student and copied for the teacher."""
        return nn.Module()

    def prepare(self, source: "VolumeSource") -> None:
        """Called once before the run, with all volumes, e.g. to find clusters and attach them as labels."""

    def corrupt(self, images: Tensor, batch: "Batch", heads: Any) -> Tensor:
        """The student's global images, changed, e.g. masked; `heads` are the student's."""
        return images

    def forward(self, student: BranchOutput, teacher: BranchOutput, batch: "Batch", now: StepInfo) -> TermOutput:
        """The term's share of the loss; `teacher` has no gradients."""
        raise NotImplementedError


def by_view(rows: Tensor, places: int) -> Tensor:
    """Rows (places * views, ...), place by place, to (views, places, ...)."""
    return rows.view(places, -1, *rows.shape[1:]).transpose(0, 1)


def sample(maps: Tensor, points: Tensor, side: int) -> Tensor:
    """Trilinear samples (V, N, C) of a stage (V, C, z, y, x) at voxels (V, N, 3) of views with `side` voxels.

    In normalised coordinates over outer edges a position is the same in the view and in every stage, which keeps the
    half-voxel offset of a stride right.
    """
    grid = ((points + 0.5) * 2 / side - 1).flip(-1)[:, :, None, None]
    sampled = F.grid_sample(maps.float(), grid, align_corners=False, padding_mode="border")
    return sampled.flatten(2).transpose(1, 2)


def detached(tensor: Tensor, temperature: float) -> Tensor:
    """Probabilities of logits, for the monitor."""
    with torch.no_grad():
        return (tensor.detach().float() / temperature).softmax(-1)
