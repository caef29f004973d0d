"""Labeled scans; all methods are evaluated on one lattice of voxels that is independent of the methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io import load_labels, load_volume
from ..phantom import make_phantom
from ..spatial import Grid, Volume
from ..spatial.body_mask import body_mask
from .layouts import CaseFiles
from .names import WHOLES, canonical, is_lesion, shared

LATTICE_MM = 3.0
SMALLEST_VOXELS = 30
PHANTOM_SPACING_MM = 3.0
# Of the phantom's ninety structures those that people click on: large and small, soft and hard, left and right.
PHANTOM_STRUCTURES = (
    "adrenal_gland_left", "adrenal_gland_right", "aorta", "autochthon_left", "colon", "esophagus", "gallbladder",
    "heart_myocardium", "heart_ventricle_left", "iliopsoas_right", "inferior_vena_cava", "kidney_left", "kidney_right",
    "liver", "lung_lower_lobe_left", "lung_middle_lobe_right", "lung_upper_lobe_right", "pancreas", "pulmonary_artery",
    "rib_left", "small_bowel", "spinal_cord", "spleen", "sternum", "stomach", "trachea", "vertebrae_L2", "vertebrae_T8",
)  # fmt: skip

T = TypeVar("T")
Domain = Literal["real", "phantom"]


@dataclass(frozen=True, eq=False)
class Case:
    """A labeled scan.

    Parameters
    ----------
    name : str
    volume : Volume
    lattice : Grid
        Every so many voxels of the scan that they are about 3 mm apart: at 1.5 mm, every second one in each direction.
    hu : (z, y, x) array
        On the lattice.
    body : (z, y, x) bool array
    labels : (z, y, x) int array
    values : dict of str to tuple of int
        Values of each structure in `labels`, by canonical name.
    domain : str
        ``real`` or ``phantom``.
    landmarks : mapping of str to (3,) array
        World mm of points that correspond between cases.
    lesions : tuple of str
        Labels that were left out.
    draws_by : str, optional
        Name from which random choices are drawn, so that another `name` does not change results. No report has it.
    """

    name: str
    volume: Volume
    lattice: Grid
    hu: NDArray
    body: NDArray[np.bool_]
    labels: NDArray[np.integer]
    values: dict[str, tuple[int, ...]]
    domain: Domain = "real"
    landmarks: Mapping[str, NDArray] = field(default_factory=dict)
    lesions: tuple[str, ...] = ()
    draws_by: str = ""
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def keep(self, key: str, make: Callable[[], T]) -> T:
        """Return the result of `make`, computed once, so that all methods are evaluated on the same."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Voxels of the lattice inside the body that belong to a structure, or to its parts."""
        parts = [name] if name in self.values else [part for part in WHOLES.get(name, ()) if part in self.values]
        wanted = [value for part in parts for value in self.values[part]]
        return np.isin(self.labels, wanted) & self.body

    @cached_property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures that are large enough to evaluate, sorted."""
        return tuple(sorted(name for name in self.values if self.mask(name).sum() >= SMALLEST_VOXELS))

    def shared_with(self, other: "Case") -> list[str]:
        """Structures to compare with another scan."""
        return shared(self.structures, other.structures)

    def clicks(self, name: str, count: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw clicks in a structure: its deepest point, then seeded points deep inside, world mm, (count, 3)."""
        mask = self.mask(name)
        index, depth = interior(mask, self.lattice.spacing_mm)
        order = np.argsort(-depth, kind="stable")
        inner = index[order[: max(1, (len(order) + 1) // 2)]]
        drawn = self.rng(name, seed).choice(len(inner), count - 1, replace=count - 1 > len(inner))
        return self.lattice.to_world(np.concatenate([inner[:1], inner[drawn]]))

    def rng(self, part: str, seed: int = 0) -> np.random.Generator:
        """Random generator of one part of an evaluation, independent of the order of parts."""
        return np.random.default_rng([seed, crc32((self.draws_by or self.name).encode()), crc32(part.encode())])


def interior(mask: NDArray[np.bool_], spacing_mm: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return indices (N, 3) of a mask and their depths in mm; the edge of the image is an edge of the mask."""
    from scipy import ndimage

    index = np.argwhere(mask)
    low, high = index.min(0), index.max(0) + 1
    part = np.pad(mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], 1)
    depth = ndimage.distance_transform_edt(part, sampling=spacing_mm)
    return index, depth[tuple((index - low + 1).T)]


def lattice_of(grid: Grid) -> tuple[Grid, tuple[slice, ...]]:
    """Subsample a grid to about 3 mm: the lattice, and the slices that select it from an array."""
    return grid.subsample(LATTICE_MM)


def make_case(
    name: str,
    volume: Volume,
    labels: NDArray[np.integer],
    names: Mapping[int, str],
    *,
    domain: Domain = "real",
    landmarks: Mapping[str, NDArray] | None = None,
) -> Case:
    """Make a case from arrays on the volume's grid; lesions are left out, synonyms become one name."""
    lattice, taken = lattice_of(volume.grid)
    values: dict[str, tuple[int, ...]] = {}
    for value, spoken in sorted(names.items()):
        if not is_lesion(spoken):
            values[canonical(spoken)] = (*values.get(canonical(spoken), ()), value)
    return Case(
        name,
        volume,
        lattice,
        np.ascontiguousarray(volume.data[taken]),
        np.ascontiguousarray(body_mask(volume.data, volume.grid.spacing_mm)[taken]),
        np.ascontiguousarray(labels[taken]),
        values,
        domain,
        landmarks or {},
        tuple(spoken for spoken in names.values() if is_lesion(spoken)),
    )


def load_case(files: CaseFiles) -> Case:
    """Read a case; if several label maps label a voxel, the last one counts."""
    volume = load_volume(files.ct)
    merged = np.zeros(volume.shape, np.uint16)
    names: dict[int, str] = {}
    for path, named in files.labels.items():
        labels = load_labels(path, like=volume).data
        for value, name in named.items():
            number = len(names) + 1
            names[number] = name
            merged[labels == value] = number
    if not names:
        raise InputError("no named labels", where=files.ct.parent, expected="a name for each value")
    return make_case(files.name, volume, merged, names)


def phantom_case(seed: int) -> Case:
    """Make a case of a synthetic torso with landmarks."""
    phantom = make_phantom(seed, PHANTOM_SPACING_MM)
    return make_case(
        phantom.volume.name,
        phantom.volume,
        phantom.labels.data,
        {value: name for value, name in phantom.labels.names.items() if name in PHANTOM_STRUCTURES},
        domain="phantom",
        landmarks=phantom.landmarks,
    )
