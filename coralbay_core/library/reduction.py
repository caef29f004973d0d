"""Compact descriptors: a few dozen numbers per cell whose inner products approximate the mixed cosines.

The basis is fitted without centering, on the cells of the first scans of a library. This preserves inner products as
well as possible for the number of dimensions (Eckart and Young 1936).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..similarity import Query
from ..similarity.stage_weights import resolve_weights
from ..util.tensor_file import read_tensors, write_tensors

DIMENSIONS = 64
SAMPLE = 40_000
_KIND, _VERSION = "basis", 1


@dataclass(frozen=True, eq=False)
class Compact:
    """A basis of compact descriptors.

    Parameters
    ----------
    axes : (D, d) float32 array
        Orthonormal columns.
    energy_share : float
        Share of the squared length of the vectors that it was fitted on.
    """

    axes: NDArray[np.float32]
    energy_share: float

    def compact(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compact form (N, d) of rows (N, D)."""
        return (rows @ self.axes).astype(np.float32)

    def of_query(
        self, query: Query, features_channels: Mapping[int, int], weights: Mapping[int, float] | None
    ) -> NDArray[np.float32]:
        """Compact form (N, d) of a query's positive prototypes; products with cells approximate the mixed cosines.

        Rows of cells hold each stage times the root of an equal weight; what is missing to the wanted weight is on this
        side.
        """
        strides = sorted(features_channels)
        if set(query.strides) < set(strides):
            raise InputError("query lacks stages of the library", found=query.strides, expected=strides)
        common = replace(query, positive={s: query.positive[s] for s in strides})
        shares = resolve_weights(weights, common, common)  # type: ignore[arg-type]
        root = np.sqrt(1 / len(strides))
        rows = [query.positive[s] * np.float32(shares.get(s, 0.0) / root) for s in strides]
        return self.compact(np.concatenate(rows, 1))

    def save(self, path: Path) -> Path:
        """Write the basis to a file, atomically."""
        return write_tensors(path, _KIND, _VERSION, {"axes": self.axes}, {"kept": self.energy_share})


def fit_compact(tokens: Sequence[NDArray[np.float32]], dimensions: int = DIMENSIONS, *, seed: int = 0) -> Compact:
    """Fit a basis to rows of one or several scans, the same number of each if available."""
    rng = np.random.default_rng(seed)
    share = max(1, SAMPLE // len(tokens))
    rows = np.concatenate([t[rng.permutation(len(t))[:share]] for t in tokens]).astype(np.float64)
    energy, axes = np.linalg.eigh(rows.T @ rows)
    leading = axes[:, ::-1][:, : min(dimensions, axes.shape[1])]
    share_kept = float(energy[::-1][: leading.shape[1]].sum() / energy.sum())
    return Compact(np.ascontiguousarray(leading, np.float32), share_kept)


def load_compact(path: Path) -> Compact:
    """Load a basis written by `Compact.save`."""
    arrays, about = read_tensors(path, _KIND, _VERSION)
    axes, kept = arrays.get("axes"), about.get("kept", 0.0)
    if axes is None or axes.ndim != 2 or axes.dtype != np.float32 or not isinstance(kept, float):
        raise InputError("damaged basis", where=path, hint="create the library again")
    return Compact(axes, kept)


def channels_of(features: FeatureMaps) -> dict[int, int]:
    """Channels of each stride."""
    return features.channels
