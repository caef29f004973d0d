"""Visibility of colored layers: one at a time, because colors over other colors cannot be read.

The rule is applied when somebody chooses what is shown, requests a result (a click, a stroke, a comparison of windows),
and when a saved session brings several results back. A layer that is switched on by hand hides nothing.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..model.scan import Scan

COLORED = ("heat", "segmentation", "windows", "pca", "training_heat", "training_pca")
"""Roles of layers that color the body, the most informative first."""

# Roles of layers that color the body and are shown on request only.
_ALSO_COLORED = ("scores", "symmetry", "clusters")

Shown = Literal["nothing", "similarity", "colors", "segmentation", "uncertainty"]
"""What a view draws over a scan."""

SHOWN: dict[Shown, tuple[str, ...]] = {
    "nothing": (),
    "similarity": ("heat",),
    "colors": ("pca",),
    "segmentation": ("segmentation",),
    "uncertainty": ("scores",),
}
"""Roles of the colored layers of each choice."""

MARKS_OF = {"heat": ("regions",)}
"""Roles of marks that are shown and hidden with a colored layer in a view without a switch for each role."""

ALL_COLORED = frozenset((*COLORED, *_ALSO_COLORED))
"""Roles of all layers that color the body."""

# The heat map of a checkpoint is clear below its threshold, and meant to lie over the colors of the same checkpoint.
_TOGETHER = frozenset({"training_heat", "training_pca"})


def hidden_by(role: str) -> frozenset[str]:
    """Roles that give way when a layer of a role is requested; all colors do to the grays of a second scan."""
    if role == "warped":
        return ALL_COLORED
    if role not in ALL_COLORED:
        return frozenset()
    return ALL_COLORED - (_TOGETHER if role in _TOGETHER else {role})


def roles_shown(what: Shown) -> tuple[frozenset[str], frozenset[str]]:
    """Return the roles to show and the roles to hide for a choice; other layers stay as they are."""
    shown = with_marks(SHOWN[what])
    return shown, with_marks(ALL_COLORED) - shown


def shown_by(seen: Collection[str]) -> Shown | None:
    """Return the choice that some visible roles amount to; None for a mixture, or a layer without a choice."""
    colored = ALL_COLORED & frozenset(seen)
    return next((what for what, roles in SHOWN.items() if colored == frozenset(roles)), None)


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
