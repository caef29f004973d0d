"""Adding scans to a library, searching it, and thumbnails of its hits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import Volume

from ..jobs import JobContext
from ..model.thumbnails import thumbnail
from .encoders import Encoders

if TYPE_CHECKING:
    from coralbay_core.library import Library
    from coralbay_core.library.search import Hit
    from coralbay_core.similarity import Query
from ..model.library_hit import LibraryHit


def encoder_for(encoders: Encoders, model: str, library: "Library") -> Any:
    """Return the encoder of a model; raise an error if the library was made with another one."""
    encoder = encoders.get(model)
    library.require_model(encoder)
    return encoder


def add(
    library: "Library",
    path: Path,
    series: str | None,
    encoders: Encoders,
    model: str,
    names: bool,
    context: JobContext,
) -> Any:
    """Add a scan to a library, with names and paths of its scans if the user wants that."""
    return library.add(path, encoders.get(model), series=series, progress=context.progress, store_names=names)


def search(
    library: "Library",
    query: "Query",
    encoder: Callable[[], Any],
    exclude: Volume | None,
    settings: dict[str, Any],
    show: Callable[[tuple[LibraryHit, ...]], Any],
    context: JobContext,
) -> tuple[LibraryHit, ...]:
    """Search a library: post the hits first, then return them with thumbnails."""
    from coralbay_core.extraction.cache import content_digest
    from coralbay_core.library import search_library

    own = None if exclude is None else content_digest(exclude)
    hits = search_library(library, query, encoder, exclude=own, progress=context.progress, **settings).hits
    found = [
        LibraryHit(hit.scan.name, hit.scan.path, hit.position_mm, hit.score, hit.size_ml, series=hit.scan.series)
        for hit in hits
    ]
    context.post(show, tuple(found))
    pictures = thumbnails(library, hits, context)
    return tuple(replace(row, thumbnail=picture) for row, picture in zip(found, pictures, strict=True))


def thumbnails(library: "Library", hits: "tuple[Hit, ...]", context: JobContext) -> list[NDArray[np.uint8] | None]:
    """Create a picture per hit; each scan is read once, and one is in memory at a time."""
    made: list[NDArray[np.uint8] | None] = [None] * len(hits)
    for entry in {hit.scan.scan: hit.scan for hit in hits}.values():
        if context.cancelled():
            break
        try:
            volume = library.open(entry)
        except CoralBayError:  # gone, or another scan now
            continue
        for number, hit in enumerate(hits):
            if hit.scan.scan == entry.scan:
                made[number] = thumbnail(volume, hit.position_mm)
    return made
