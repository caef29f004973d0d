"""Saved state of a scan that is restored once its features are there."""

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class PendingRestore:
    """What a file says of a scan. It stays with the scan, as some of it comes back with features only, or late.

    Parameters
    ----------
    parts : dict
        What `parse` gave, by the name of a part; empty once all of it was given.
    raw : dict
        The same as it stands in the file: what is not there yet is saved as it came.
    model : str
        That features were asked of.
    asked : bool
        Whether features have come, and with them what waited for them.
    come : frozenset of str
        Parts whose results are there, or were: from then on the scan itself says what there is.
    """

    parts: dict[str, Any]
    raw: dict[str, tuple[dict[str, Any], Arrays]]
    model: str
    asked: bool = False
    come: frozenset[str] = frozenset()

    def given(self) -> "PendingRestore":
        """The same once features have come."""
        return replace(self, parts={}, asked=True)

    def with_result(self, name: str) -> "PendingRestore":
        """The same once the result of a part has come."""
        return replace(self, come=self.come | {name})
