"""One number of a leaderboard, and the names that make numbers of several sources comparable."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..card import list_cards
from ..checkpoints import SUFFIXES

EVA_RUN = "eva"
EVA_PUBLISHED = "eva, published"
OURS = "coralbay evaluate"


@dataclass(frozen=True)
class Row:
    """A number and where it stands.

    Parameters
    ----------
    model, task, metric : str
    mean : float
    file : Path
        That holds the number.
    source : str
        `EVA_RUN`, `EVA_PUBLISHED` or `OURS`.
    split : str
        ``val`` or ``test`` of eva's data sets, ``real`` or ``phantom`` of ours; empty where the file does not say.
    sd : float, optional
        Standard deviation over runs.
    runs : int, optional
    low, high : float, optional
        95 % interval, where it is known.
    """

    model: str
    task: str
    metric: str
    mean: float
    file: Path
    source: str
    split: str = ""
    sd: float | None = None
    runs: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What there may be one number of."""
        return self.source, self.model, self.task, self.metric, self.split

    def as_dict(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def model_name(name: str) -> str:
    """One name for a model: a path becomes its file's stem, eva's ``radiology/voco_b`` our ``voco-b``; others stay."""
    last = name.replace("\\", "/").rpartition("/")[2]
    for suffix in SUFFIXES:
        if last.endswith(suffix):
            return last.removesuffix(suffix)
    ours = last.replace("_", "-")
    return ours if ours in list_cards() else last
