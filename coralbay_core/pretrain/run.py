"""A whole run: from a configuration to weights."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from . import distributed
from .checkpoint import Checkpoints, write_durably
from .config import PretrainConfig
from .export import describe_training, export, make_card
from .graceful_stop import stop_on_signal
from .loop import Loop
from .progress import RunLog, clock
from .resolve import Resolved, as_tables, resolve
from .schedules import make_schedules
from .source import VolumeSource, open_source
from .step_budget import steps_within
from .trainer import Trainer

# What may differ between a run and its continuation, because it does not change what is learned.
_FREE = (
    "output",
    "steps",
    "minutes",
    "threads",
    "loader",
    "checkpoint",
    "evaluation",
    "monitor",
    "card",
    "device",
    "data",
)


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Parameters
    ----------
    folder, weights : Path
    steps, step : int
        In all, and done.
    seconds : float
    stopped : str
        Why it ended before its last step; empty if it did not.
    metrics : dict of str to float
        Of the last evaluation.
    """

    folder: Path
    weights: Path
    steps: int
    step: int
    seconds: float
    stopped: str
    metrics: dict[str, float]


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    source: VolumeSource | None = None,
    say: Callable[[str], None] | None = None,
) -> RunResult:
    """Train an encoder.

    Parameters
    ----------
    config : PretrainConfig
    resume : bool
        Go on from the newest checkpoint in ``config.output``, if there is one.
    source : VolumeSource, optional
        Volumes, in place of ``config.data``.
    say : callable, optional
        Told, by the first process, what ``auto`` settings became.

    Returns
    -------
    RunResult

    Raises
    ------
    ConfigError
        Before the first batch, with all that is wrong with the configuration.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    resolved = resolve(config, world)
    folder = Path(resolved.config.output).expanduser()
    checkpoints = Checkpoints(folder / "checkpoints", resolved.config.checkpoint.keep)
    state = _earlier(folder, checkpoints, resolved.config, resume)
    with distributed.group(resolved.device) as device, _torch_settings(resolved.config):
        resolved = replace(resolved, device=device)
        volumes = source or open_source(resolved.config, resolved.config.loader.memory_gb)
        resolved = _with_steps(resolved, volumes, folder, state is not None)
        if distributed.is_first():
            _record(resolved, folder)
            for key, reason in resolved.reasons.items() if say else ():
                say(f"{key} = {reason}")  # type: ignore[misc]
        return _train(resolved, volumes, folder, checkpoints, state)


def _train(
    resolved: Resolved, source: VolumeSource, folder: Path, checkpoints: Checkpoints, state: dict[str, Any] | None
) -> RunResult:
    config = resolved.config
    steps = int(config.steps)
    schedules = make_schedules(steps, float(config.optimizer.learning_rate), config.optimizer, config.teacher)
    trainer = Trainer(resolved, schedules)
    trainer.prepare_terms(source)
    loop = Loop(trainer, source, checkpoints, folder)
    if state is not None:
        loop.load_state(state)
    log = RunLog(folder, steps, loop.step, loop.seconds)
    log.say(f"{len(source.names)} volumes, steps {loop.step + 1} to {steps}")
    try:
        with stop_on_signal() as request:
            stopped = loop.run(log, request)
        weights = folder / f"{config.name}.safetensors"
        if distributed.is_first():
            weights = export(trainer.teacher.backbone, _card(resolved, source, loop, log), folder)
        distributed.wait()
        log.say(f"{'stopped: ' + stopped if stopped else 'done'} at step {loop.step}, {clock(log.seconds)}")
        return RunResult(folder, weights, steps, loop.step, log.seconds, stopped, loop.metrics)
    finally:
        log.close()


def _card(resolved: Resolved, source: VolumeSource, loop: Loop, log: RunLog) -> Any:
    config = resolved.config
    # A card travels with the weights: where on this machine the run lies is nobody's business.
    said = ["output=RUN" if word.startswith("output=") else word for word in sys.argv[1:]]
    command = "coralbay " + shlex.join(said) if said[:1] == ["pretrain"] else "coralbay_core.pretrain"
    training = describe_training(
        config, len(source.names), loop.step, log.seconds, distributed.world(), resolved.device, command
    )
    evaluation: dict[str, Any] = {key: round(value, 4) for key, value in loop.metrics.items()}
    if evaluation:
        evaluation |= {"step": loop.measured, "tasks": list(config.evaluation.tasks)}
    return make_card(config, training, evaluation)


def _earlier(folder: Path, checkpoints: Checkpoints, config: PretrainConfig, resume: bool) -> dict[str, Any] | None:
    """State of the run that `folder` holds, if it is to go on."""
    if folder.exists() and not folder.is_dir():
        raise InputError("not a folder", where=folder, hint="choose another output")
    if not (folder / "run.json").is_file():
        return None
    if not resume:
        raise InputError(
            "a run is here already", where=folder, hint="--resume goes on with it; or choose another output"
        )
    recorded = json.loads((folder / "run.json").read_text("utf-8"))["config"]
    now = json.loads(json.dumps(as_tables(config)))
    differing = [key for key in now if key not in _FREE and now[key] != recorded.get(key)]
    if differing:
        raise InputError(
            "configuration is not that of the run",
            where=folder,
            found=f"other {', '.join(_paths(differing, now, recorded))}",
            hint="a resumed run must be the same; start another one elsewhere",
        )
    return checkpoints.load()


def _paths(keys: list[str], now: dict[str, Any], then: dict[str, Any]) -> Iterator[str]:
    """Settings that differ, with the names of their tables."""
    for key in keys:
        a, b = now.get(key), then.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            inner = [k for k in {**a, **b} if a.get(k) != b.get(k)]
            yield from (f"{key}.{path}" for path in _paths(inner, a, b))
        else:
            yield key


def _with_steps(resolved: Resolved, source: VolumeSource, folder: Path, resumed: bool) -> Resolved:
    """The number of steps: said, recorded by the run that goes on, or found by a trial."""
    config = resolved.config
    if resumed:
        recorded = json.loads((folder / "run.json").read_text("utf-8"))
        reason = {"steps": f"{recorded['config']['steps']}: as the run began"}
        return replace(
            resolved, config=replace(config, steps=recorded["config"]["steps"]), reasons=resolved.reasons | reason
        )
    if config.steps != "auto":
        return resolved
    steps, reason_text = steps_within(resolved, source)
    return replace(
        resolved, config=replace(config, steps=steps), reasons=resolved.reasons | {"steps": f"{steps}: {reason_text}"}
    )


def _record(resolved: Resolved, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = (json.dumps(resolved.described(), indent=1) + "\n").encode()
    write_durably(folder / "run.json", lambda file: file.write(content))


@contextmanager
def _torch_settings(config: PretrainConfig) -> Iterator[None]:
    """Threads and determinism, as they were before afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(int(config.threads))
    torch.use_deterministic_algorithms(config.deterministic or deterministic)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
