"""Distillation of another encoder: its features of a training store, reduced, for the term ``relations``.

The encoder sees each volume whole and once. At a sample of the body's cells its stages are compared as a heat map
compares them: channels standardized over the body, unit vectors, a weighted mean of cosines over the stages. That mean
is the inner product of one long vector per cell, of which the leading principal directions over all volumes are kept.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingFileError
from ..features.feature_maps import cell_share
from ..util.tensor_file import read_tensors, write_tensors
from .label_free_descriptors import STRIDE

_KIND, _VERSION = "distilled vectors", 1
CELLS = 16_000
COMPONENTS = 160


@dataclass(frozen=True, eq=False)
class DistilledVectors:
    """Reduced features of a sample of a volume's cells.

    Attributes
    ----------
    cells : (N, 3) int32 array
        Index (z, y, x) of cells of 4 voxels.
    vectors : (N, K) float16 array
        Their inner products are mean cosines of the encoder, up to what the reduction loses.
    """

    cells: NDArray[np.int32]
    vectors: NDArray[np.float16]

    def save(self, path: Path) -> Path:
        """Write a file, whole or not at all."""
        return write_tensors(path, _KIND, _VERSION, {"cells": self.cells, "vectors": self.vectors}, {})

    @classmethod
    def load(cls, path: Path) -> "DistilledVectors":
        """Read a file that `save` wrote.

        Raises
        ------
        MissingFileError, InputError
        """
        hint = "write it with coralbay prepare-distillation"
        if not path.is_file():
            raise MissingFileError("no distilled vectors of this volume", where=path, hint=hint)
        arrays, _ = read_tensors(path, _KIND, _VERSION, hint=hint)
        if set(arrays) != {"cells", "vectors"} or arrays["cells"].shape != (len(arrays["vectors"]), 3):
            shapes = {name: array.shape for name, array in arrays.items()}
            raise InputError("distilled vectors do not fit their cells", where=path, found=shapes, hint=hint)
        return cls(arrays["cells"].astype(np.int32), arrays["vectors"].astype(np.float16))


def joint_vectors(rows: Mapping[int, NDArray], weights: Mapping[int, float]) -> NDArray[np.float32]:
    """Vectors whose inner product is the weighted mean of the cosines of all stages.

    Parameters
    ----------
    rows : mapping of int to (N, C) array
        By stride, the features of cells of one body: channels are standardized over them.
    weights : mapping of int to float
        Weights of the strides.

    Returns
    -------
    (N, sum of C) float32 array
    """
    total = sum(weights.values())
    parts = []
    for stride, weight in sorted(weights.items()):
        standard = (rows[stride] - rows[stride].mean(0)) / (rows[stride].std(0) + 1e-6)
        norms = np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-6)
        parts.append(np.float32(np.sqrt(weight / total)) * standard / norms)
    return np.concatenate(parts, 1).astype(np.float32)


def principal_directions(second_moment: NDArray, components: int) -> tuple[NDArray[np.float32], float]:
    """Leading eigenvectors (C, K) of a matrix of second moments (C, C), and the share of the squares they keep."""
    values, directions = np.linalg.eigh(second_moment)
    order = np.argsort(values)[::-1][:components]
    return directions[:, order].astype(np.float32), float(values[order].sum() / values.sum())


def sample_cells(body: NDArray[np.bool_], key: str, count: int = CELLS) -> NDArray[np.int32]:
    """Draw cells of 4 voxels that are at least half body; the same ones for each key."""
    share = cell_share(body, STRIDE)
    cells = np.argwhere(share >= min(0.5, float(share.max()))).astype(np.int32)
    if len(cells) <= count:
        return cells
    seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return cells[np.sort(np.random.default_rng(seed).choice(len(cells), count, replace=False))]
