"""What tasks share: the method, the cases, and scores on a case's lattice."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...features import FeatureMaps
from ...preprocess import resample
from ...volume import Grid
from ..cases import Case
from ..methods import Method
from ..records import Record


@dataclass(eq=False)
class Setting:
    """A method on cases.

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

    def scores(self, position_mm: NDArray, query: Case, target: Case) -> NDArray[np.float32]:
        """Heat map of a click in `query` on the lattice of `target`."""
        return lattice_scores(self.method, self.features(query), position_mm, self.features(target), target.lattice)

    def record(self, task: str, case: Case, values: dict[str, Any], **keys: str) -> Record:
        """A record of this method."""
        return Record(task, self.method.name, case.domain, {"case": case.name, **keys}, values)


def lattice_scores(
    method: Method, query: FeatureMaps, position_mm: NDArray, target: FeatureMaps, lattice: Grid
) -> NDArray[np.float32]:
    """Heat map of a click on a lattice, also outside the body."""
    heat = method.heat(target, position_mm, None if query is target else query)
    return resample(heat.data, heat.grid, lattice)


def best_position(scores: NDArray, body: NDArray[np.bool_], lattice: Grid) -> tuple[tuple[int, ...], NDArray]:
    """Index and world mm of the highest score in the body."""
    index = np.unravel_index(int(np.where(body, scores, -np.inf).argmax()), scores.shape)
    place = tuple(int(i) for i in index)
    return place, lattice.to_world(place)


def body_points(body: NDArray[np.bool_], grid: Grid, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Seeded positions in a mask, world mm, (count, 3); fewer where the mask is small."""
    index = np.argwhere(body)
    chosen = rng.choice(len(index), min(count, len(index)), replace=False)
    return grid.to_world(index[np.sort(chosen)])
