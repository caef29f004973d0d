"""Keys of jobs: the kind of result and the object that it belongs to."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "alignment",
    "autosave",
    "basis",
    "clusters",
    "devices",
    "export",
    "features",
    "follow-up",
    "forecast",
    "heat",
    "hover",
    "library",
    "library search",
    "load session",
    "match",
    "open",
    "pca",
    "preparation",
    "save",
    "scatter",
    "scorecard",
    "scores",
    "segmentation",
    "statistics",
    "suggestion",
    "symmetry",
    "training",
    "training log",
    "transfer",
    "warp",
    "windows",
]


@dataclass(frozen=True)
class JobKey:
    """Identity of a job: a newer job with the same key replaces an older one.

    Parameters
    ----------
    kind : str
        Kind of the result.
    owner : hashable, optional
        Scan that the result belongs to, or path that is read or written.
    """

    kind: Kind
    owner: Hashable = None

    def __str__(self) -> str:
        return self.kind
