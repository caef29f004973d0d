"""Feature maps of a scan, each with its grid."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..spatial import Grid

if TYPE_CHECKING:
    from ..models.encoder import Encoder
    from ..similarity import HeatMap
    from .descriptors import JointDescriptors


class LazyArray(Protocol):
    """An array that is read in parts, e.g. from disk."""

    shape: tuple[int, ...]

    def __getitem__(self, part: tuple[slice, ...]) -> NDArray[np.float16]: ...


class FeatureMap:
    """Features of one stage.

    Parameters
    ----------
    stride : int
        In voxels of the model grid.
    data : (C, z, y, x) float16 array, or `LazyArray`
        A stored array is read at the first use of `data`; `sample` reads no more than it needs.
    grid : Grid
        Grid of the cells' centers.
    """

    def __init__(self, stride: int, data: NDArray[np.float16] | LazyArray, grid: Grid):
        self.stride = stride
        self.grid = grid
        self._stored = data
        self._data = data if isinstance(data, np.ndarray) else None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FeatureMap(stride {self.stride}, {' x '.join(map(str, self.shape))})"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, z, y, x)``, without reading the data."""
        return tuple(self._stored.shape)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[0]

    @property
    def size_bytes(self) -> int:
        """Size of the map as float16, read or not."""
        return 2 * int(np.prod(self.shape))

    @property
    def data(self) -> NDArray[np.float16]:
        """The whole array (C, z, y, x); it stays in memory after the first use."""
        with self._lock:
            if self._data is None:
                self._data = np.asarray(self._stored[tuple(slice(None) for _ in self.shape)])
            return self._data

    def sample(self, position_mm: ArrayLike) -> NDArray[np.float32]:
        """Sample features at world positions (N, 3), trilinear and clamped to the outer cells; (N, C) float32."""
        index = self.grid.to_index(np.atleast_2d(np.asarray(position_mm, float)))
        if self._data is not None or not len(index):
            return sample_trilinear(self.data, index)
        last = np.asarray(self.shape[1:]) - 1
        low = np.floor(np.clip(index, 0, last).min(0)).astype(int)
        high = np.minimum(np.floor(np.clip(index, 0, last).max(0)).astype(int) + 2, last + 1)
        part = self._stored[(slice(None), *(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)))]
        return sample_trilinear(part, np.clip(index, 0, last) - low)


def sample_trilinear(data: NDArray, index: NDArray) -> NDArray[np.float32]:
    """Sample (C, z, y, x) at fractional indices (N, 3), trilinear and clamped to the array; (N, C) float32.

    Only the cells around the points are read; a sparse product mixes them.
    """
    from scipy import sparse

    shape = np.asarray(data.shape[1:])
    last = shape - 1
    index = np.clip(index, 0, last)
    low = np.minimum(np.floor(index).astype(int), np.maximum(last - 1, 0))
    fraction = index - low
    corners = np.array(list(product((0, 1), repeat=3)))
    weights = np.where(corners, fraction[:, None], 1 - fraction[:, None]).prod(2)
    cells = np.ravel_multi_index(tuple(np.minimum(low[:, None] + corners, last).T), tuple(shape)).T
    point, corner = np.nonzero(weights)  # a point at the center of a cell needs no other cell
    read, column = np.unique(cells[point, corner], return_inverse=True)
    mixed = sparse.csr_array(
        (weights[point, corner].astype(np.float32), (point, column)), shape=(len(index), len(read))
    )
    return mixed @ np.ascontiguousarray(data.reshape(len(data), -1)[:, read].T, np.float32)


@dataclass(frozen=True)
class EncoderFacts:
    """The facts about an encoder that its feature maps carry, where the encoder itself is not loaded.

    Parameters
    ----------
    name, fingerprint : str
    notice : str
        License notice to show to users; empty for unrestricted weights.
    compact : bool
        Whether the channels are principal coordinates.
    """

    name: str
    fingerprint: str
    notice: str = ""
    compact: bool = False


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of a scan, or of a region of it, at one or several strides.

    Reading and sampling them needs numpy alone, no torch.

    Parameters
    ----------
    stages : dict of int to FeatureMap
        By stride.
    grid : Grid
        The model grid, or the region of it that was computed.
    body : (z, y, x) bool array
        Mask of the patient on `grid`; results outside it mean nothing.
    model : str
        Name of the encoder.
    fingerprint : str
        Of the encoder; features of different fingerprints cannot be compared.
    notice : str
        License notice to show to users; empty for unrestricted weights.
    compact : bool
        Whether the channels are principal coordinates (`models.compact.CompactEncoder`).
    """

    stages: dict[int, FeatureMap]
    grid: Grid
    body: NDArray[np.bool_]
    model: str
    fingerprint: str
    notice: str = ""
    compact: bool = False
    _pooled_body: dict[int, NDArray[np.bool_]] = field(default_factory=dict, init=False, repr=False)
    _parts: "dict[tuple[int, ...], FeatureMaps]" = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        encoder: "Encoder | EncoderFacts",
        arrays: Mapping[int, NDArray[np.float16] | LazyArray],
        grid: Grid,
        body: NDArray[np.bool_],
    ) -> "FeatureMaps":
        """Make feature maps from arrays, with all facts that the encoder states.

        Parameters
        ----------
        encoder : Encoder or EncoderFacts
        arrays : mapping of int to (C, z, y, x) array
            By stride, on `grid` coarsened by it.
        grid, body
            As of the class.
        """
        stages = {stride: FeatureMap(stride, data, grid.coarsen(stride)) for stride, data in arrays.items()}
        return cls(stages, grid, body, encoder.name, encoder.fingerprint, encoder.notice, encoder.compact)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the stages, from fine to coarse."""
        return tuple(sorted(self.stages))

    @property
    def finest(self) -> FeatureMap:
        """The stage with the smallest stride."""
        return self.stages[self.strides[0]]

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels per stride, from fine to coarse."""
        return {stride: self.stages[stride].channels for stride in self.strides}

    @property
    def size_bytes(self) -> int:
        """Size of all maps as float16, read or not."""
        return sum(stage.size_bytes for stage in self.stages.values())

    def stage(self, stride: int) -> FeatureMap:
        """Look up the map of a stage: `.data` (C, z, y, x) float16 and `.grid` (index to RAS+ mm).

        Raises
        ------
        InputError
            If there is no such stage.
        """
        if stride not in self.stages:
            raise InputError("no such stage", found=stride, expected=f"one of {list(self.strides)}")
        return self.stages[stride]

    def select_stages(self, strides: Collection[int]) -> "FeatureMaps":
        """Select some stages; the result is the same object for the same stages, since descriptors are cached with it.

        Raises
        ------
        InputError
            If a stage is missing, or `strides` is empty.
        """
        wanted = tuple(sorted(set(strides)))
        if not wanted:
            raise InputError("no stages", expected=f"some of {list(self.strides)}")
        if wanted == self.strides:
            return self
        if wanted not in self._parts:
            part = replace(self, stages={stride: self.stage(stride) for stride in wanted})
            object.__setattr__(part, "_pooled_body", self._pooled_body)
            self._parts[wanted] = part
        return self._parts[wanted]

    def only(self, strides: Collection[int]) -> "FeatureMaps":
        """Alias of `select_stages`."""
        return self.select_stages(strides)

    def sample(self, points_mm: ArrayLike, strides: Collection[int] | None = None) -> dict[int, NDArray[np.float32]]:
        """Sample raw features at world positions, trilinear.

        Parameters
        ----------
        points_mm : (N, 3) or (3,) array
            RAS+ mm.
        strides : collection of int, optional
            All stages by default.

        Returns
        -------
        dict of stride to (N, C) float32 array

        Raises
        ------
        OutsideVolumeError
            If a point lies outside the region that was computed.
        """
        points = np.atleast_2d(np.asarray(points_mm, float))
        self.grid.require_inside(points)
        return {stride: self.stage(stride).sample(points) for stride in sorted(strides or self.strides)}

    def at(self, points_mm: ArrayLike, strides: Collection[int] | None = None) -> dict[int, NDArray[np.float32]]:
        """Alias of `sample`."""
        return self.sample(points_mm, strides)

    def similar(
        self, points_mm: ArrayLike, negative_mm: ArrayLike = (), *, weights: Mapping[int, float] | None = None
    ) -> "HeatMap":
        """Compute the similarity to points of this scan: shorthand for `similarity.heat_map`.

        Parameters
        ----------
        points_mm, negative_mm : (N, 3) arrays
            RAS+ mm; positive and negative points.
        weights : mapping of int to float, optional
            Weight of each stride; equal by default.

        Returns
        -------
        HeatMap
            `.data` (z, y, x) float32 on `.grid`, that of the finest stage; higher is more similar.
        """
        from ..similarity import heat_map

        return heat_map(self, np.atleast_2d(np.asarray(points_mm, float)), negative_mm, weights=weights)

    def descriptor(self, stride: int | None = None) -> "JointDescriptors":
        """Compute unit vectors of all stages side by side on the cells of one: shorthand for `descriptors.joint_map`.

        Parameters
        ----------
        stride : int, optional
            Stage of the cells; the finest one by default.

        Returns
        -------
        JointDescriptors
            `.tokens` (N, D) of the N cells inside the body, `.grid`, `.index`, `.position_mm`.
        """
        from .descriptors import joint_map

        return joint_map(self, self.strides[0] if stride is None else stride)

    def body_at(self, stride: int) -> NDArray[np.bool_]:
        """Mask of the cells of a stage that are at least half body; of the fullest ones if none is."""
        if stride not in self._pooled_body:
            share = cell_share(self.body, stride)
            self._pooled_body[stride] = share >= min(0.5, share.max())
        return self._pooled_body[stride]

    def require_same_encoder(self, other: "FeatureMaps") -> None:
        """Raise unless both come from the same weights and settings."""
        if self.fingerprint != other.fingerprint:
            raise InputError("features come from different models", found=other.model, expected=self.model)


def cell_share(mask: NDArray[np.bool_], stride: int) -> NDArray[np.float32]:
    """Share of each cell of `stride` voxels that a mask covers; voxels beyond the array count as outside."""
    ends = [(0, -n % stride) for n in mask.shape]
    count = (np.pad(mask, ends) if any(high for _, high in ends) else mask).view(np.uint8)
    # Slowest axis first, in small integers: the mean of numpy would copy the mask as floats.
    for axis, kind in enumerate((np.uint8, np.uint16, np.uint32)):
        shape = (*count.shape[:axis], -1, stride, *count.shape[axis + 1 :])
        count = count.reshape(shape).sum(axis + 1, dtype=kind)
    return count.astype(np.float32) / np.float32(stride**3)
