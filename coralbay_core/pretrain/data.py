"""Crop locations to batches: the items of a run by number, and the processes that read ahead.

An item is a crop location, a point in a volume, with global and local crops around it. Item number i of a run depends
on the seed and on i alone, so a resumed run continues exactly where it stopped, and two processes together compute the
same items as one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..spatial.volume import AIR_HU
from .augment import augment, draw, sample_views
from .batch import Batch, Labels, Pairs, Views
from .blocks import CELL, LabelBlock
from .config import ViewsConfig
from .crops import bounds, crop_sizes, matched_points, random_affine
from .source import VolumeSource

_LOCATIONS, _NOISE, _VOLUMES = 0, 1, 2  # random streams
_TRIES = 20
_TISSUE_SHARE = 0.4


@dataclass(eq=False)
class CropItem:
    """A crop location as it was read: a block of HU, and the parameters of its crops."""

    sample: int
    volume: int
    block: NDArray[np.int16]
    low: NDArray[np.int64]
    affines: tuple[NDArray, NDArray]
    drawn: tuple[NDArray, NDArray]
    noise_seed: int
    pairs: tuple[NDArray, NDArray, NDArray] | None
    labels: dict[str, LabelBlock]


class CropDataset(Dataset):
    """Crop locations of a run, by number.

    Parameters
    ----------
    source : VolumeSource
    config : ViewsConfig
    seed : int
    pairs : int
        Matched points per location.
    targets : sequence of str
        Names of label volumes.
    """

    def __init__(
        self, source: VolumeSource, config: ViewsConfig, seed: int, pairs: int = 0, targets: Sequence[str] = ()
    ):
        self.source, self.config, self.seed, self.pairs, self.targets = source, config, seed, pairs, tuple(targets)
        self.sizes = crop_sizes(config, source.spacing_mm)
        # Larger scans are drawn more often, but not in proportion: small ones hold limbs and heads.
        volume = np.array([np.prod(source.shape(i), dtype=float) for i in range(len(source.names))]) ** 0.5
        self.shares = volume / volume.sum()

    def __getitem__(self, sample: int) -> CropItem:
        rng = np.random.default_rng([self.seed, _LOCATIONS, sample])
        volume = self._volume(rng, sample)
        center = self._center(rng, volume)
        config, sizes = self.config, self.sizes
        spacing = self.source.spacing_mm
        affines, drawn = [], []
        for count, side, zoom, shift in (
            (config.globals, config.global_side, sizes.global_zoom, sizes.shift),
            (config.locals, config.local_side, sizes.local_zoom, sizes.local_shift),
        ):
            made = [random_affine(rng, center, side, zoom, shift, config) for _ in range(count)]
            affines.append(np.array(made).reshape(count, 3, 4))
            drawn.append(np.array([draw(rng, config, zoom, spacing) for _ in range(count)]).reshape(count, 6))
        low, high = self._bounds(affines)
        pairs = None
        if self.pairs:
            pairs = matched_points(rng, affines[0][0], affines[0][1], config.global_side, self.pairs)
        labels = {name: self.source.labels(name, volume, low, high) for name in self.targets}
        return CropItem(
            sample=sample,
            volume=volume,
            block=self.source.read(volume, low, high),
            low=low,
            affines=(affines[0], affines[1]),
            drawn=(drawn[0], drawn[1]),
            noise_seed=int(np.random.default_rng([self.seed, _NOISE, sample]).integers(2**62)),
            pairs=pairs,
            labels=labels,
        )

    def _volume(self, rng: np.random.Generator, sample: int) -> int:
        """Number of the volume of an item; items of one group draw the same volume."""
        together = self.config.places_per_volume
        drawing = rng if together == 1 else np.random.default_rng([self.seed, _VOLUMES, sample // together])
        return int(drawing.choice(len(self.shares), p=self.shares))

    def _center(self, rng: np.random.Generator, volume: int) -> NDArray[np.float64]:
        """Draw a voxel in the body with enough of the body around it."""
        cells = self.source.cells(volume)
        body = np.flatnonzero(cells.ravel())
        reach = max(1, self.config.global_side // (4 * CELL))
        center = np.zeros(3)
        for _ in range(_TRIES):
            flat = int(body[rng.integers(len(body))]) if len(body) else int(rng.integers(cells.size))
            index = np.array(np.unravel_index(flat, cells.shape))
            center = (index + rng.random(3)) * CELL - 0.5
            around = cells[tuple(slice(max(0, i - reach), i + reach + 1) for i in index)]
            if around.sum() > _TISSUE_SHARE * (2 * reach + 1) ** 3:
                break
        return center

    def _bounds(self, affines: list[NDArray]) -> tuple[NDArray, NDArray]:
        sides = (self.config.global_side, self.config.local_side)
        ends = [bounds(made, side) for made, side in zip(affines, sides, strict=True) if len(made)]
        return np.min([low for low, _ in ends], 0), np.max([high for _, high in ends], 0)


@dataclass(eq=False)
class CollatedCrops:
    """Items of a batch, stacked; blocks are padded with air to one shape."""

    items: list[CropItem]
    blocks: Tensor

    def pin_memory(self) -> "CollatedCrops":
        """Copy to page-locked memory, for faster transfers to a GPU."""
        return CollatedCrops(self.items, self.blocks.pin_memory())


def _stacked(blocks: Sequence[NDArray], outside: int) -> Tensor:
    shape = np.max([block.shape for block in blocks], 0)
    out = torch.full((len(blocks), *shape.tolist()), outside, dtype=torch.from_numpy(blocks[0]).dtype)
    for into, block in zip(out, blocks, strict=True):
        into[tuple(slice(0, n) for n in block.shape)] = torch.from_numpy(block)
    return out


def collate(items: list[CropItem]) -> CollatedCrops:
    """Stack the items of a batch."""
    collated = CollatedCrops(items, _stacked([item.block for item in items], AIR_HU))
    for item in items:
        item.block = item.block[:0]  # it was copied, and need not travel between processes twice
    return collated


def to_batch(collated: CollatedCrops, config: ViewsConfig, seed: int, device: torch.device) -> Batch:
    """Cut and augment the crops of a batch, on the device."""
    items = collated.items
    blocks = collated.blocks.to(device, non_blocking=True)
    lows = torch.from_numpy(np.stack([item.low for item in items])).to(device)
    views: list[Views | None] = []
    for group, side in enumerate((config.global_side, config.local_side)):
        affines = torch.from_numpy(np.stack([item.affines[group] for item in items])).to(device)
        if not affines.shape[1]:
            views.append(None)
            continue
        drawn = torch.from_numpy(np.concatenate([item.drawn[group] for item in items]))
        seeds = [item.noise_seed + 1000 * group + view for item in items for view in range(affines.shape[1])]
        images = augment(sample_views(blocks, lows, affines, side), drawn, seeds)
        views.append(Views(images, affines.float().flatten(0, 1)))
    assert views[0] is not None  # the configuration has at least one global view
    return Batch(
        globals=views[0],
        locals=views[1],
        pairs=_pairs(items, device),
        labels={name: _labels(name, items, device) for name in items[0].labels},
        samples=tuple(item.sample for item in items),
        volumes=tuple(item.volume for item in items),
        seed=seed,
    )


def _pairs(items: list[CropItem], device: torch.device) -> Pairs | None:
    found = [item.pairs for item in items if item.pairs is not None]
    if not found:
        return None
    points, positions, valid = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*found, strict=True))
    return Pairs(points.float(), positions.float(), valid)


def _labels(name: str, items: list[CropItem], device: torch.device) -> Labels:
    blocks = [item.labels[name] for item in items]
    lows = torch.from_numpy(np.stack([block.low for block in blocks]))
    stacked = _stacked([block.data for block in blocks], -1).long()
    return Labels(stacked.to(device), lows.to(device), blocks[0].stride)


@dataclass(frozen=True)
class StepBatchSampler:
    """Item numbers of each part of each step, for one of several processes.

    Parameters
    ----------
    batch_size, accumulate : int
        As in `PretrainConfig`.
    first_step, steps : int
    rank, world : int
    """

    batch_size: int
    accumulate: int
    first_step: int
    steps: int
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batch_size // (self.accumulate * self.world)
        for step in range(self.first_step, self.steps):
            for part in range(self.accumulate):
                first = step * self.batch_size + (part * self.world + self.rank) * size
                yield list(range(first, first + size))


def read_ahead(
    dataset: CropDataset, sampler: StepBatchSampler, workers: int, prefetch: int, pin: bool
) -> Iterator[CollatedCrops]:
    """Yield the collated items of the parts of steps, in order.

    Parameters
    ----------
    dataset : CropDataset
    sampler : StepBatchSampler
    numbers : StepBatchSampler
    workers, prefetch : int
        As in `LoaderConfig`.
    pin : bool
        Into page-locked memory, for a GPU.
    """
    # Forked workers share the volumes that are in memory; they never touch the GPU.
    options: dict[str, Any] = {"prefetch_factor": prefetch, "multiprocessing_context": "fork"} if workers else {}
    return iter(
        DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers, pin_memory=pin, **options)
    )
