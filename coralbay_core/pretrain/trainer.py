"""All that changes while a run learns, and one step of it."""

import math
from collections.abc import Iterable, Mapping
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
from . import distributed
from .batch import Batch
from .loss_terms import StepInfo
from .objective import Branch, LossOutput, Objective, make_terms
from .resolve import Resolved
from .schedules import Schedules
from .source import VolumeSource
from .teacher import make_teacher, update_teacher

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What a step did.

    Attributes
    ----------
    parts : list of LossOutput
        One a part of the step.
    gradient_norm : () Tensor
        Before clipping.
    trouble : str
        What was not finite, and where; the step was then skipped. Empty if all went well.
    """

    parts: list[LossOutput]
    gradient_norm: Tensor
    trouble: str = ""


class Trainer:
    """Student, teacher, terms and optimizer.

    Parameters
    ----------
    resolved : Resolved
    schedules : Schedules
        Of the whole run.
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
        """Let terms look at the volumes: the first process before the others, which find in a store what it left."""
        for first in (True, False):
            if first == distributed.is_first():
                for term in self.objective.terms.values():
                    term.prepare(source)  # type: ignore[operator]
            distributed.wait()

    def step(self, step: int, batches: Iterable[Batch]) -> StepOutput:
        """Learn from the parts of one step, as many as ``config.accumulate``."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.schedules.learning_rate[step])
            group["weight_decay"] = float(self.schedules.weight_decay[step]) if group["decayed"] else 0.0
        before = {name: buffer.clone() for name, buffer in self.objective.terms.named_buffers()}
        now = StepInfo(step, float(self.schedules.teacher_temperature[step]))
        self.optimizer.zero_grad(set_to_none=True)
        parts, samples = [], []
        for number, batch in enumerate(batches, 1):
            last = number == config.accumulate
            with nullcontext() if last or not distributed.active() else self.wrapped.no_sync():  # type: ignore[operator]
                output = self.wrapped(batch, now)
                self.scaler.scale(output.loss / config.accumulate).backward()
            parts.append(output)
            samples.append(batch.volumes)
        if not self.schedules.last_layer_learns[step]:
            forget_prototypes(self.student)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), config.optimizer.clip or math.inf)
        # Processes share their gradients, so all see the same norm and agree.
        if not torch.isfinite(norm) and not (self.scaler.is_enabled() and _finite(parts)):
            self._restore(before)
            return StepOutput(parts, norm, _where(step, parts, self.student, samples))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        update_teacher(self.teacher, self.student, float(self.schedules.momentum[step]))
        return StepOutput(parts, norm)

    def _restore(self, buffers: Mapping[str, Tensor]) -> None:
        """Put centres and queues back: one that is not finite would spoil every later step."""
        for name, buffer in buffers.items():
            owner, _, attribute = name.rpartition(".")
            setattr(self.objective.terms.get_submodule(owner), attribute, buffer)

    def state(self) -> dict[str, Any]:
        """All tensors of the run, the rows that other processes hold included. Every process must call it."""
        terms = self.objective.terms.state_dict()
        for name, tensor in terms.items():
            if name.endswith("queue"):
                terms[name] = distributed.gather_rows(tensor)
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "terms": terms,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`; the number of processes may have changed."""
        terms = dict(state["terms"])
        for name, tensor in terms.items():
            if name.endswith("queue"):
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
            "init is of another architecture", where=weights, found=card.architecture, expected=backbone.config
        )
    backbone.load_state_dict(build(card, mapped.state).state_dict())


def decay_groups(student: nn.Module) -> list[dict[str, Any]]:
    """Parameters with and without weight decay: not biases, norms, position biases or single numbers."""
    named = [(name, p) for name, p in student.named_parameters() if p.requires_grad]
    decays = {name: p.ndim > 1 and "bias_table" not in name for name, p in named}
    return [
        {"params": [p for name, p in named if decays[name] == decayed], "decayed": decayed} for decayed in (True, False)
    ]


def forget_prototypes(student: Branch) -> None:
    """Drop the gradients of all prototypes: early on they would follow noise."""
    for name, parameter in student.heads.named_parameters():
        if "prototypes" in name:
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


def _where(step: int, parts: list[LossOutput], student: nn.Module, volumes: list[tuple[int, ...]]) -> str:
    """What is not finite: terms of the loss, else gradients; and the volumes that were seen."""
    terms = {name for part in parts for name, term in part.terms.items() if not torch.isfinite(term.loss)}
    gradients = [n for n, p in student.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    what = f"terms {', '.join(sorted(terms))}" if terms else "no term, but gradients"
    of = f"; gradients of {len(gradients)} parameters, first {gradients[0]}" if gradients else ""
    seen = ", ".join(map(str, sorted({number for part in volumes for number in part})))
    return f"not finite at step {step + 1}: {what}{of}; volumes number {seen}"
