"""Common parts of the tasks: the method, the cases, and scores on a case's lattice."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...features import FeatureMaps
from ...matching import Match, SearchSpace, best_match
from ...spatial import Grid
from ..cases import Case
from ..methods import Method
from ..records import Record


@dataclass(eq=False)
class Setting:
    """A method and the cases of its evaluation.

    Parameters
    ----------
    method : Method
    cases : list of Case
    seed : int
    """

    method: Method
    cases: list[Case]
    seed: int = 0
    _features: dict[str, FeatureMaps] = field(default_factory=dict, repr=False)

    def features(self, case: Case) -> FeatureMaps:
        """Features of a case, computed once."""
        if case.name not in self._features:
            self._features[case.name] = self.method.describe(case.volume, keep=case.domain == "real")
        return self._features[case.name]

    def pairs(self) -> Iterator[tuple[Case, Case, list[str]]]:
        """Ordered pairs of cases of one domain that share structures, with these."""
        for first, second in permutations(self.cases, 2):
            if first.domain == second.domain and (names := first.shared_with(second)):
                yield first, second, names

    def space(self, case: Case) -> SearchSpace:
        """Return the body of a case on its lattice, the search space of all methods."""
        return SearchSpace(case.lattice, case.body)

    def scores(self, position_mm: NDArray, query: Case, target: Case) -> NDArray[np.float32]:
        """Heat map of a click in `query` on the lattice of `target`, also outside the body."""
        first, second = self.features(query), self.features(target)
        return self.space(target).scores(self.method.heat(second, position_mm, None if second is first else first))

    def match(self, position_mm: NDArray, query: Case, target: Case) -> Match:
        """Best match of a click in another case, and the match searched back."""
        return best_match(
            self.features(query),
            self.features(target),
            position_mm,
            weights=self.method.weights,
            space=self.space(target),
            back=self.space(query),
        )

    def record(self, task: str, case: Case, values: dict[str, Any], **keys: str) -> Record:
        """Make a record of this method."""
        return Record(task, self.method.name, case.domain, {"case": case.name, **keys}, values)


def body_points(body: NDArray[np.bool_], grid: Grid, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Seeded positions in a mask, world mm, (count, 3); fewer if the mask is small."""
    cells = np.flatnonzero(body)
    chosen = rng.choice(len(cells), min(count, len(cells)), replace=False)
    return grid.cell_positions(cells[np.sort(chosen)])
