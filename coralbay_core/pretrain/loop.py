"""The loop over the steps of a run, with log, alarms, checkpoints, evaluation and graceful stop.

::

    for step in range(first, steps):
        output = trainer.step(step, prefetcher.parts())     # student learns, teacher follows
        monitor.observe(output)
        each few steps:  a line of the log, alarms
        now and then:    evaluation of the teacher, a checkpoint
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import CoralBayError
from . import distributed
from .checkpoint import Checkpoints
from .graceful_stop import StopRequest
from .monitor import Monitor
from .online_eval import OnlineEvaluation
from .prefetch import Prefetcher
from .progress import RunLog
from .source import VolumeSource
from .trainer import StepOutput, Trainer


class TrainingStopped(CoralBayError, ArithmeticError):
    """A run that ended because a loss or gradient was not finite."""


class Loop:
    """Loop over the steps of a run, from one checkpoint to the next.

    Parameters
    ----------
    trainer : Trainer
    source : VolumeSource
    checkpoints : Checkpoints
    folder : Path

    Attributes
    ----------
    step : int
        Number of updates done.
    seconds : float
        Duration so far, including earlier attempts.
    metrics : dict of str to float
        Metrics of the last evaluation, made after step `measured`.
    """

    def __init__(self, trainer: Trainer, source: VolumeSource, checkpoints: Checkpoints, folder: Path):
        self.trainer, self.source, self.checkpoints = trainer, source, checkpoints
        self.config, self.folder = trainer.config, folder
        self.monitor = Monitor(self.config.monitor)
        self.evaluation = OnlineEvaluation(self.config, folder)
        self.step, self.seconds, self.skips, self.measured = 0, 0.0, 0, 0
        self.metrics: dict[str, float] = {}
        self.best: tuple[float, int] | None = None

    def run(self, log: RunLog, request: StopRequest) -> str:
        """Run the remaining steps; return the reason for an early stop, or an empty string."""
        prefetcher = Prefetcher(self.config, self.source, self.trainer.device, self.step, len(self.trainer.schedules))
        saved = lined = time.monotonic()
        stopped = ""
        while self.step < len(self.trainer.schedules) and not stopped:
            output = self.trainer.step(self.step, prefetcher.parts())
            self.step += 1
            if not self._went_well(output, log):
                continue
            self.monitor.observe(output)
            if self._due(self.config.monitor.every):
                stopped = self._line(log, prefetcher, time.monotonic() - lined)
                prefetcher.waited, prefetcher.cut, lined = 0.0, 0.0, time.monotonic()
            if self._due(self.config.evaluation.every):
                self._evaluate(log)
                lined = time.monotonic()
            stopped = stopped or self._stop_reason(request)
            minutes = self.config.checkpoint.minutes
            long_ago = bool(minutes) and self._any_process(time.monotonic() - saved > 60 * minutes)
            if stopped or long_ago or self._due(self.config.checkpoint.every):
                self.save(log)
                saved = time.monotonic()
        self.save(log)
        return stopped

    def _due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _any_process(self, flag: bool) -> bool:
        """Whether the flag is set in any process; the same result in all of them."""
        if distributed.world() == 1:
            return flag
        return bool(distributed.max_over(torch.tensor(float(flag), device=self.trainer.device)))

    def _stop_reason(self, request: StopRequest) -> str:
        return (request.name or "a signal to another process") if self._any_process(bool(request)) else ""

    def _went_well(self, output: StepOutput, log: RunLog) -> bool:
        """Whether the step was finite; raise if the run must stop."""
        if output.non_finite is None:
            self.skips = 0
            return True
        self.skips += 1
        trouble = output.non_finite.text(self.source.names)
        log.write(self.step, {"trouble": trouble})
        if self.config.monitor.on_non_finite == "stop" or self.skips > self.config.monitor.max_skips:
            raise TrainingStopped(
                trouble, where=self.folder, hint="the newest checkpoint is usable: lower the learning rate, "
                "or set monitor.on_non_finite=skip",
            )  # fmt: skip
        log.say(f"step skipped: {trouble}")
        return False

    def _line(self, log: RunLog, prefetcher: Prefetcher, seconds: float) -> str:
        """Write a line of the log; return the alarm that stops the run, or an empty string."""
        values = self.monitor.line()
        each = seconds / self.config.monitor.every
        values |= {
            "seconds_per_step": each,
            "wait_share": prefetcher.waited / seconds,
            "cut_share": prefetcher.cut / seconds,
            "places_per_second": self.config.batch_size / each,
            "learning_rate": float(self.trainer.schedules.learning_rate[self.step - 1]),
            "momentum": float(self.trainer.schedules.momentum[self.step - 1]),
        }
        if self.trainer.device.type == "cuda":
            values["memory_gb"] = torch.cuda.max_memory_allocated(self.trainer.device) / 1e9
        log.write(self.step, values)
        log.show(self.step, values)
        alarms = self.monitor.alarms(self.step, values)
        for alarm in alarms:
            log.write(self.step, {"alarm": alarm})
            log.say(f"alarm at step {self.step}: {alarm}")
        return f"alarm, {alarms[0]}" if alarms and self.config.monitor.on_alarm == "stop" else ""

    def _evaluate(self, log: RunLog) -> None:
        """Evaluate the teacher in the first process; the others wait."""
        if distributed.is_first():
            self.metrics = self.evaluation(self.trainer.teacher.backbone, self.step)
            self.measured = self.step
            score = self.evaluation.score(self.metrics)
            log.write(self.step, {f"evaluation.{key}": value for key, value in self.metrics.items()})
            log.say(
                f"step {self.step}: {self.config.evaluation.metric} {self.metrics[self.config.evaluation.metric]:.4f}"
            )
            if self.best is None or score >= self.best[0]:
                self.best = score, self.step
        # The best checkpoint is retained, so it must be written.
        if distributed.from_first(int(self.best is not None and self.best[1] == self.step)):
            self.save(log)

    def save(self, log: RunLog) -> None:
        """Write a checkpoint of the current step, unless there is one."""
        state = self.state(log)
        if distributed.is_first() and self.step not in self.checkpoints.steps():
            about = {"seconds": round(log.seconds, 1), "of": len(self.trainer.schedules), "metrics": self.metrics}
            self.checkpoints.save(self.step, state, about, self._best_step())
        distributed.wait()

    def state(self, log: RunLog) -> dict[str, Any]:
        """Collect the state that a resumed run needs. Every process must call it."""
        return self.trainer.state() | {
            "monitor": self.monitor.state(),
            "seconds": log.seconds,
            "metrics": self.metrics,
            "measured": self.measured,
            "best": self.best,
        }

    def _best_step(self) -> int | None:
        return self.best[1] if self.best else None

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a checkpoint, and remove what the run that wrote it did not come to remove."""
        self.trainer.load_state(state)
        self.monitor.load_state(state["monitor"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.metrics, self.measured, self.best = state["metrics"], state["measured"], state["best"]
        if distributed.is_first():
            self.checkpoints.sweep(self._best_step())
