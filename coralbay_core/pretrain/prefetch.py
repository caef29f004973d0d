"""Prefetching of the batches of a run, with waiting times."""

import time
from collections.abc import Iterator

import torch

from . import distributed
from .batch import Batch
from .config import PretrainConfig
from .data import CropDataset, StepBatchSampler, read_ahead, to_batch
from .source import VolumeSource


class Prefetcher:
    """Batches of this process from one step to another.

    Parameters
    ----------
    config : PretrainConfig
        Resolved configuration, without ``auto``.
    source : VolumeSource
    device : torch.device
    first_step, steps : int

    Attributes
    ----------
    waited, cut : float
        Seconds spent waiting for blocks, and cutting views out of them (on a GPU: queueing that).
    """

    def __init__(self, config: PretrainConfig, source: VolumeSource, device: torch.device, first_step: int, steps: int):
        self.config, self.device = config, device
        dataset = CropDataset(source, config.views, config.seed, config.pairs(), config.targets())
        sampler = StepBatchSampler(
            config.batch_size, config.accumulate, first_step, steps, distributed.rank(), distributed.world()
        )
        loader = config.loader
        self._ahead = read_ahead(dataset, sampler, int(loader.workers), loader.prefetch, device.type == "cuda")
        self.waited = self.cut = 0.0

    def parts(self) -> Iterator[Batch]:
        """Yield the batches of the next step."""
        for _ in range(self.config.accumulate):
            started = time.perf_counter()
            collated = next(self._ahead)
            ready = time.perf_counter()
            batch = to_batch(collated, self.config.views, self.config.seed, self.device)
            self.waited += ready - started
            self.cut += time.perf_counter() - ready
            yield batch
