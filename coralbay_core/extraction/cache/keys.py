"""Keys of entries: hashes of everything that the features depend on, without the identity of the patient."""

import hashlib
import json
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from ...spatial import LabelVolume, Volume
from ..tiling import CELL, CHUNK

if TYPE_CHECKING:
    from ...models.encoder import Encoder

SCHEMA = 2
"""Raise it when extraction or the files change, so that older entries are not found."""

_lock = threading.Lock()
_known: "WeakKeyDictionary[Volume | LabelVolume, str]" = WeakKeyDictionary()


def content_digest(volume: Volume | LabelVolume) -> str:
    """Hash of voxels and affine, slice by slice: a copy of the volume could be too much.

    It does not depend on the order and direction of the axes: features do not, either. Of voxels that cannot be written
    to it is computed once.
    """
    if volume.data.flags.writeable:
        return _digest(volume)
    with _lock:  # of two threads that ask for the same hash, the second waits
        if volume not in _known:
            _known[volume] = _digest(volume)
        return _known[volume]


def _digest(volume: Volume | LabelVolume) -> str:
    digest = hashlib.blake2b(digest_size=16)
    turned = volume.grid.orientation
    for plane in turned.from_file(volume.data):
        digest.update(np.ascontiguousarray(plane).data)
    digest.update(f"{volume.data.dtype} {turned.grid.shape}".encode())
    digest.update(np.round(turned.grid.affine, 4).tobytes())
    return digest.hexdigest()


def signature(volume: Volume, encoder: "Encoder") -> dict[str, object]:
    """Collect all that features depend on: content of the scan, weights, preprocessing, lattice and schema."""
    return {
        "schema": SCHEMA,
        "content": content_digest(volume),
        "fingerprint": encoder.fingerprint,
        "precision": str(encoder.precision).removeprefix("torch."),
        "preprocessing": json.loads(json.dumps(asdict(encoder.preprocessing))),
        "lattice": {**asdict(encoder.tiling), "cell": CELL, "chunk": CHUNK},
    }


def key_of(signature: dict[str, object]) -> str:
    """Compute the name of the entry of a signature."""
    text = json.dumps(signature, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
