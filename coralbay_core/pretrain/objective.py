"""Networks with heads, and the loss: a weighted sum of terms on the outputs of student and teacher."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.swin3d import Swin3D, Swin3DConfig
from .batch import Batch
from .loss_terms import TERMS, BranchOutput, StepInfo, Term, TermOutput, TermSettings

Autocast = Callable[[], AbstractContextManager]


class Branch(nn.Module):
    """Backbone and heads of all terms: the student, or its teacher."""

    def __init__(self, config: Swin3DConfig, terms: Mapping[str, Term]):
        super().__init__()
        self.backbone = Swin3D(config)
        self.heads = nn.ModuleDict({name: term.make_heads() for name, term in terms.items()})


def make_terms(settings: Mapping[str, TermSettings], channels: dict[int, int]) -> dict[str, Term]:
    """Make the terms with a weight above 0."""
    return {name: TERMS[name](chosen, channels) for name, chosen in settings.items() if chosen.weight}


@dataclass(frozen=True, eq=False)
class LossOutput:
    """Loss of a batch and the output of each term."""

    loss: Tensor
    terms: dict[str, TermOutput]
    maps: dict[int, Tensor]
    """Maps of the global views: the teacher's, or the student's if no term needs the teacher."""


class Objective(nn.Module):
    """The student and its loss: the module that DistributedDataParallel wraps.

    Parameters
    ----------
    student, teacher : Branch
        The teacher is not a submodule: it has no gradients and is updated by `update_teacher`.
    terms : mapping of str to Term
    weights : mapping of str to float
    autocast : callable
        Returns the context of the backbones' forward passes; heads and losses run in float32.
    """

    def __init__(
        self,
        student: Branch,
        teacher: Branch,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        autocast: Autocast = nullcontext,
    ):
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(terms)
        self.weights, self.autocast = dict(weights), autocast
        self.strides = tuple(sorted({stride for term in terms.values() for stride in term.strides()}))
        self.needs_teacher = any(term.needs_teacher for term in terms.values())
        object.__setattr__(self, "teacher", teacher)
        self.teacher: Branch

    def forward(self, batch: Batch, info: StepInfo) -> LossOutput:
        """Compute the loss of a batch, a mean over its items."""
        images = batch.globals.images
        teacher_globals: dict[int, Tensor] = {}
        if self.needs_teacher:
            with torch.no_grad(), self.autocast():
                teacher_globals = self.teacher.backbone(images, self.strides)
        for name, term in self.terms.items():
            images = term.corrupt(images, batch, self.student.heads[name])  # type: ignore[operator]
        with self.autocast():
            student_globals = self.student.backbone(images, self.strides)
            student_locals = None if batch.locals is None else self.student.backbone(batch.locals.images, self.strides)
        outputs = {}
        for name, term in self.terms.items():
            student = BranchOutput(student_globals, student_locals, self.student.heads[name])
            teacher = BranchOutput(teacher_globals, None, self.teacher.heads[name])
            outputs[name] = term(student, teacher, batch, info)
        loss = torch.stack([self.weights[name] * output.loss for name, output in outputs.items()]).sum()
        watched = teacher_globals or {stride: maps.detach() for stride, maps in student_globals.items()}
        return LossOutput(loss, outputs, watched)
