"""The teacher: the student's moving average."""

import copy

import torch

from .objective import Branch


def make_teacher(student: Branch) -> Branch:
    """A copy without gradients. Heads, too: what they assign must not jump with the student."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def update_teacher(teacher: Branch, student: Branch, momentum: float) -> None:
    """``teacher = momentum * teacher + (1 - momentum) * student``, for every parameter."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)
