"""Read access to a run, also while it is running: its checkpoints as encoders, its log as curves.

A running run may write at any time. A checkpoint gets its final name when it is complete, and older ones are removed;
the last line of the log may be incomplete. Incomplete parts are skipped.
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
# Settings that the encoder depends on. All others may differ between versions of the package.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "name": (), "spacing_mm": (), "model": (), "views": ("window_hu",), "card": ("tile", "step"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """Curve of a value of the log over the steps.

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
    """Folder of a run, written by `pretrain`.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def config(self) -> PretrainConfig:
        """Read the settings that the encoder depends on; all others have their defaults.

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
                "no run",
                where=self.folder,
                expected="run.json",
                hint="give the output of `coralbay pretrain`",
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError("unreadable run", where=path, found=f"{type(error).__name__}: {error}"[:160]) from error

    def checkpoints(self) -> dict[int, Path]:
        """Paths of the checkpoints by step, oldest first."""
        found = {
            int(match[1]): path
            for path in (self.folder / "checkpoints").glob("step-*.pt")
            if (match := _CHECKPOINT.fullmatch(path.name))
        }
        return dict(sorted(found.items()))

    def encoder(self, step: int | None = None, *, device: str = "auto") -> SwinEncoder:
        """Load the teacher at a step, by default the newest, as an encoder.

        Raises
        ------
        MissingFileError
            If there is no such checkpoint (any more).
        WeightsError, InputError
            If the checkpoint is damaged.
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
        """Complete lines of the log, each with its ``step``; invalid lines are skipped."""
        try:
            text = (self.folder / "log.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        read = (_parsed(line) for line in text[: text.rfind(b"\n") + 1].splitlines())
        return [line for line in read if line is not None]

    def curves(self) -> dict[str, Curve]:
        """Curves of all numbers of the log by name: ``loss``, the terms, ``evaluation.*`` and others.

        If a resumed run repeated a step, the later line counts.
        """
        found: dict[str, dict[int, float]] = {}
        for line in self.lines():
            for key, value in line.items():
                if key != "step" and isinstance(value, (int, float)) and not isinstance(value, bool):
                    found.setdefault(key, {})[line["step"]] = float(value)
        return {key: _curve(values) for key, values in found.items()}

    def alarms(self) -> tuple[tuple[int, str], ...]:
        """List the steps and texts of alarms and of non-finite values."""
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
