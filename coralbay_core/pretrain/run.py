"""A whole run, from a configuration to weights."""

import json
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
from .config_loader import RENAMED
from .export import describe_training, export, make_card
from .graceful_stop import stop_on_signal
from .loop import Loop
from .progress import RunLog, clock
from .resolve import Resolved, as_tables, resolve
from .schedules import make_schedules
from .source import VolumeSource
from .step_budget import steps_within
from .store import open_source
from .trainer import Trainer

# Settings that may differ between a run and its continuation, because they do not change the training.
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
    """Result of a run.

    Parameters
    ----------
    folder, weights : Path
    steps, step : int
        Number of steps in all, and done.
    seconds : float
    stopped : str
        Reason for a stop before the last step; empty if there was none.
    metrics : dict of str to float
        Metrics of the last evaluation.
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
        Continue from the newest checkpoint in ``config.output``, if there is one.
    source : VolumeSource, optional
        Volumes, in place of ``config.data``.
    say : callable, optional
        Receives, in the first process, one line per ``auto`` setting with its value.

    Returns
    -------
    RunResult

    Raises
    ------
    ConfigError
        Before the first batch, with all problems of the configuration.
    """
    world = distributed.environment_number("WORLD_SIZE", 1)
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
    # A card is published with the weights: the path of the run on this machine is left out.
    words = ["output=RUN" if word.startswith("output=") else word for word in sys.argv[1:]]
    command = "coralbay " + shlex.join(words) if words[:1] == ["pretrain"] else "coralbay_core.pretrain"
    training = describe_training(
        config, len(source.names), loop.step, log.seconds, distributed.world(), resolved.device, command
    )
    evaluation: dict[str, Any] = {key: round(value, 4) for key, value in loop.metrics.items()}
    if evaluation:
        evaluation |= {"step": loop.measured, "tasks": list(config.evaluation.tasks)}
    return make_card(config, training, evaluation)


def _earlier(folder: Path, checkpoints: Checkpoints, config: PretrainConfig, resume: bool) -> dict[str, Any] | None:
    """State of the run in `folder`, if it is resumed."""
    if folder.exists() and not folder.is_dir():
        raise InputError("output is not a folder", where=folder, hint="choose another output")
    if not (folder / "run.json").is_file():
        return None
    if not resume:
        raise InputError(
            "folder holds a run already", where=folder, hint="continue it with --resume, or choose another output"
        )
    recorded = json.loads((folder / "run.json").read_text("utf-8"))["config"]
    recorded = {RENAMED.get(key, key): value for key, value in recorded.items()}
    now = json.loads(json.dumps(as_tables(config)))
    differing = [key for key in now if key not in _FREE and now[key] != recorded.get(key)]
    if differing:
        raise InputError(
            "configuration differs from that of the run",
            where=folder,
            found=f"other values of {', '.join(_paths(differing, now, recorded))}",
            hint="resume with the same settings, or start a new run in another folder",
        )
    return checkpoints.load()


def _paths(keys: list[str], now: dict[str, Any], then: dict[str, Any]) -> Iterator[str]:
    """Yield the settings that differ, with the names of their tables."""
    for key in keys:
        a, b = now.get(key), then.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            inner = [k for k in {**a, **b} if a.get(k) != b.get(k)]
            yield from (f"{key}.{path}" for path in _paths(inner, a, b))
        else:
            yield key


def _with_steps(resolved: Resolved, source: VolumeSource, folder: Path, resumed: bool) -> Resolved:
    """Set the number of steps: configured, recorded by the resumed run, or found by a trial."""
    config = resolved.config
    if resumed:
        recorded = json.loads((folder / "run.json").read_text("utf-8"))
        reason = {"steps": f"{recorded['config']['steps']}: as recorded at the start of the run"}
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
    """Threads and determinism of a run; both are restored afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(int(config.threads))
    torch.use_deterministic_algorithms(config.deterministic or deterministic)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
