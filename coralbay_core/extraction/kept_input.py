"""The last input of an extraction, kept from the estimate of its cost until its features are there.

An estimate needs the scan on the model grid, which takes seconds, and so does the extraction that follows it.
"""

import threading
from dataclasses import replace
from weakref import ref

from ..models.encoder import Encoder, Tiling
from ..spatial import Volume
from .extraction_input import ExtractionInput

_lock = threading.Lock()
_kept: tuple["ref[Volume]", float, Tiling, ExtractionInput] | None = None


def extraction_input(volume: Volume, encoder: Encoder) -> ExtractionInput:
    """Make the input of an extraction, or return the kept one.

    Only that of voxels that cannot be written to is kept. Of two threads that ask for the same one, the second waits.
    """
    global _kept
    if volume.data.flags.writeable:
        return ExtractionInput.of(volume, encoder)
    with _lock:
        wanted = encoder.preprocessing.spacing_mm, encoder.tiling
        if _kept is None or _kept[0]() is not volume or _kept[1:3] != wanted:
            _kept = None  # before the next one is made: both would be in memory
            _kept = (ref(volume, _volume_gone), *wanted, ExtractionInput.of(volume, encoder))
        return replace(_kept[3], window_hu=encoder.preprocessing.window_hu)


def forget_input(volume: Volume) -> None:
    """Free the input of a volume: its features are there."""
    global _kept
    kept = _kept
    if kept is not None and kept[0]() is volume:
        _kept = None


def _volume_gone(gone: "ref[Volume]") -> None:
    global _kept
    kept = _kept
    if kept is not None and kept[0] is gone:
        _kept = None
