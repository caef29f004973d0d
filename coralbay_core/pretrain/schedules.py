"""Schedules: arrays over all steps of a run, computed before the first step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import OptimizerConfig, TeacherConfig

Array = NDArray[np.float64]


def cosine(start: float, end: float, steps: int) -> Array:
    """Half a cosine from `start` to `end`, both reached."""
    progress = np.linspace(0, 1, steps) if steps > 1 else np.zeros(steps)
    return end + (start - end) * (1 + np.cos(np.pi * progress)) / 2


def warmed_up(high: float, end: float, steps: int, warmup: int) -> Array:
    """Rise linearly to `high` over `warmup` steps, all above 0, then follow `cosine` to `end`."""
    rise = high * np.arange(1, warmup + 1) / (warmup + 1)
    return np.concatenate([rise, cosine(high, end, steps - warmup)])


def line_then_constant(start: float, end: float, steps: int, over: int) -> Array:
    """Change linearly from `start` to `end` over the first steps, then stay at `end`."""
    return np.concatenate([np.linspace(start, end, over, endpoint=False), np.full(steps - over, end)])


@dataclass(frozen=True, eq=False)
class Schedules:
    """Scheduled values, one per step.

    Attributes
    ----------
    learning_rate, weight_decay, momentum, teacher_temperature : (steps,) float64 array
    last_layer_learns : (steps,) bool array
    """

    learning_rate: Array
    weight_decay: Array
    momentum: Array
    teacher_temperature: Array
    last_layer_learns: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.learning_rate)


def make_schedules(steps: int, learning_rate: float, optimizer: OptimizerConfig, teacher: TeacherConfig) -> Schedules:
    """Make the schedules of a run with this number of steps."""
    warmup = min(round(optimizer.warmup * steps), steps - 1)
    warm = min(round(teacher.temperature_warmup * steps), steps)
    return Schedules(
        learning_rate=warmed_up(learning_rate, optimizer.final_learning_rate, steps, warmup),
        weight_decay=cosine(optimizer.weight_decay, optimizer.final_weight_decay, steps),
        momentum=cosine(teacher.momentum, teacher.final_momentum, steps),
        teacher_temperature=line_then_constant(teacher.temperature_start, teacher.temperature, steps, warm),
        last_layer_learns=np.arange(steps) >= round(optimizer.freeze_last * steps),
    )
