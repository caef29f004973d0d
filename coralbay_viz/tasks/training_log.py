"""The log of a training run, read from its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coralbay_core.errors import CoralBayError

if TYPE_CHECKING:
    from coralbay_core.pretrain.run_folder import Curve


@dataclass(frozen=True, eq=False)
class RunSnapshot:
    """Contents of a run folder at one time."""

    steps: tuple[int, ...]
    curves: "dict[str, Curve]"
    alarms: tuple[tuple[int, str], ...]
    problem: str

    @property
    def size(self) -> int:
        """Number of log entries."""
        return sum(len(curve.steps) for curve in self.curves.values()) + len(self.alarms)


def read_run(folder: Path) -> RunSnapshot:
    """Read the folder of a training run."""
    from coralbay_core.pretrain.run_folder import RunFolder

    run = RunFolder(folder)
    try:
        run.config()
        return RunSnapshot(tuple(run.checkpoints()), run.curves(), run.alarms(), "")
    except (CoralBayError, OSError) as error:
        return RunSnapshot((), {}, (), str(error))
