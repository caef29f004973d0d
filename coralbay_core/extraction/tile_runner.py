"""Running tiles through an encoder in batches that fit into the memory of its device."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..models.encoder import Encoder
from ..util.memory import is_out_of_memory
from .extraction_input import ExtractionInput
from .tiling import Index

Say = Callable[[str], None]
"""Called with a message for the user."""

_LARGEST_BATCH = 16
_LARGEST_FEATURE = torch.finfo(torch.float16).max


class TileRunner:
    """Runner of tiles through an encoder, in batches.

    The first tile runs alone. On CUDA its peak memory gives the size of a batch; a CPU gains nothing from more than one
    tile. If the device runs out of memory nevertheless, the batch is halved, and a tile that does not fit alone runs on
    the CPU.

    Parameters
    ----------
    encoder : Encoder
    scene : ExtractionInput
    strides : sequence of int
    device_bytes : int
        Memory that a batch may use.
    say : callable, optional

    Attributes
    ----------
    encoder : Encoder
        The encoder in use: on the CPU once the device was too small.
    batch : int
        Tiles per pass.
    tile_s : float
        Seconds per tile of the last pass; the first pass warms up.
    """

    def __init__(
        self,
        encoder: Encoder,
        scene: ExtractionInput,
        strides: Sequence[int],
        device_bytes: int,
        say: Say | None = None,
    ):
        self.encoder, self.scene, self.strides = encoder, scene, tuple(strides)
        self.device_bytes = device_bytes
        self.say: Say = say or (lambda text: None)
        self.batch = 1
        self.tile_s = 0.0
        self._passes = 0

    def run(self, starts: Sequence[Index]) -> Iterator[list[tuple[Index, dict[int, Tensor]]]]:
        """Yield one list per pass: the start of each tile and its maps (C, z, y, x)."""
        done = 0
        while done < len(starts):
            part = list(starts[done : done + self.batch])
            maps = self._pass(part)
            if maps is None:
                continue  # with a smaller batch, or on the CPU
            yield [(start, {stride: maps[stride][i] for stride in self.strides}) for i, start in enumerate(part)]
            done += len(part)

    def _pass(self, starts: list[Index]) -> dict[int, Tensor] | None:
        cuda = self.encoder.device.type == "cuda"
        if cuda and not self._passes:
            torch.cuda.reset_peak_memory_stats(self.encoder.device)
        began = time.perf_counter()
        try:
            maps = self.encoder(self.scene.inputs(starts), self.strides)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._give_way(error)
            return None
        if cuda:
            torch.cuda.synchronize(self.encoder.device)
        self._require_finite(maps)
        self._passes += 1
        if self._passes == 1 and cuda:
            self.batch = self._fitting()
        self.tile_s = (time.perf_counter() - began) / len(starts)
        return maps

    def _require_finite(self, maps: Mapping[int, Tensor]) -> None:
        """Raise before a NaN, or what is too large for float16, is blended, stored or returned."""
        for stride in self.strides:
            low, high = torch.aminmax(maps[stride])  # NaN if any value is
            if low >= -_LARGEST_FEATURE and high <= _LARGEST_FEATURE:
                continue
            hu = self.scene.hu
            in_scan = not (np.isfinite(hu.min()) and np.isfinite(hu.max()))
            raise InputError(
                "features are not finite",
                where=f"{self.encoder.name} at stride {stride}",
                found="NaN or infinity in the scan" if in_scan else "NaN or infinity for a sound scan",
                expected="finite numbers",
                hint="replace such voxels by air" if in_scan else "are the weights damaged? Fetch them again",
            )

    def _fitting(self) -> int:
        taken = torch.cuda.max_memory_allocated(self.encoder.device)
        return max(1, min(_LARGEST_BATCH, self.device_bytes // max(taken, 1)))

    def _give_way(self, error: BaseException) -> None:
        """Halve the batch, or fall back to the CPU."""
        device = self.encoder.device
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch = max(1, self.batch // 2)
            self.say(f"{device} ran out of memory: going on with {self.batch} tile(s) at a time")
            return
        if device.type == "cpu":
            size = " x ".join(map(str, self.scene.lattice.size))
            raise InputError(
                "not enough memory for one tile",
                where=device,
                found=f"tiles of {size} voxels",
                hint="close other programs, or use a model with smaller tiles",
            ) from error
        self.encoder = self.encoder.to("cpu")
        self.say(f"{device} is too small for one tile: going on with the CPU")
