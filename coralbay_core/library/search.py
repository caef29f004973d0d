"""Two-stage search of a library: candidates from the index, then heat maps of these scans.

The index holds one compact vector per 12 mm and gives the order of the scans; the listed regions come from the heat
maps of the scans at 8 bits (`scan_maps`), which need no features. Heat maps are computed until no other scan is likely
to have a region among the best (`candidates`). Where the same place is asked for, the best few scans are aligned with
that of the places.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from ..errors import CoralBayError
from ..features import FeatureMaps
from ..matching import SimilarityRequest, answer
from ..models.encoder import Encoder
from ..similarity import Query
from .candidates import SHORTLIST, score_candidates
from .library import Library
from .manifest import LibraryEntry

ALIGNED_SCANS = 3
"""Scans that are aligned with that of the clicks where the same place is asked for: seconds each."""


@dataclass(frozen=True)
class Hit:
    """A region of a scan of the library.

    Parameters
    ----------
    scan : LibraryEntry
    position_mm : tuple of float
        World mm of that scan.
    score : float
        Score in the heat map.
    size_ml : float
    coarse : float
        Highest score of the scan in the index.
    note : str
        How sure the alignment is that the region is near, or why there is none; empty where none was asked for.
    is_aligned : bool
        Whether the region was searched near the aligned place.
    """

    scan: LibraryEntry
    position_mm: tuple[float, float, float]
    score: float
    size_ml: float
    coarse: float
    note: str = ""
    is_aligned: bool = False


@dataclass(frozen=True, eq=False)
class Places:
    """Clicks whose place is looked for in the scans of a library.

    Parameters
    ----------
    source : FeatureMaps
        Of the scan that was clicked.
    positive_mm, negative_mm : (N, 3) arrays
        World mm of that scan.
    """

    source: FeatureMaps
    positive_mm: ArrayLike
    negative_mm: ArrayLike = ()


@dataclass(frozen=True)
class SearchReport:
    """Regions, best first, and the scans that were searched.

    Parameters
    ----------
    hits : tuple of Hit
    coarse : dict of str to float
        Highest score in the index of each scan that came up, by hash.
    searched : tuple of LibraryEntry
        Scans whose heat maps were computed, the best first.
    skipped : dict of str to str
        Name and reason of the scans that could not be.
    """

    hits: tuple[Hit, ...]
    coarse: dict[str, float]
    searched: tuple[LibraryEntry, ...]
    skipped: dict[str, str]


def search_library(
    library: Library,
    query: Query,
    encoder: Callable[[], Encoder],
    *,
    top: int = 10,
    regions: int = 3,
    shortlist: int = SHORTLIST,
    weights: Mapping[int, float] | None = None,
    exclude: str | None = None,
    places: Places | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SearchReport:
    """Find regions in the scans of a library that are similar to a query.

    Parameters
    ----------
    library : Library
    query : Query
        Query of the library's encoder.
    encoder : callable
        Gives it; called only where features must be computed again.
    top : int
        Regions to list.
    regions : int
        Maximum number of regions per scan.
    shortlist : int
        Least number of scans whose heat maps are computed, if there are so many.
    weights : mapping of int to float, optional
        Weights of the strides.
    exclude : str, optional
        Hash of a scan to leave out: the one that was clicked.
    places : Places, optional
        Clicks that the query was made of. The best `ALIGNED_SCANS` scans are searched again near where the clicks align
        in them, as with the scope ``place`` of a `SimilarityRequest`; hits in scans that were aligned come first.
    progress : callable, optional
        Scans done and in all.
    """
    known = library.manifest
    if known.fingerprint != query.fingerprint:
        raise CoralBayError(
            "query and library were made with different models", found=query.model, expected=known.model
        )
    weights = weights if weights is not None else query.weights
    entries = {entry.scan: entry for entry in known.scans if entry.scan != exclude}
    # Scans whose place is looked for are more than may be listed in the end.
    wanted = top if places is None else max(top, ALIGNED_SCANS)
    scored = score_candidates(
        library, query, encoder, entries, weights=weights, top=wanted, shortlist=shortlist, progress=progress
    )
    hits: list[Hit] = []
    gone: dict[str, str] = {}
    for scan in scored.ranked:
        if len({hit.scan.scan for hit in hits}) == wanted:
            break
        try:
            library.require_scan(entries[scan])
            maps = library.maps(entries[scan], encoder)
        except CoralBayError as error:
            gone[scan] = str(error)
            continue
        found = maps.regions(maps.scores(query, weights), regions)
        hits += [Hit(entries[scan], r.position_mm, r.score, r.size_ml, scored.coarse[scan]) for r in found]
    hits.sort(key=lambda hit: -hit.score)
    if places is not None:
        hits = _near(places, hits, library, encoder, weights, regions)
    searched = tuple(entries[scan] for scan in scored.ranked if scan not in gone)
    skipped = {entries[scan].name: reason for scan, reason in (scored.skipped | gone).items()}
    return SearchReport(tuple(hits[:top]), scored.coarse, searched, skipped)


def _near(
    places: Places,
    hits: list[Hit],
    library: Library,
    encoder: Callable[[], Encoder],
    weights: Mapping[int, float] | None,
    regions: int,
) -> list[Hit]:
    """Search the scans of the best hits again, near where the places align in them; those come first."""
    first = list(dict.fromkeys(hit.scan.scan for hit in hits))[:ALIGNED_SCANS]
    made = []
    for scan in first:
        entry, coarse = next((hit.scan, hit.coarse) for hit in hits if hit.scan.scan == scan)
        try:
            target = library.features(entry, encoder)
        except CoralBayError as error:
            made += [replace(hit, note=str(error)) for hit in hits if hit.scan.scan == scan]
            continue
        request = SimilarityRequest(
            target=target,
            source=places.source,
            positive_mm=places.positive_mm,
            negative_mm=places.negative_mm,
            weights=weights,
            top=regions,
            scope="place",
        )
        found = answer(request)
        made += [
            Hit(entry, r.position_mm, r.score, r.size_ml, coarse, found.note, found.is_aligned) for r in found.regions
        ]
    return sorted(
        [*made, *(hit for hit in hits if hit.scan.scan not in first)], key=lambda h: (not h.is_aligned, -h.score)
    )
