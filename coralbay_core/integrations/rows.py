"""One number of a leaderboard, and the names that make numbers of several sources comparable."""

import posixpath
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..models.cards import WITHOUT_WEIGHTS
from ..models.checkpoints import SUFFIXES
from ..models.loading import is_path
from ..models.model_card import list_cards, load_card
from ..models.names import split_variant

EVA_RUN = "eva"
EVA_PUBLISHED = "eva, published"
OURS = "coralbay evaluate"

_EVA_AXES = ("S", "P", "L")
"""Of the tensors that eva hands to any network."""


@dataclass(frozen=True)
class Row:
    """A number and where it stands.

    Parameters
    ----------
    model : str
        What was measured, as `model_of` or `registered_model` say it: of a checkpoint its path, not only its name.
    task, metric : str
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
    deviates : str
        In what the run differs from the task's protocol, e.g. ``200 steps``; empty if in nothing.
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
    deviates: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What there may be one number of."""
        return self.source, self.model, self.task, self.metric, self.split, self.deviates

    @property
    def column(self) -> str:
        """The task as eva's table names it: a test set is said, all else is a validation set."""
        return f"{self.task}/test" if self.split == "test" else self.task

    @property
    def remarks(self) -> str:
        """What must be known to compare the number: that eva published it, or that its run was another one."""
        return ", ".join(part for part in ("published" if self.source == EVA_PUBLISHED else "", self.deviates) if part)

    def as_dict(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def model_of(name: str | Path) -> str:
    """What tells a model of ours from all others: a known name, or a path, written in one way."""
    text, mode = split_variant(str(name))
    if not is_path(text):
        return text + mode
    path = posixpath.normpath(text.replace("\\", "/"))
    return (path if is_path(path) else f"./{path}") + mode  # a file of the name of a model is none


def registered_model(name: str) -> str:
    """A model that eva ran itself, or published, by the name in its registry.

    It is one of our models only if both hand it the same tensors: ``voco_b`` is no ``voco-b``, because we turn scans to
    the axes that it was trained with, and eva does not.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    ours = last.replace("_", "-")
    if ours in list_cards() and load_card(ours).preprocessing.axis_codes == _EVA_AXES:
        return ours
    return last


def shown_names(models: Iterable[str]) -> dict[str, str]:
    """Short names of models that tell them apart: of a path the file's, with folders where that is not enough.

    A checkpoint never looks like a model of the package, whatever its file is called.
    """
    known = list(dict.fromkeys(models))
    tails = {model: _tails(model) for model in known}
    taken = {*list_cards(), *WITHOUT_WEIGHTS, *(model for model in known if not tails[model])}
    shown = {}
    for model in known:
        others = {tail for other in known if other != model for tail in tails[other]}
        shown[model] = next((tail for tail in tails[model] if tail not in taken and tail not in others), model)
    return shown


def _tails(model: str) -> list[str]:
    """Of a path: the file's name without what it ends in, the same with its folder, and so on."""
    text, mode = split_variant(model)
    if not is_path(text):
        return []
    stem = next((text.removesuffix(suffix) for suffix in SUFFIXES if text.endswith(suffix)), text)
    parts = [part for part in stem.split("/") if part]
    return ["/".join(parts[-count:]) + mode for count in range(1, len(parts) + 1)]
