"""Queries: a few unit vectors per stage, which can be saved and searched for in any scan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.descriptors import describe_points
from ..spatial.volume import as_positions
from ..util.arguments import checked
from ..util.tensor_file import read_tensors, write_tensors

Reduction = Literal["max", "mean", "medoid", "kmeans"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
PROTOTYPES = 4
SUFFIX = ".query"
_KIND, _VERSION = "query", 1
_MAX_PROTOTYPES = 4096
_SIDES = ("positive", "negative")


@dataclass(frozen=True, eq=False)
class Query:
    """Positive and negative prototypes to search for.

    Parameters
    ----------
    positive, negative : dict of int to (N, C) float32 array
        Unit vectors by stride; a prototype has one row per stride.
    model, fingerprint : str
        Of the encoder: a query fits its features only.
    name : str
    weights : dict of int to float, optional
        Of the strides, if the query defines them.
    notice : str
        License notice to show to users; empty for unrestricted weights.
    about : dict
        Origin: see `provenance`.
    """

    positive: dict[int, NDArray[np.float32]]
    negative: dict[int, NDArray[np.float32]]
    model: str
    fingerprint: str
    name: str = ""
    weights: dict[int, float] | None = None
    notice: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the prototypes, from fine to coarse."""
        return tuple(sorted(self.positive))

    @property
    def size(self) -> int:
        """Number of positive prototypes."""
        return len(next(iter(self.positive.values())))

    @property
    def has_negative(self) -> bool:
        """Whether there are negative prototypes."""
        return bool(len(next(iter(self.negative.values()), ())))

    def require_fit(self, features: FeatureMaps) -> None:
        """Raise unless features come from the encoder that the query was made with."""
        if features.fingerprint != self.fingerprint:
            raise InputError(
                "query was made with another model",
                where=self.name or None,
                found=features.model,
                expected=f"{self.model} ({self.fingerprint[:12]})",
                hint=f"use --model {self.model}, or click anew",
            )

    def save(self, path: str | Path) -> Path:
        """Write a file, whole or not at all."""
        path = require_name(Path(path))
        arrays = {f"{side}.{s}": rows for side in _SIDES for s, rows in getattr(self, side).items()}
        about = {key: getattr(self, key) for key in ("model", "fingerprint", "notice", "about")}
        weights = None if self.weights is None else {str(s): w for s, w in self.weights.items()}
        return write_tensors(
            path, _KIND, _VERSION, arrays, about | {"name": self.name or path.stem, "weights": weights}
        )


@checked
def make_query(
    features: FeatureMaps,
    positive: ArrayLike,
    negative: ArrayLike = (),
    *,
    reduction: Reduction = "max",
    prototypes: int = PROTOTYPES,
    name: str = "",
    seed: int = 0,
) -> Query:
    """Make a query from places of a scan.

    Parameters
    ----------
    features : FeatureMaps
        Of the scan in which the places lie.
    positive, negative : (N, 3) arrays
        World mm: clicks, or the points of strokes and regions (`stroke_points`, `label_points`, `box_points`).
    reduction : str
        Summary of the positive places, and of the negative ones if they are more than `prototypes`: each one a
        prototype (``max``, by the maximum of their cosines), their ``mean``, the one most similar to the
        others (``medoid``), or the means of a few clusters (``kmeans``).
    prototypes : int
        Number of clusters.
    name : str
    seed : int
        Of the clusters.
    """
    if reduction not in REDUCTIONS:
        raise InputError("unknown reduction", found=reduction, expected=f"one of {', '.join(REDUCTIONS)}")
    places = {side: _places(p) for side, p in zip(_SIDES, (positive, negative), strict=True)}
    if not len(places["positive"]):
        raise InputError("no positive point", expected="at least one")
    features.grid.require_inside(np.concatenate(list(places.values())), where="query point")
    sides = {side: {s: describe_points(features, p, s) for s in features.strides} for side, p in places.items()}
    kept = {side: _reduced(vectors, reduction, prototypes, seed) for side, vectors in sides.items()}
    if len(places["negative"]) <= prototypes:
        kept["negative"] = sides["negative"]
    return Query(kept["positive"], kept["negative"], features.model, features.fingerprint, name, notice=features.notice)


def _places(position_mm: ArrayLike) -> NDArray[np.float64]:
    return np.zeros((0, 3)) if np.size(position_mm) == 0 else as_positions(position_mm, "query point")


Vectors = dict[int, NDArray[np.float32]]


def _reduced(vectors: Vectors, reduction: Reduction, prototypes: int, seed: int) -> Vectors:
    count = len(next(iter(vectors.values())))
    if reduction == "max" or count <= 1:
        return vectors
    if reduction == "mean":
        return _means(vectors, np.zeros(count, int))
    joint = np.concatenate([vectors[s] for s in sorted(vectors)], 1)
    if reduction == "medoid":
        chosen = int((joint @ joint.mean(0)).argmax())
        return {s: rows[chosen : chosen + 1] for s, rows in vectors.items()}
    return vectors if count <= prototypes else _means(vectors, _clusters(joint, prototypes, seed))


def _clusters(joint: NDArray, count: int, seed: int) -> NDArray[np.intp]:
    from sklearn.cluster import KMeans

    # A stage is a unit vector, so no stage decides alone.
    _, members = np.unique(KMeans(count, n_init=4, random_state=seed).fit_predict(joint), return_inverse=True)
    return members


def _means(vectors: Vectors, members: NDArray[np.intp]) -> Vectors:
    """Mean direction of each cluster, one unit vector per stage."""
    means = {s: np.stack([rows[members == m].mean(0) for m in range(members.max() + 1)]) for s, rows in vectors.items()}
    return {s: m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-6) for s, m in means.items()}


@checked
def merge_queries(queries: Sequence[Query], name: str = "") -> Query:
    """Merge queries of one encoder to one that matches whatever matches any of them.

    The result has the strides that all of them have, and their weights if they agree.
    """
    if not queries:
        raise InputError("nothing to merge", expected="at least one query")
    first = queries[0]
    for other in queries[1:]:
        if other.fingerprint != first.fingerprint:
            raise InputError(
                "queries come from different models", where=other.name, found=other.model, expected=first.model
            )
    common = sorted(set.intersection(*(set(query.strides) for query in queries)))
    if not common:
        raise InputError("queries have no stride in common", found=[query.strides for query in queries])
    positive, negative = (
        {s: np.concatenate([getattr(q, side)[s] for q in queries]) for s in common} for side in _SIDES
    )
    agreed = first.weights if all(query.weights == first.weights for query in queries) else None
    return Query(
        positive,
        negative,
        first.model,
        first.fingerprint,
        name or " + ".join(query.name for query in queries),
        agreed if agreed is None or set(agreed) <= set(common) else None,
        first.notice,
        {"merged": [query.about | {"name": query.name} for query in queries]},
    )


def require_name(path: Path) -> Path:
    """Return the path; raise if its name is not one for a query."""
    if path.suffix != SUFFIX:
        raise InputError("not a query name", where=path, expected=f"a name that ends in {SUFFIX}")
    return path


@checked
def load_query(path: str | Path) -> Query:
    """Load a query that `Query.save` wrote; raise for anything else."""
    arrays, about = read_tensors(path, _KIND, _VERSION, hint="write one with `coralbay query ... --save NAME.query`")
    try:
        return query_from(arrays, about)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError("damaged query", where=path, found=str(error)[:120] or type(error).__name__) from error


def query_from(arrays: Mapping[str, NDArray], about: Mapping[str, Any]) -> Query:
    """Make a query from the arrays and the description of a file.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError
        If they are not those of a query.
    """
    weights = about["weights"]
    query = Query(
        _side(arrays, "positive"),
        _side(arrays, "negative"),
        str(about["model"]),
        str(about["fingerprint"]),
        str(about["name"]),
        None if weights is None else {int(s): float(w) for s, w in weights.items()},
        str(about["notice"]),
        dict(about["about"]),
    )
    if not query.positive:
        raise ValueError("no prototypes")
    _require_sound(query)
    return query


def _side(arrays: Mapping[str, NDArray], side: str) -> Vectors:
    found = {int(key.split(".")[1]): rows for key, rows in arrays.items() if key.split(".")[0] == side}
    return dict(sorted(found.items()))


def _require_sound(query: Query) -> None:
    """Raise ValueError unless both sides have the same stages and each prototype a unit vector in each."""
    if set(query.positive) != set(query.negative) or not 1 <= query.size <= _MAX_PROTOTYPES:
        raise ValueError("stages or prototypes are missing")
    for vectors in (query.positive, query.negative):
        if len({len(rows) for rows in vectors.values()}) != 1:
            raise ValueError("prototypes lack stages")
        for stride, rows in vectors.items():
            if rows.ndim != 2 or rows.dtype != np.float32 or rows.shape[1] != query.positive[stride].shape[1]:
                raise ValueError(f"stride {stride} has an unusable shape")
            if len(rows) and abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max() > 1e-2:
                raise ValueError(f"stride {stride} has rows that are no unit vectors")


@checked
def renamed(query: Query, name: str) -> Query:
    """Copy a query under another name."""
    if not name.strip():
        raise InputError("a query needs a name", found=repr(name))
    return replace(query, name=name.strip())
