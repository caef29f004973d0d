"""Candidates of a search: scans in the order of the index, and their best scores, until the rest cannot matter.

The index knows the middle of every cell of 12 mm, from a few dozen numbers, so its scores differ from those of the heat
maps, by more than near-equal scans do from each other. How far off they are is measured on the scans that were scored:
the rest are left out once the index gives them so little that the largest difference so far, and 1.5 standard
deviations more, would not bring them among the best.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import CoralBayError
from ..models.encoder import Encoder
from ..similarity import Query
from .library import Library
from .manifest import LibraryEntry
from .vectors import Vectors

SHORTLIST = 20
FIRST_HITS = 2000
MOST_HITS = 200_000
MOST_CELLS = 10_000_000
"""Cells of the finest stage, in all scans, after which no more than the shortlist is scored: of 40 trunks, a second."""
SPREAD = 1.5
EVERY = 10
"""Number of scans after which it is looked whether the rest matters: that takes a tenth of the time of a scan."""


@dataclass(eq=False)
class Candidates:
    """Scans that were scored.

    Attributes
    ----------
    coarse : dict of str to float
        Highest score in the index of each scan that came up, by hash.
    best : dict of str to float
        Highest score in the heat map of each scan that was scored.
    skipped : dict of str to str
        Reasons of the scans that could not be.
    """

    coarse: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ranked(self) -> list[str]:
        """Scored scans, best first."""
        return sorted(self.best, key=lambda scan: -self.best[scan])

    def reaches(self, coarse: float, top: int) -> bool:
        """Whether a scan with this score in the index is likely to be among the best `top`."""
        if len(self.best) < top:
            return True
        above = np.array([score - self.coarse[scan] for scan, score in self.best.items()])
        return coarse + float(above.max() + SPREAD * above.std()) > np.partition(list(self.best.values()), -top)[-top]


def score_candidates(
    library: Library,
    query: Query,
    encoder: Callable[[], Encoder],
    entries: Mapping[str, LibraryEntry],
    *,
    weights: Mapping[int, float] | None,
    top: int,
    shortlist: int = SHORTLIST,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """Score the scans of a library that are likely to have one of the best `top` regions.

    Parameters
    ----------
    library, query, encoder, weights, shortlist, progress
        As of `search_library`.
    entries : mapping of str to LibraryEntry
        Scans to search, by hash.
    top : int
    """
    rows = library.basis.of_query(query, library.manifest.channels, weights)
    found, cells = Candidates(), 0
    for coarse, floor in _index_answers(library.vectors, rows, shortlist, entries):
        found.coarse |= coarse
        waiting = sorted(set(coarse) - set(found.best) - set(found.skipped), key=lambda scan: -coarse[scan])
        for scan in waiting:
            done = len(found.best) + len(found.skipped)
            is_due = done >= shortlist and done % EVERY == 0
            if (done >= shortlist and cells > MOST_CELLS) or (is_due and not found.reaches(coarse[scan], top)):
                return found
            if done >= shortlist and not library.has_maps(entries[scan]):
                continue  # of an earlier version: computing its features again would take minutes
            if progress:
                progress(done, len(coarse))
            try:
                maps = library.maps(entries[scan], encoder)
                found.best[scan] = float(maps.scores(query, weights).max())
            except CoralBayError as error:
                found.skipped[scan] = str(error)
                continue
            cells += len(maps)
        if not found.reaches(floor, top):
            break
    if progress:
        progress(len(found.coarse), len(found.coarse))
    return found


def _index_answers(
    vectors: Vectors, rows: NDArray[np.float32], wanted: int, entries: Mapping[str, LibraryEntry]
) -> Iterator[tuple[dict[str, float], float]]:
    """Highest scores of scans in the index, and the highest that any other scan can have; more scans each time."""
    count, total = max(FIRST_HITS, 20 * len(entries)), len(vectors)
    while True:
        coarse: dict[str, float] = {}
        floor = -np.inf
        for row in rows:
            best, last = vectors.best_scans(np.ascontiguousarray(row), count)
            floor = max(floor, last)
            for scan in best.keys() & entries.keys():
                coarse[scan] = max(coarse.get(scan, -np.inf), best[scan])
        if len(coarse) >= min(wanted, len(entries)) or count >= min(MOST_HITS, total):
            yield coarse, floor
        if len(coarse) == len(entries) or count >= min(MOST_HITS, total):
            return
        count *= 5
