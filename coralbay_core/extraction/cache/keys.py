"""Keys of entries: hashes of everything that the features depend on, without the identity of the patient."""

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ...spatial import LabelVolume, Volume
from ..tiling import CELL, CHUNK

if TYPE_CHECKING:
    from ...models.encoder import Encoder

SCHEMA = 2
"""Raise it when extraction or the files change, so that older entries are not found."""


def content_digest(volume: Volume | LabelVolume) -> str:
    """Hash of voxels and affine, slice by slice: a copy of the volume could be too much.

    It does not depend on the order and direction of the axes: features do not, either.
    """
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
