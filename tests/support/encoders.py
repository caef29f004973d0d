"""Small encoders for tests whose features are known."""

import time
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from coralbay_core.models.encoder import EncoderBase, Stage, Tiling


class PoolingEncoder(EncoderBase):
    """Each stage is the local mean of the input, so a misplaced tile or a forgotten half voxel shows as a number."""

    name = "pooling"
    fingerprint = "pooling"
    stages = tuple(Stage(stride, 1) for stride in (2, 4, 8, 16, 32))

    def __init__(self, tile: int = 96, step: int = 64):
        self.tiling = Tiling(tile, step)
        self.calls = 0

    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        self.calls += 1
        return {stride: F.avg_pool3d(x, stride) for stride in strides}


class SlowEncoder(PoolingEncoder):
    def __call__(self, x, strides):
        time.sleep(0.3)
        return super().__call__(x, strides)


class SmallDevice(PoolingEncoder):
    """Fails as a device does that holds no more than `most` tiles."""

    def __init__(self, most: int):
        super().__init__(64, 32)
        self.most = most
        self.seen: list[int] = []

    def __call__(self, x, strides):
        self.seen.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return super().__call__(x, strides)

    def to(self, device):
        assert device == "cpu"
        return PoolingEncoder(64, 32)
