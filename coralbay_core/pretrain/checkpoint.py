"""State of a run on disk, written atomically, each checkpoint with a JSON file that describes it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, StorageError

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run.

    Parameters
    ----------
    folder : Path
    keep : int
        Newest ones that stay, beside the best one.
    """

    folder: Path
    keep: int = 2

    def path(self, step: int) -> Path:
        """Path of the checkpoint of a step."""
        return self.folder / f"step-{step:07d}.pt"

    def steps(self) -> list[int]:
        """List the steps with a checkpoint, oldest first. Unfinished files have other names."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.pt"))

    def save(self, step: int, state: Mapping[str, Any], about: Mapping[str, Any], best: int | None = None) -> Path:
        """Write a checkpoint, then remove the ones that are not retained.

        Parameters
        ----------
        step : int
            Updates done.
        state : mapping
            Tensors and plain values.
        about : mapping
            Contents of the JSON file.
        best : int, optional
            Step of the best one so far.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(step)
        write_durably(path.with_suffix(".json"), lambda file: file.write(_explained(step, about)))
        write_durably(path, lambda file: torch.save({"format": _FORMAT, "step": step, **state}, file))
        self.sweep(best)
        return path

    def sweep(self, best: int | None = None) -> None:
        """Remove checkpoints that are not retained, and what a killed process left: halves and lone descriptions.

        Parameters
        ----------
        best : int, optional
            Step of the best one so far.
        """
        retained = {*self.steps()[-max(self.keep, 1) :], *([] if best is None else [best])}
        for old in set(self.steps()) - retained:
            self.path(old).unlink()
        for path in self.folder.glob("step-*.json"):
            if not path.with_suffix(".pt").exists():
                path.unlink()
        for path in self.folder.glob(".step-*.part"):
            path.unlink()

    def load(self, step: int | None = None) -> dict[str, Any] | None:
        """Load the checkpoint of a step, by default the newest one; None if there is none."""
        known = self.steps()
        if step is None and not known:
            return None
        path = self.path(known[-1] if step is None else step)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(
                "unreadable checkpoint", where=path, found=error, hint="delete it to continue from an older one"
            ) from error
        if state.get("format") != _FORMAT:
            raise InputError(
                "checkpoint was written by another version", where=path, found=state.get("format"), expected=_FORMAT
            )
        return state


def _explained(step: int, about: Mapping[str, Any]) -> bytes:
    content = {
        "step": step,
        "holds": "student, teacher, terms, optimizer, scaler, monitor; see coralbay_core.pretrain",
        **about,
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def write_durably(path: Path, write: Any) -> None:
    """Write a file under a temporary name, flush it to the disk, and move it into place.

    Parameters
    ----------
    path : Path
    write : callable
        Called with the open file.

    Raises
    ------
    StorageError
        If the system refuses, e.g. because the disk is full; a file that was there stays.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # torch raises a RuntimeError of its own while it handles the OSError of the file.
        refused = error if isinstance(error, OSError) else error.__context__
        if not isinstance(refused, OSError):
            raise
        raise StorageError("cannot write", where=path, found=refused.strerror or refused) from error
    finally:
        temporary.unlink(missing_ok=True)
