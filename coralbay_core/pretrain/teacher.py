"""Teacher: the moving average of the student."""

import copy

import torch

from .objective import Branch


def make_teacher(student: Branch) -> Branch:
    """Copy the student, including its heads, without gradients."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def update_teacher(teacher: Branch, student: Branch, momentum: float) -> None:
    """Update every parameter: ``teacher = momentum * teacher + (1 - momentum) * student``."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)
