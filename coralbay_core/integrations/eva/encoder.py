"""Adapter of an `Encoder` to eva's modules: six maps for a decoder, or one pooled vector for a head."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from ...models.encoder import Encoder, Preprocessing, Stage
from ...models.loading import load_encoder
from ...models.names import DEFAULT_MODEL
from ...models.swin3d.backbone import pooled

SKIPPED_IN_POOL = 16
"""Stride that eva's own encoders leave out of the pooled vector, and CoralBay out of what it distils (section 3)."""

_FAMILY = {1: 1, 2: 1, 4: 2, 8: 4, 16: 8, 32: 16}


class CoralBayEncoder(nn.Module):
    """Frozen encoder for eva's ``SemanticSegmentationModule`` and ``HeadModule``, with the arguments of eva's encoders.

    It holds no parameters of its own, so nothing of it is trained, copied or saved with a checkpoint; it follows its
    input to the device.

    Parameters
    ----------
    model : str
        Any name or path that `load_encoder` takes.
    out_indices : int, optional
        Number of maps to return, the last ones; 6 for eva's SwinUNETR decoder. Without it: the pooled vector.
    inferer : callable, optional
        A MONAI inferer, such as ``monai.inferers.SlidingWindowInferer``, through which maps are computed when the
        module is not in training. Its windows must stand on whole cells of the last map.
    input_hu : tuple of float, optional
        HU that 0 and 1 mean in the input. By default it is windowed for the model already (`transforms.ModelWindow`).

    Raises
    ------
    InputError
        If maps are requested and the model lacks those of the SwinUNETR family, or windows of the inferer
        would stand between cells.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        out_indices: int | None = None,
        inferer: Callable[..., Any] | None = None,
        input_hu: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self._model, self._out_indices, self._inferer, self._input_hu = model, out_indices, inferer, input_hu
        self._encoder = _load(model, "cpu")
        self._roi = _roi_of(inferer, self._encoder.stages[-1].stride)
        if out_indices is not None:
            if not 1 <= out_indices <= len(_FAMILY):
                raise InputError(
                    "number of maps out of range", where="out_indices", found=out_indices, expected="1 to 6"
                )
            family_width(model, self._encoder.stages)

    def forward(self, tensor: Tensor) -> Tensor | list[Tensor]:
        """Compute the maps or vectors of a batch.

        Parameters
        ----------
        tensor : (B, 1, Z, Y, X) Tensor
            Axis codes S, P, L, as eva's datasets give them.

        Returns
        -------
        list of (B, C, Z / stride, Y / stride, X / stride) Tensor, finest first, or (B, sum of C) Tensor
        """
        strides = sorted(_FAMILY) if self._out_indices else [stage.stride for stage in self._encoder.stages]
        maps = dict(zip(strides, self._forward_features(tensor, strides), strict=True))
        if self._out_indices:
            return [maps[stride] for stride in strides[-self._out_indices :]]
        return pooled(maps, pooled_strides(self._encoder.stages))

    def _forward_features(self, tensor: Tensor, strides: Sequence[int]) -> list[Tensor]:
        tensor = tensor.as_subclass(Tensor)  # what is computed with MetaTensor or eva's Volume drags metadata along
        unit = tensor if self._input_hu is None else self._windowed(tensor.float())
        sizes = unit.shape[2:]
        slides = self._inferer is not None and not self.training
        # As features of a whole scan are computed: beyond the high ends its edge is repeated. The inferer would pad
        # what is smaller than a window on both sides, and so between cells.
        last = self._encoder.stages[-1].stride
        wanted = [max(n + -n % last, least) for n, least in zip(sizes, self._roi if slides else (0,) * 3, strict=True)]
        beyond = [part for n, to in zip(reversed(sizes), reversed(wanted), strict=True) for part in (0, to - n)]
        padded = F.pad(unit, beyond, mode="replicate")
        if slides:
            maps = self._inferer(inputs=padded, network=lambda part: self._maps(part, strides))  # type: ignore[misc]
        else:
            maps = self._maps(padded, strides)
        parts = [[slice(-(-n // stride)) for n in sizes] for stride in strides]
        return [found[(slice(None), slice(None), *part)] for found, part in zip(maps, parts, strict=True)]

    def _maps(self, unit: Tensor, strides: Sequence[int]) -> list[Tensor]:
        """Compute the maps of a tensor whose sides are multiples of the last stride."""
        encoder = self._on(unit.device)
        known = [stage.stride for stage in encoder.stages]
        maps = encoder(unit, [stride for stride in strides if stride in known])
        if 1 in strides and 1 not in maps:
            maps[1] = _image_map(unit, encoder.stages[0].channels)
        # A copy outside of inference mode is a tensor that decoders can train on.
        return [maps[stride].clone() for stride in strides]

    def _windowed(self, tensor: Tensor) -> Tensor:
        low, high = self._input_hu  # type: ignore[misc]
        first, last = self._encoder.preprocessing.window_hu
        return ((tensor * (high - low) + low - first) / (last - first)).clamp(0, 1)

    def _on(self, device: torch.device) -> Encoder:
        if self._encoder.device != device:
            self._encoder = _load(self._model, str(device))
        return self._encoder


def _load(model: str, device: str) -> Encoder:
    return load_encoder(model, device=device, precision=torch.float32)  # that of eva's protocol, on every machine


def _roi_of(inferer: Callable[..., Any] | None, stride: int) -> tuple[int, ...]:
    """Sides of the windows of an inferer, 0 without windows; windows and their steps must be whole cells.

    MONAI puts the maps of a window on the nearest cells: a step of 48 voxels is one and a half of stride 32.
    """
    roi = getattr(inferer, "roi_size", None)
    if roi is None:
        return (0,) * 3
    sides = tuple(int(n or 0) for n in ((roi,) * 3 if isinstance(roi, (int, float)) else roi))
    overlap = getattr(inferer, "overlap", 0.0)
    overlaps = (overlap,) * 3 if isinstance(overlap, (int, float)) else tuple(overlap)
    steps = tuple(int(side * (1 - part)) for side, part in zip(sides, overlaps, strict=True))
    if any(n % stride for n in (*sides, *steps)) or (min(sides) > 0 and min(steps) < 1):
        raise InputError(
            "sliding windows do not start on cells of the model",
            where="inferer",
            found=f"roi_size {list(sides)} and steps of {list(steps)} voxels",
            expected=f"multiples of {stride}, the last stride of the model",
            hint="such as roi_size 128 with overlap 0.5, or 96 with 0.3333",
        )
    return tuple(max(n, 0) for n in sides)


def _image_map(image: Tensor, channels: int) -> Tensor:
    """Substitute for the stride-1 map of a network without one: the image, then empty channels.

    The SwinUNETR family gives the decoder a convolution of the image there; a decoder learns its own.
    """
    return F.pad(image.float(), (0, 0) * 3 + (0, channels - 1))


def pooled_strides(stages: Sequence[Stage]) -> list[int]:
    """Strides whose means form the pooled vector: all, except 16 in the SwinUNETR family."""
    strides = [stage.stride for stage in stages]
    return [stride for stride in strides if stride != SKIPPED_IN_POOL or 32 not in strides]


def pooled_width(stages: Sequence[Stage]) -> int:
    """Length of the pooled vector."""
    return sum(stage.channels for stage in stages if stage.stride in pooled_strides(stages))


def family_width(model: str, stages: Sequence[Stage]) -> int:
    """Channels of the first map (eva's ``feature_size``) of a model with the maps of the SwinUNETR family.

    Raises
    ------
    InputError
        For another model. Of the six maps the one at stride 1 may be absent.
    """
    found = {stage.stride: stage.channels for stage in stages}
    width = found.get(2, 0)
    expected = {stride: times * width for stride, times in _FAMILY.items() if stride > 1 or 1 in found}
    if not width or found != expected:
        raise InputError(
            "model lacks the maps of the SwinUNETR family",
            where=model,
            found=", ".join(f"{channels} at stride {stride}" for stride, channels in found.items()),
            expected="N, 2 N, 4 N, 8 N and 16 N channels at strides 2, 4, 8, 16 and 32",
            hint="eva's decoder takes no others; such a model can be evaluated in classification",
        )
    return width


@cache
def describe(model: str) -> tuple[tuple[Stage, ...], Preprocessing]:
    """Stages and preprocessing of a model; its weights are read once and cached."""
    encoder = _load(model, "cpu")
    return encoder.stages, encoder.preprocessing
