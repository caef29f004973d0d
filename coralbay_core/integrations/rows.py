"""Row of a leaderboard, and names of models that make scores of several sources comparable."""

import posixpath
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..models.cards import WITHOUT_CARD
from ..models.checkpoints import SUFFIXES
from ..models.loading import is_path
from ..models.model_card import list_cards, load_card
from ..models.names import split_variant

EVA_RUN = "eva"
EVA_PUBLISHED = "eva, published"
OURS = "coralbay evaluate"

_EVA_AXES = ("S", "P", "L")
"""Axis codes of the tensors that eva hands to any network."""


@dataclass(frozen=True)
class Row:
    """A score, its model, task and source.

    Parameters
    ----------
    model : str
        Evaluated model, as `model_of` or `registered_model` names it; a checkpoint by its path, not only its name.
    task, metric : str
    mean : float
    file : Path
        File of the score.
    source : str
        `EVA_RUN`, `EVA_PUBLISHED` or `OURS`.
    split : str
        ``val`` or ``test`` of eva's datasets, ``real`` or ``phantom`` of CoralBay's; empty if unknown.
    sd : float, optional
        Standard deviation over runs.
    runs : int, optional
    low, high : float, optional
        95 % interval, if known.
    deviates : str
        Deviations of the run from the task's protocol, e.g. ``200 steps``; empty if there are none.
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
        """Key that may have one score only."""
        return self.source, self.model, self.task, self.metric, self.split, self.deviates

    @property
    def column(self) -> str:
        """Task as named in eva's table: a test set is marked, everything else is a validation set."""
        return f"{self.task}/test" if self.split == "test" else self.task

    @property
    def remarks(self) -> str:
        """Remarks for a comparison: published by eva, deviations from the protocol."""
        return ", ".join(part for part in ("published" if self.source == EVA_PUBLISHED else "", self.deviates) if part)

    def as_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def model_of(name: str | Path) -> str:
    """Normalize a name or path, so that equal models compare equal."""
    text, mode = split_variant(str(name))
    if not is_path(text):
        return text + mode
    path = posixpath.normpath(text.replace("\\", "/"))
    return (path if is_path(path) else f"./{path}") + mode  # a file of the name of a model is none


def registered_model(name: str) -> str:
    """Name of a model in eva's registry, or of the corresponding model of CoralBay.

    Models correspond only if both projects use the same input tensors: ``voco_b`` is not ``voco-b``, because CoralBay
    reorients scans to the axes of its training, and eva does not.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    ours = last.replace("_", "-")
    if ours in list_cards() and load_card(ours).preprocessing.axis_codes == _EVA_AXES:
        return ours
    return last


def shown_names(models: Iterable[str]) -> dict[str, str]:
    """Short unique names of models: of a path the file name, with folders if necessary.

    A checkpoint never gets the name of a model of the package.
    """
    known = list(dict.fromkeys(models))
    tails = {model: _tails(model) for model in known}
    taken = {*list_cards(), *WITHOUT_CARD, *(model for model in known if not tails[model])}
    shown = {}
    for model in known:
        others = {tail for other in known if other != model for tail in tails[other]}
        shown[model] = next((tail for tail in tails[model] if tail not in taken and tail not in others), model)
    return shown


def _tails(model: str) -> list[str]:
    """Possible short names of a path: the file name without suffix, the same with its folder, and so on."""
    text, mode = split_variant(model)
    if not is_path(text):
        return []
    stem = next((text.removesuffix(suffix) for suffix in SUFFIXES if text.endswith(suffix)), text)
    parts = [part for part in stem.split("/") if part]
    return ["/".join(parts[-count:]) + mode for count in range(1, len(parts) + 1)]
