"""The state of a run (student, teacher, optimizer), and one training step."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import InputError
from ..models.loading import build, open_weights
from ..models.swin3d import Swin3D
from ..models.swin3d.attention import WindowAttention
from . import distributed
from .assign import Assigner
from .batch import Batch
from .heads import Prototypes
from .loss_terms import StepInfo
from .objective import Branch, LossOutput, Objective, make_terms
from .resolve import Resolved
from .schedules import Schedules
from .source import VolumeSource
from .teacher import make_teacher, update_teacher

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class NonFinite:
    """Non-finite values of a step, and the volumes of its batch.

    Attributes
    ----------
    step : int
        Number of the step, from 1.
    terms : tuple of str
        Loss terms that are not finite.
    gradients : tuple of str
        Parameters whose gradients are not finite.
    volumes : tuple of int
        Numbers of the volumes in the source.
    """

    step: int
    terms: tuple[str, ...]
    gradients: tuple[str, ...]
    volumes: tuple[int, ...]

    def text(self, names: Sequence[str]) -> str:
        """Describe the values in one line.

        Parameters
        ----------
        names : sequence of str
            Names of all volumes of the source.
        """
        terms = f"terms {', '.join(self.terms)}" if self.terms else "no loss term, but gradients"
        gradients = f"; gradients of {len(self.gradients)} parameters, first {self.gradients[0]}"
        volumes = ", ".join(names[number] for number in self.volumes)
        return f"not finite at step {self.step}: {terms}{gradients if self.gradients else ''}; volumes {volumes}"


@dataclass(frozen=True, eq=False)
class StepOutput:
    """Result of a step.

    Attributes
    ----------
    parts : list of LossOutput
        Losses, one per part of the step.
    gradient_norm : () Tensor
        Norm before clipping.
    non_finite : NonFinite or None
        Non-finite values because of which the step was skipped; None if the step was done.
    """

    parts: list[LossOutput]
    gradient_norm: Tensor
    non_finite: NonFinite | None = None


class Trainer:
    """Student, teacher, terms and optimizer.

    Parameters
    ----------
    resolved : Resolved
    schedules : Schedules
        Schedules of the whole run.
    """

    def __init__(self, resolved: Resolved, schedules: Schedules):
        config, device = resolved.config, resolved.device
        self.config, self.device, self.schedules = config, device, schedules
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            terms = make_terms(config.objective, config.model.channels())
            self.student = Branch(config.model, terms).to(device)
        if config.init:
            begin_with(self.student.backbone, config.init)
        self.teacher = make_teacher(self.student)
        weights = {name: config.objective[name].weight for name in terms}
        self.objective = Objective(self.student, self.teacher, terms, weights, self._autocast).to(device)
        if config.recompute:
            recompute_activations(self.student.backbone)
        if config.compile:
            self.student.backbone.compile()
            self.teacher.backbone.compile()
        self.optimizer = torch.optim.AdamW(decay_groups(self.student), lr=0.0, betas=(0.9, config.optimizer.beta2))
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.wrapped = self._distributed()

    def _autocast(self) -> AbstractContextManager:
        dtype = _DTYPES.get(self.config.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _distributed(self) -> nn.Module:
        if not distributed.active():
            return self.objective
        devices = [self.device.index] if self.device.type == "cuda" else None
        unused = max(self.objective.strides) < max(self.config.model.channels())
        return nn.parallel.DistributedDataParallel(
            self.objective, device_ids=devices, broadcast_buffers=False, find_unused_parameters=unused
        )

    def prepare_terms(self, source: VolumeSource) -> None:
        """Prepare the terms: first in the first process, which may write to the store, then in the others."""
        for first in (True, False):
            if first == distributed.is_first():
                for term in self.objective.terms.values():
                    term.prepare(source)  # type: ignore[operator]
            distributed.wait()

    def step(self, step: int, batches: Iterable[Batch]) -> StepOutput:
        """Do one update, from ``config.accumulate`` batches."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.schedules.learning_rate[step])
            group["weight_decay"] = float(self.schedules.weight_decay[step]) if group["decayed"] else 0.0
        before = {name: buffer.clone() for name, buffer in self.objective.terms.named_buffers()}
        info = StepInfo(step, float(self.schedules.teacher_temperature[step]))
        self.optimizer.zero_grad(set_to_none=True)
        parts, volumes = [], []
        for number, batch in enumerate(batches, 1):
            last = number == config.accumulate
            with nullcontext() if last or not distributed.active() else self.wrapped.no_sync():  # type: ignore[operator]
                output = self.wrapped(batch, info)
                self.scaler.scale(output.loss / config.accumulate).backward()
            parts.append(output)
            volumes.append(batch.volumes)
        if not self.schedules.last_layer_learns[step]:
            forget_prototypes(self.student)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), config.optimizer.clip or math.inf)
        # Processes share their gradients, so all have the same norm and decide alike.
        if not torch.isfinite(norm) and not (self.scaler.is_enabled() and _finite(parts)):
            self._restore(before)
            return StepOutput(parts, norm, _non_finite(step, parts, self.student, volumes))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        update_teacher(self.teacher, self.student, float(self.schedules.momentum[step]))
        return StepOutput(parts, norm)

    def _restore(self, buffers: Mapping[str, Tensor]) -> None:
        """Restore centers and queues: a value that is not finite would spoil every later step."""
        for name, buffer in buffers.items():
            owner, _, attribute = name.rpartition(".")
            setattr(self.objective.terms.get_submodule(owner), attribute, buffer)

    def state(self) -> dict[str, Any]:
        """Collect all tensors of the run, including rows of other processes. Every process must call it."""
        terms, queues = self.objective.terms.state_dict(), queue_names(self.objective.terms)
        for name, tensor in terms.items():
            if name in queues:
                terms[name] = distributed.gather_rows(tensor)
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "terms": terms,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a result of `state`; the number of processes may have changed."""
        terms, queues = dict(state["terms"]), queue_names(self.objective.terms)
        for name, tensor in terms.items():
            if name in queues:
                terms[name] = distributed.own_rows(tensor)
        self.student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.objective.terms.load_state_dict(terms)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def begin_with(backbone: Swin3D, weights: str) -> None:
    """Load weights of the same architecture into a backbone."""
    card, mapped = open_weights(weights)
    if card.architecture != backbone.config:
        raise InputError(
            "weights in init have another architecture",
            where=weights,
            found=card.architecture,
            expected=backbone.config,
        )
    backbone.load_state_dict(build(card, mapped.state).state_dict())


def decay_groups(student: nn.Module) -> list[dict[str, Any]]:
    """Group parameters with and without weight decay: none for biases, norms, position biases and single numbers."""
    tables = {id(m.relative_position_bias_table) for m in student.modules() if isinstance(m, WindowAttention)}
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in student.parameters():
        if parameter.requires_grad:
            groups[parameter.ndim > 1 and id(parameter) not in tables].append(parameter)
    return [{"params": parameters, "decayed": decayed} for decayed, parameters in groups.items()]


def queue_names(terms: nn.Module) -> set[str]:
    """Keys, in the state of the terms, of the queues whose rows are divided between processes."""
    return {f"{name}.queue" for name, module in terms.named_modules() if isinstance(module, Assigner)}


def forget_prototypes(student: Branch) -> None:
    """Drop the gradients of all prototypes: in the first steps they would follow noise."""
    for module in student.heads.modules():
        if isinstance(module, Prototypes):
            for parameter in module.parameters():
                parameter.grad = None


def recompute_activations(backbone: Swin3D) -> None:
    """Activation checkpointing of every block of a backbone that learns."""
    from ..models.swin3d.blocks import ResidualBlock, SwinBlock

    for module in backbone.modules():
        if isinstance(module, (SwinBlock, ResidualBlock)):
            module.forward = partial(_recomputed, module.forward)  # type: ignore[method-assign]


def _recomputed(forward: Any, x: Tensor) -> Tensor:
    return checkpoint(forward, x, use_reentrant=False) if torch.is_grad_enabled() else forward(x)


def _finite(parts: list[LossOutput]) -> bool:
    return all(bool(torch.isfinite(part.loss)) for part in parts)


def _non_finite(step: int, parts: list[LossOutput], student: nn.Module, volumes: list[tuple[int, ...]]) -> NonFinite:
    """Find the loss terms and gradients that are not finite, and the volumes of the step."""
    terms = {name for part in parts for name, term in part.terms.items() if not torch.isfinite(term.loss)}
    gradients = (n for n, p in student.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all())
    numbers = sorted({number for part in volumes for number in part})
    return NonFinite(step + 1, tuple(sorted(terms)), tuple(gradients), tuple(numbers))
