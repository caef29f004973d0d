"""The backbone replayed as CUDA graphs: a forward of small batches is bound by some two hundred kernel launches."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from .backbone import Swin3D


@dataclass(frozen=True, eq=False)
class _Captured:
    """A recorded forward: `image` is what it reads, `maps` what it writes."""

    graph: torch.cuda.CUDAGraph
    image: Tensor
    maps: dict[int, Tensor]


class GraphedSwin3D:
    """A frozen backbone that records each forward once a shape; on devices without CUDA graphs, the backbone as it is.

    Parameters
    ----------
    backbone : Swin3D
        Its weights must not be replaced afterwards: a graph reads the memory that it was recorded with.
    """

    def __init__(self, backbone: Swin3D):
        self.backbone = backbone
        self._captured: dict[tuple, _Captured] = {}

    def __call__(self, x: Tensor, strides: Collection[int] | None = None) -> dict[int, Tensor]:
        """As `Swin3D.forward`; the maps are copies that later calls do not touch."""
        if x.device.type != "cuda":
            return self.backbone(x, strides)
        key = (x.shape, x.dtype, None if strides is None else tuple(sorted(strides)))
        if key not in self._captured:
            self._captured[key] = self._capture(x, strides)
        recorded = self._captured[key]
        recorded.image.copy_(x)
        recorded.graph.replay()
        return {stride: tensor.clone() for stride, tensor in recorded.maps.items()}

    def _capture(self, x: Tensor, strides: Collection[int] | None) -> _Captured:
        image = x.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):  # window plans, biases and the libraries' choices are made outside of the graph
                self.backbone(image, strides)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            maps = self.backbone(image, strides)
        return _Captured(graph, image, maps)
