"""Saved state of a scan that is restored once its features are there."""

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class PendingRestore:
    """Saved state of a scan, stored with the scan because some of it needs features or takes long to restore.

    Parameters
    ----------
    parts : dict
        Parsed state by the name of a part; empty once all of it is restored.
    raw : dict
        The same as in the file: parts that are not restored yet are saved unchanged.
    model : str
        Model of the saved features.
    asked : bool
        Whether features are available, and the parts that need them are restored.
    come : frozenset of str
        Parts that have been restored; for these the scan, not the file, is authoritative.
    """

    parts: dict[str, Any]
    raw: dict[str, tuple[dict[str, Any], Arrays]]
    model: str
    asked: bool = False
    come: frozenset[str] = frozenset()

    def given(self) -> "PendingRestore":
        """Return the state after features became available."""
        return replace(self, parts={}, asked=True)

    def with_result(self, name: str) -> "PendingRestore":
        """Return the state after the result of a part became available."""
        return replace(self, come=self.come | {name})
