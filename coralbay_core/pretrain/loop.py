"""The steps of a run, and what happens between them: log, alarms, checkpoints, evaluation, a polite stop.

::

    for step in range(first, steps):
        output = trainer.step(step, feed.parts())     # student learns, teacher follows
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
    """A run that ended because something was not finite."""


class Loop:
    """A run between two states.

    Parameters
    ----------
    trainer : Trainer
    source : VolumeSource
    checkpoints : Checkpoints
    folder : Path

    Attributes
    ----------
    step : int
        Updates done.
    seconds : float
        That they took, earlier attempts included.
    metrics : dict of str to float
        Of the last evaluation, made after step `measured`.
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
        """Steps until the last one; returns why it stopped before, or an empty string."""
        feed = Prefetcher(self.config, self.source, self.trainer.device, self.step, len(self.trainer.schedules))
        saved = lined = time.monotonic()
        stopped = ""
        while self.step < len(self.trainer.schedules) and not stopped:
            output = self.trainer.step(self.step, feed.parts())
            self.step += 1
            if not self._went_well(output, log):
                continue
            self.monitor.observe(output)
            if self._due(self.config.monitor.every):
                stopped = self._line(log, feed, time.monotonic() - lined)
                feed.waited, feed.cut, lined = 0.0, 0.0, time.monotonic()
            if self._due(self.config.evaluation.every):
                self._evaluate(log)
                lined = time.monotonic()
            stopped = stopped or self._asked(request)
            minutes = self.config.checkpoint.minutes
            long_ago = bool(minutes) and self._agreed(time.monotonic() - saved > 60 * minutes)
            if stopped or long_ago or self._due(self.config.checkpoint.every):
                self.save(log)
                saved = time.monotonic()
        self.save(log)
        return stopped

    def _due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes so; then all say the same."""
        if distributed.world() == 1:
            return wish
        return bool(distributed.max_over(torch.tensor(float(wish), device=self.trainer.device)))

    def _asked(self, request: StopRequest) -> str:
        return (request.name or "a signal to another process") if self._agreed(bool(request)) else ""

    def _went_well(self, output: StepOutput, log: RunLog) -> bool:
        """Whether the step counts; raises if trouble must end the run."""
        if not output.trouble:
            self.skips = 0
            return True
        self.skips += 1
        trouble = f"{output.trouble} ({self._names(output.trouble)})"
        log.write(self.step, {"trouble": trouble})
        if self.config.monitor.on_non_finite == "stop" or self.skips > self.config.monitor.max_skips:
            raise TrainingStopped(
                trouble, where=self.folder, hint="the newest checkpoint is sound; lower the learning rate, or set "
                "monitor.on_non_finite=skip",
            )  # fmt: skip
        log.say(f"skipped: {trouble}")
        return False

    def _names(self, trouble: str) -> str:
        numbers = trouble.rpartition("number ")[2].split(", ")
        return ", ".join(self.source.names[int(number)] for number in numbers)

    def _line(self, log: RunLog, feed: Prefetcher, seconds: float) -> str:
        """A line of the log; returns why an alarm stops the run, or an empty string."""
        values = self.monitor.line()
        each = seconds / self.config.monitor.every
        values |= {
            "seconds_per_step": each,
            "wait_share": feed.waited / seconds,
            "cut_share": feed.cut / seconds,
            "places_per_second": self.config.places / each,
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
        """Measure the teacher; the first process does, the others wait."""
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
        # The best one is kept, so it must be there.
        if distributed.from_first(int(self.best is not None and self.best[1] == self.step)):
            self.save(log)

    def save(self, log: RunLog) -> None:
        """Write a checkpoint of the step that was reached, unless there is one."""
        state = self.state(log)
        if distributed.is_first() and self.step not in self.checkpoints.steps():
            about = {"seconds": round(log.seconds, 1), "of": len(self.trainer.schedules), "metrics": self.metrics}
            self.checkpoints.save(self.step, state, about, self.best[1] if self.best else None)
        distributed.wait()

    def state(self, log: RunLog) -> dict[str, Any]:
        """All that the run needs to go on. Every process must call it."""
        return self.trainer.state() | {
            "monitor": self.monitor.state(),
            "seconds": log.seconds,
            "metrics": self.metrics,
            "measured": self.measured,
            "best": self.best,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.trainer.load_state(state)
        self.monitor.load_state(state["monitor"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.metrics, self.measured, self.best = state["metrics"], state["measured"], state["best"]
