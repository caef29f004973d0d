"""Visibility of colored layers: one at a time, because colors over other colors cannot be read.

The rule is applied when somebody requests a result (a click, a stroke, a comparison of windows) and when a saved
session brings several results back. A layer that is switched on by hand hides nothing.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.scan import Scan

COLORED = ("heat", "segmentation", "windows", "pca", "training_heat", "training_pca")
"""Roles of layers that color the body, the most informative first."""

MARKS_OF = {"heat": ("regions",)}
"""Roles of marks that are shown and hidden with a colored layer in a view without a switch for each role."""

# The heat map of a checkpoint is clear below its threshold, and meant to lie over the colors of the same checkpoint.
_TOGETHER = frozenset({"training_heat", "training_pca"})


def hidden_by(role: str) -> frozenset[str]:
    """Roles that give way when a layer of a role is requested; all colors do to the grays of a second scan."""
    if role == "warped":
        return frozenset(COLORED)
    if role not in COLORED:
        return frozenset()
    return frozenset(COLORED) - (_TOGETHER if role in _TOGETHER else {role})


def more_informative(role: str) -> tuple[str, ...]:
    """Colored roles that a role gives way to when both are restored."""
    return COLORED[: COLORED.index(role)]


def less_informative(role: str) -> tuple[str, ...]:
    """Colored roles that give way to a role when both are restored."""
    return COLORED[COLORED.index(role) + 1 :]


def with_marks(roles: Iterable[str]) -> frozenset[str]:
    """Roles and those of their marks."""
    return frozenset(part for role in roles for part in (role, *MARKS_OF.get(role, ())))


def colored_results(scan: "Scan | None") -> tuple[str, ...]:
    """Colored roles that a scan has a result for, the most informative first."""
    return () if scan is None else tuple(r for r in COLORED if getattr(scan.results, r, None) is not None)
