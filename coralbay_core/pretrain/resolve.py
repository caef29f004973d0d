"""Consistency checks of a whole configuration, and resolution of its ``auto`` values."""

import math
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from ..errors import InputError
from ..models.encoder import resolve_device, resolve_precision
from . import distributed
from .config import PretrainConfig
from .config_loader import ConfigError
from .crops import crop_sizes

Precision = Literal["bf16", "fp16", "fp32"]


@dataclass(frozen=True)
class Resolved:
    """A configuration in which at most the number of steps is still open.

    Parameters
    ----------
    config : PretrainConfig
    device : torch.device
    reasons : dict of str to str
        Value chosen for each ``auto`` setting, and the reason.
    """

    config: PretrainConfig
    device: torch.device
    reasons: dict[str, str]

    def described(self) -> dict[str, Any]:
        """Record of the run, for ``run.json``."""
        return {"config": as_tables(self.config), "auto": self.reasons}


def as_tables(config: PretrainConfig) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values."""
    return asdict(config)


def check(config: PretrainConfig, world: int = 1) -> None:
    """Raise `ConfigError` with all contradictions and unusable values."""
    problems = [*_budget(config), *_batch(config, world), *_views(config), *_ranges(config), *_paths(config)]
    channels = config.model.channels()
    terms = {name: term for name, term in config.objective.items() if term.weight}
    if not terms:
        problems.append("objective has no term - add a table such as [objective.dino]")
    for name, term in terms.items():
        problems += [f"objective.{name}: {line}" for line in term.problems(channels, config.views)]
    if problems:
        raise ConfigError(problems)


def _paths(config: PretrainConfig) -> list[str]:
    found = []
    for key in ("data", "output"):
        if not getattr(config, key):
            found.append(f"{key} is missing - add {key}=PATH")
    if config.data and not Path(config.data).expanduser().is_dir():
        found.append(f"data: no such folder - {config.data}")
    for key in ("data", "picture"):
        path = getattr(config.evaluation, key)
        if config.evaluation.every and path and not Path(path).expanduser().exists():
            found.append(f"evaluation.{key}: no such file or folder - {path}")
    return found


def _budget(config: PretrainConfig) -> list[str]:
    if config.steps == "auto" and config.minutes <= 0:
        return ["length of the run is missing - add steps=N or minutes=M"]
    if config.steps != "auto" and config.minutes > 0:
        return [f"both steps={config.steps} and minutes={config.minutes:g} are set - leave one of them out"]
    return ["steps must be at least 1"] if config.steps != "auto" and config.steps < 1 else []


def _batch(config: PretrainConfig, world: int) -> list[str]:
    found = []
    if config.batch_size < 1 or config.accumulate < 1:
        found.append("batch_size and accumulate must be at least 1")
    elif config.batch_size % (config.accumulate * world):
        found.append(
            f"batch_size {config.batch_size} does not divide into {config.accumulate} parts on {world} processes"
        )
    for name, term in config.objective.items():
        queue = getattr(term, "queue", 0)
        if queue % world:
            found.append(f"objective.{name}.queue {queue} does not divide into {world} processes")
    if config.deterministic and config.device == "cuda":
        found.append("deterministic needs device=cpu: torch has no deterministic backward of grid_sample on a GPU")
    if config.precision == "fp16" and config.device == "cpu":
        found.append("precision fp16 needs a GPU - use bf16 or fp32")
    return found


def _views(config: PretrainConfig) -> list[str]:
    views, deepest = config.views, max(config.model.channels())
    found = []
    needed = max((term.least_views for term in config.objective.values() if term.weight), default=2)
    if views.globals < needed:
        found.append(f"views.globals is {views.globals}, the objective needs at least {needed}")
    if views.places_per_volume < 1 or config.batch_size % views.places_per_volume:
        found.append(
            f"batch_size {config.batch_size} does not divide by views.places_per_volume {views.places_per_volume}"
        )
    if views.locals < 0:
        found.append("views.locals must not be negative")
    for key, count in (("global_side", views.globals), ("local_side", views.locals)):
        side = getattr(views, key)
        if count and (side < 16 or side % 2):
            found.append(f"views.{key} is {side}, expected an even number of at least 16")
        elif count and side <= deepest and config.model.conv_blocks and side < deepest:
            found.append(f"views.{key} is {side}, below the deepest stride {deepest}")
        elif count and config.model.residual_blocks and side <= deepest:
            found.append(f"views.{key} is {side}: residual blocks need more than {deepest} voxels (instance norm)")
    sizes = crop_sizes(views, config.spacing_mm)
    if config.pairs() and 2 * sizes.shift > 0.75 * views.global_side * sizes.global_zoom:
        found.append("views.shift_mm is so large that global views share too little for matched points")
    return found


_POSITIVE = ("spacing_mm", "optimizer.clip", "teacher.temperature", "teacher.temperature_start")
_SHARES = (
    "optimizer.warmup", "optimizer.freeze_last", "teacher.momentum", "teacher.final_momentum",
    "teacher.temperature_warmup", "views.wide_window_share", "views.gamma_share", "views.blur_share",
    "views.slice_share", "views.noise_share", "views.anisotropy_share",
)  # fmt: skip
_ORDERED = ("views.window_hu", "views.level_hu", "views.width_hu", "views.gamma", "views.blur_voxels", "views.slice_mm")


def _get(config: PretrainConfig, path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _ranges(config: PretrainConfig) -> list[str]:
    found = [
        f"{path} is {v:g}, expected above 0"
        for path in _POSITIVE
        if (v := _get(config, path)) < 0 or (not v and "clip" not in path)
    ]
    found += [f"{path} is {v:g}, expected 0 to 1" for path in _SHARES if not 0 <= (v := _get(config, path)) <= 1]
    for path in _ORDERED:
        low, high = _get(config, path)
        if not low <= high:
            found.append(f"{path} is {low:g} to {high:g}, expected the lower one first")
    if config.monitor.every < 1:
        found.append("monitor.every must be at least 1")
    if config.evaluation.every:
        found += _evaluation(config)
    return found


def _evaluation(config: PretrainConfig) -> list[str]:
    from ..evaluate import TASKS
    from ..evaluate.summary import measures

    evaluation, found = config.evaluation, []
    if not evaluation.data and not evaluation.phantom:
        found.append("evaluation has nothing to measure on - add evaluation.data=DIR or evaluation.phantom=true")
    if unknown := sorted(set(evaluation.tasks) - set(TASKS)):
        found.append(f"evaluation.tasks: unknown {', '.join(unknown)} - known: {', '.join(TASKS)}")
    if evaluation.metric not in {measure.key for measure in measures()}:
        found.append(f"evaluation.metric: unknown {evaluation.metric}")
    return found


def resolve(config: PretrainConfig, world: int = 1) -> Resolved:
    """Check a configuration and resolve its ``auto`` values except the number of steps.

    Raises
    ------
    ConfigError
    """
    check(config, world)
    reasons: dict[str, str] = {}
    device = _device(config, reasons)
    config = replace(config, device=device.type)
    config = replace(config, precision=_precision(config, device, reasons))
    if config.threads == "auto":
        config = replace(config, threads=torch.get_num_threads())
        reasons["threads"] = f"{config.threads}: default of torch"
    optimizer = replace(config.optimizer, learning_rate=_learning_rate(config, reasons))
    loader = replace(
        config.loader, workers=_workers(config, device, world, reasons), memory_gb=_memory(config, reasons)
    )
    resolved = Resolved(replace(config, optimizer=optimizer, loader=loader), device, reasons)
    check(resolved.config, world)
    return resolved


def _device(config: PretrainConfig, reasons: dict[str, str]) -> torch.device:
    try:
        device = resolve_device(config.device)
    except InputError as error:
        raise ConfigError([f"device: {error}"]) from error
    if device.type == "mps":
        device = torch.device("cpu")
    if config.device == "auto":
        reasons["device"] = f"{device.type}: {'a GPU is available' if device.type == 'cuda' else 'no CUDA device'}"
    return device


def _precision(config: PretrainConfig, device: torch.device, reasons: dict[str, str]) -> Precision:
    if config.precision != "auto":
        return config.precision
    if config.deterministic:
        reasons["precision"] = "fp32: deterministic"
        return "fp32"
    if resolve_precision(device) == torch.bfloat16:
        reasons["precision"] = f"bf16: supported by this {device.type}"
        return "bf16"
    chosen: Precision = "fp16" if device.type == "cuda" else "fp32"
    reasons["precision"] = f"{chosen}: this {device.type} does not support bfloat16"
    return chosen


def _learning_rate(config: PretrainConfig, reasons: dict[str, str]) -> float:
    if config.optimizer.learning_rate != "auto":
        return config.optimizer.learning_rate
    rate = min(max(5e-4 * math.sqrt(config.batch_size / 6), 2e-4), 1e-3)
    reasons["optimizer.learning_rate"] = f"{rate:.3g}: 5e-4 * sqrt(batch_size {config.batch_size} / 6), in 2e-4..1e-3"
    return rate


def _workers(config: PretrainConfig, device: torch.device, world: int, reasons: dict[str, str]) -> int:
    if config.loader.workers != "auto":
        return config.loader.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = max(1, distributed.environment_number("LOCAL_WORLD_SIZE", world))
    workers = 0 if device.type == "cpu" else max(1, min(8, cores // local - 1))
    reasons["loader.workers"] = (
        f"{workers}: {'training on the CPU' if not workers else f'{cores} cores, {local} processes'}"
    )
    return workers


def _memory(config: PretrainConfig, reasons: dict[str, str]) -> float:
    if config.loader.memory_gb != "auto":
        return config.loader.memory_gb
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        total = 8.0
    local = max(1, distributed.environment_number("LOCAL_WORLD_SIZE", distributed.world()))
    share = round(total / 4 / local, 1)
    reasons["loader.memory_gb"] = f"{share}: a quarter of {total:.0f} GB, for {local} processes"
    return share
