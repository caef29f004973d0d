"""Base class of the settings of a loss term. It imports no other module of the package, so that `config` can use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class TermSettings:
    """Base class of the settings of a loss term.

    Parameters
    ----------
    weight : float
        Weight of the term in the loss; 0 leaves it out.
    """

    weight: float = 1.0
    least_views: ClassVar[int] = 2
    """Minimum number of global views per location."""

    def pairs(self) -> int:
        """Number of matched points per location that the term needs in ``batch.pairs``."""
        return 0

    def targets(self) -> tuple[str, ...]:
        """Names of the label volumes that the term needs in ``batch.labels``."""
        return ()

    def problems(self, channels: dict[int, int], views: Any) -> list[str]:
        """List conflicts with the network (channels by stride) or the crops (`ViewsConfig`), one line each."""
        return []


def unknown_strides(strides: Sequence[int], channels: dict[int, int]) -> list[str]:
    """Report strides that the network does not have, in a list of at most one line."""
    wrong = sorted(set(strides) - set(channels))
    return [f"the network has no strides {wrong}, it has {sorted(channels)}"] if wrong else []
