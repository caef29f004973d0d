"""Progress of a run: a line on stderr, JSON lines, and TensorBoard if it is installed."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..util.atomic_file import write_atomically
from . import distributed


class RunLog:
    """Log of a run; only the first process writes.

    Parameters
    ----------
    folder : Path
        Folder of the run, for ``log.jsonl`` and ``tensorboard/``.
    steps : int
        Number of steps of the whole run.
    first_step : int
        First step of this attempt; later lines of an earlier attempt are removed.
    seconds : float
        Duration of earlier attempts.
    """

    def __init__(self, folder: Path, steps: int, first_step: int = 0, seconds: float = 0.0):
        self.steps, self.is_first = steps, distributed.is_first()
        self._first_step, self._earlier, self._started = first_step, seconds, time.monotonic()
        if not self.is_first:
            return
        path = folder / "log.jsonl"
        _drop_after(path, first_step)
        self._file = path.open("a", encoding="utf-8")
        self._board = _tensorboard(folder / "tensorboard", first_step)

    @property
    def seconds(self) -> float:
        """Duration of the run so far, including earlier attempts."""
        return self._earlier + time.monotonic() - self._started

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line of the log; numbers are also written to TensorBoard."""
        if not self.is_first:
            return
        record = {"step": step, "seconds": round(self.seconds, 1)}
        record |= {key: _rounded(value) for key, value in values.items()}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(key.replace(".", "/"), value, step)

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Print one line on stderr: step, loss, speed, remaining time."""
        done = step - self._first_step
        left = (time.monotonic() - self._started) / max(done, 1) * (self.steps - step)
        parts = [f"step {step}/{self.steps}", f"loss {values['loss']:.4f}"]
        parts += [f"{key} {values[key]:.3f}" for key in values if key.endswith("teacher_entropy")][:1]
        parts += [
            f"{values['seconds_per_step']:.2f} s per step",
            f"waiting {values['wait_share']:.0%}",
            f"{clock(left)} left",
        ]
        end = "\r" if sys.stderr.isatty() and step < self.steps else "\n"
        self.say("  ".join(parts), end)

    def say(self, text: str, end: str = "\n") -> None:
        """Print a text on stderr."""
        if self.is_first:
            print(text, end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Close the files of the log."""
        if self.is_first:
            self._file.close()
            if self._board is not None:
                self._board.close()


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _drop_after(path: Path, step: int) -> None:
    """Remove lines of steps that a resumed run will do again."""
    if not path.is_file():
        return
    lines = [line for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    remaining = [line for line in lines if json.loads(line)["step"] <= step]
    write_atomically(path, "".join(line + "\n" for line in remaining))


def _tensorboard(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step or None)


def clock(seconds: float) -> str:
    """Format a duration."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
