"""A run as others see it while it goes on: its checkpoints as encoders, its log as curves.

The run writes meanwhile. A checkpoint appears under its name when it is whole, and older ones vanish; the last line of
the log may be half written. Whatever is read here is whole or left out.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingFileError
from ..models.checkpoints import read_tensors
from ..models.swin_encoder import SwinEncoder
from .config import PretrainConfig
from .config_loader import config_from
from .online_eval import encoder_at

_CHECKPOINT = re.compile(r"step-(\d+)\.pt")
_TEACHER = "teacher.backbone."
# What the encoder depends on. A run may have been made by a version with other settings beside these.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "name": (), "spacing_mm": (), "model": (), "views": ("window_hu",), "card": ("tile", "step"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """A number of the log over the steps.

    Parameters
    ----------
    steps : (N,) int array
        Rising.
    values : (N,) float array
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, as `pretrain` fills it.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def config(self) -> PretrainConfig:
        """What of the run's configuration its encoder depends on; the rest has its defaults.

        Raises
        ------
        MissingFileError, InputError
        """
        path = self.folder / "run.json"
        try:
            recorded = json.loads(path.read_text("utf-8"))["config"]
            return config_from({key: _of(recorded[key], inner) for key, inner in _NEEDED.items()})
        except FileNotFoundError as error:
            raise MissingFileError(
                "no run", where=self.folder, expected="run.json", hint="give the output of `coralbay pretrain`"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError("unreadable run", where=path, found=f"{type(error).__name__}: {error}"[:160]) from error

    def checkpoints(self) -> dict[int, Path]:
        """Checkpoints by step, oldest first."""
        found = {
            int(match[1]): path
            for path in (self.folder / "checkpoints").glob("step-*.pt")
            if (match := _CHECKPOINT.fullmatch(path.name))
        }
        return dict(sorted(found.items()))

    def encoder(self, step: int | None = None, *, device: str = "auto") -> SwinEncoder:
        """The teacher at a step, by default the newest that there is, as `load_encoder` would give it.

        Raises
        ------
        MissingFileError
            Where there is no such checkpoint (any more).
        WeightsError, InputError
            For a damaged one.
        """
        known = self.checkpoints()
        if not known or (step is not None and step not in known):
            raise MissingFileError(
                "no such checkpoint", where=self.folder, found=step, expected=f"one of {list(known)}" if known else None
            )
        step = max(known) if step is None else step
        tensors, _ = read_tensors(known[step])
        state = {key.removeprefix(_TEACHER): t for key, t in tensors.items() if key.startswith(_TEACHER)}
        try:
            return encoder_at(self.config(), state, step, device)
        except RuntimeError as error:  # torch's word for keys or shapes that do not fit
            reason = str(error).splitlines()[0]
            raise InputError("checkpoint does not fit its run", where=known[step], found=reason) from error

    def lines(self) -> list[dict[str, Any]]:
        """Whole lines of the log, each with its ``step``; a line that is none is left out."""
        try:
            text = (self.folder / "log.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        read = (_parsed(line) for line in text[: text.rfind(b"\n") + 1].splitlines())
        return [line for line in read if line is not None]

    def curves(self) -> dict[str, Curve]:
        """Numbers of the log by name: ``loss``, the terms, ``evaluation.*`` and what else it holds.

        Of a step that was done twice, by a run that was resumed, the later line counts.
        """
        found: dict[str, dict[int, float]] = {}
        for line in self.lines():
            for key, value in line.items():
                if key != "step" and isinstance(value, (int, float)) and not isinstance(value, bool):
                    found.setdefault(key, {})[line["step"]] = float(value)
        return {key: _curve(values) for key, values in found.items()}

    def alarms(self) -> tuple[tuple[int, str], ...]:
        """Steps and texts of alarms and of what was not finite."""
        return tuple(
            (line["step"], str(line[key])) for line in self.lines() for key in ("alarm", "trouble") if key in line
        )


def _of(value: Any, inner: tuple[str, ...]) -> Any:
    return {key: value[key] for key in inner} if inner else value


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("step"), int) else None


def _curve(values: Mapping[int, float]) -> Curve:
    steps = sorted(values)
    return Curve(np.array(steps, np.int64), np.array([values[step] for step in steps], float))
