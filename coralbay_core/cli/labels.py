"""Label maps as input of commands: labels by name, and maps in which 0 means background."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume
from .output import note

if TYPE_CHECKING:
    from ..features import FeatureMaps
    from ..probe.examples import Examples

_NAMED_BACKGROUND = ("background", "rest", "other", "others", "outside", "none", "body")
_MOSTLY = 0.5
_SOLID = 0.3
_REST_CELLS = 4000
_LISTED = 20


def value_of(labels: LabelVolume, wanted: str, where: str = "--label") -> int:
    """Value of a label that is given by its value or its name.

    Parameters
    ----------
    labels : LabelVolume
    wanted : str
        A whole number, or a name without regard to case, spaces and underscores.
    where : str
        Option that it comes from.
    """
    try:
        return int(wanted)
    except ValueError:
        pass
    names = _names_of(labels)
    found = [value for value, name in names.items() if _plain(name) == _plain(wanted)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(list(names.values())[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    raise InputError(
        "no such label" if not found else "several labels have this name",
        where=where,
        found=wanted,
        expected=f"a value, or one of {listed}" if names else "a value: no file beside the label map names its labels",
    )


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def _names_of(labels: LabelVolume) -> dict[int, str]:
    """Names beside the map, else those of a ``labels.json`` in its folder."""
    from ..io.label_tables import find_table

    if labels.names or labels.path is None:
        return labels.names
    return find_table(labels.path.with_name("labels.nii.gz")).names


def only(labels: LabelVolume, wanted: Sequence[str]) -> LabelVolume:
    """Label map with some of its labels; all others become 0."""
    values = [value_of(labels, text) for text in wanted]
    absent = [
        text for text, value in zip(wanted, values, strict=True) if value == 0 or not (labels.data == value).any()
    ]
    if absent:
        raise InputError("label does not occur", where=labels.path or labels.name, found=", ".join(absent))
    data = np.where(np.isin(labels.data, values), labels.data, labels.data.dtype.type(0))
    names = {value: name for value, name in _names_of(labels).items() if value in values}
    return replace(labels, data=data, names=names)


def note_background(labels: LabelVolume, features: "FeatureMaps") -> None:
    """Note a label map that looks like a segmentation in which 0 is not unlabeled but background."""
    if any(_plain(name) in _NAMED_BACKGROUND for name in labels.names.values()):
        return
    share = float((_at_cells(labels, features)[1] == 0).mean())
    if share > _MOSTLY and _solidity(labels.data) > _SOLID:
        note(
            f"{labels.name}: 0 covers {share:.0%} of the body and counts as unlabeled, so one of the labels goes to "
            "every place; if 0 means background, add --background rest"
        )


def examples_with_rest(
    features: "FeatureMaps", labels: LabelVolume, strides: Collection[int] | None, seed: int
) -> "Examples":
    """Examples of a label map in which 0 means background: the rest of the body is class 0."""
    from ..probe import gather

    cells, values = _at_cells(labels, features)
    free = cells[values == 0]
    chosen = np.random.default_rng(seed).permutation(len(free))[:_REST_CELLS]
    largest = int(labels.data.max(initial=0)) + 1
    data = labels.data.astype(np.promote_types(labels.data.dtype, np.min_scalar_type(largest)))
    data[tuple(free[chosen].T)] = largest
    found = gather(features, replace(labels, data=data), strides=strides, seed=seed)
    values = np.where(found.values == largest, 0, found.values)
    return replace(found, values=values, outside=0, names={0: "background", **found.names})


def _at_cells(labels: LabelVolume, features: "FeatureMaps") -> tuple[NDArray[np.intp], NDArray[np.integer]]:
    """Index (N, 3) and label of the voxel at each cell of the body that lies inside the label map."""
    body = features.body_at(features.strides[0])
    position_mm = features.finest.grid.cell_positions(body)
    position_mm = position_mm[labels.grid.contains(position_mm)]
    index = labels.grid.nearest_index(position_mm)
    return index, labels.data[tuple(index.T)]


def _solidity(data: NDArray[np.integer]) -> float:
    """Share of the labeled voxels whose six neighbors have the same label: high for organs, about 0 for strokes."""
    painted = [np.flatnonzero(data.any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
    if not all(len(ends) for ends in painted):
        return 0.0
    part = data[tuple(slice(int(ends[0]), int(ends[-1]) + 1) for ends in painted)]
    inner = part != 0
    count = int(inner.sum())
    for axis in range(3):
        same = np.diff(part, axis=axis) == 0
        first, last = (np.moveaxis(inner, axis, 0)[end] for end in (0, -1))
        first[...] = last[...] = False
        moved, equal = np.moveaxis(inner, axis, 0), np.moveaxis(same, axis, 0)
        moved[:-1] &= equal
        moved[1:] &= equal
    return float(inner.sum()) / count
