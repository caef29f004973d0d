"""An `Encoder` over the SegResNet encoder of MONAI, as in CT-FM (arXiv 2501.09001) and VISTA3D (arXiv 2406.05285)."""

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import WeightsError
from .adapted import ADAPTED_MODELS, AdaptedModel
from .encoder import EncoderBase, Preprocessing, Stage, resolve_device, resolve_precision
from .i3resnet import centered
from .swin_encoder import maps_of

_FIRST = "conv_init.weight"
_MARK = "layers.0.blocks.0.conv1.weight"
_BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.conv1\.weight")
_DEPTHS = (1, 2, 2, 4, 4)
# Of the working memory, in numbers per voxel and filter: in the first block, maps of all filters exist five times.
_NUMBERS_PER_FILTER = 6


class SegResNet(nn.Module):
    """The encoder of MONAI's SegResNetDS, whose maps are moved to the centers of their cells.

    Parameters
    ----------
    filters : int
        Channels of the first stage; each further stage has twice as many.
    depths : sequence of int
        Residual blocks per stage.
    norm : str
        ``batch`` or ``instance``.
    """

    def __init__(self, filters: int, depths: Sequence[int], norm: str):
        super().__init__()
        from monai.networks.nets.segresnet_ds import SegResEncoder

        self.filters, self.depths, self.norm = filters, tuple(depths), norm
        self.encoder = SegResEncoder(init_filters=filters, blocks_down=self.depths, norm=norm)

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels per stride."""
        return {2**number: self.filters * 2**number for number in range(len(self.depths))}

    def forward(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the maps of a batch (B, 1, ...); stages beyond the largest stride are not computed.

        The network's cell i is centered at voxel ``i * stride``, ours at ``(i + 1 / 2) * stride - 1 / 2``.
        """
        maps = {}
        x = self.encoder.conv_init(x)
        for number, level in enumerate(self.encoder.layers):
            stride = 2**number
            x = level["blocks"](x)
            if stride in strides:
                # The downsampling that follows reads the map, whose activations are computed in place.
                maps[stride] = centered(x, [(stride - 1) / 2 / stride] * 3) if stride > 1 else x.clone()
            if stride >= max(strides):
                break
            x = level["downsample"](x)
        return maps


class SegResNetEncoder(EncoderBase):
    """An `Encoder` over a `SegResNet`.

    Parameters
    ----------
    network : SegResNet
    name : str
    preprocessing : Preprocessing
    device : str
    precision : torch.dtype, optional
        Of weights and activations; by default what suits the device.
    """

    def __init__(
        self,
        network: SegResNet,
        name: str,
        preprocessing: Preprocessing,
        device: str = "auto",
        precision: torch.dtype | None = None,
    ):
        self.name, self.preprocessing = name, preprocessing
        self.fingerprint = _fingerprint(network, preprocessing)
        self.device = resolve_device(device)
        self.precision = precision or resolve_precision(self.device)
        self.network = network.to(self.device, self.precision).eval().requires_grad_(False)
        self.stages = tuple(Stage(stride, channels) for stride, channels in network.channels.items())

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes."""
        return int(np.prod(size)) * _NUMBERS_PER_FILTER * self.network.filters * self.precision.itemsize

    def to(self, device: str) -> Self:
        """Make a copy on another device, in the precision that suits it."""
        moved = super().to(device)
        moved.precision = resolve_precision(moved.device)
        moved.network = copy.deepcopy(self.network).to(moved.device, moved.precision)
        return moved

    @torch.inference_mode()
    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the maps of a batch, as in `Encoder`."""
        return maps_of(self.network, self.preprocessing, x.to(self.device, self.precision), strides)


def segresnet_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Select the tensors of a SegResNet encoder from a checkpoint, or None if it has none.

    Known prefixes are none (CT-FM), ``encoder.`` (a whole SegResNet), and ``image_encoder.encoder.`` (VISTA3D), behind
    any others.
    """
    roots = [key.removesuffix(_FIRST) for key in tensors if key.endswith(_FIRST)]
    roots = [root for root in roots if root + _MARK in tensors]
    if not roots:
        return None
    root = min(roots, key=len)
    inside = {key.removeprefix(root): tensor for key, tensor in tensors.items() if key.startswith(root)}
    return {key: tensor for key, tensor in inside.items() if key.startswith(("conv_init.", "layers."))}


def segresnet_facts(tensors: Mapping[str, Tensor], where: str | Path) -> dict[str, Any]:
    """Architecture, prefix, number of parameters and ignored tensors of a checkpoint with a SegResNet encoder."""
    state = segresnet_state(tensors) or {}
    network = _network(state, where)
    root = next(key for key in tensors if key.endswith(_FIRST) and tensors[key] is state[_FIRST]).removesuffix(_FIRST)
    others = Counter(key.split(".")[0] for key in tensors if key.removeprefix(root) not in state)
    return {
        "architecture": {"filters": network.filters, "depths": network.depths, "norm": network.norm},
        "prefix": root,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "ignored": dict(others),
    }


def load_segresnet(
    state: Mapping[str, Tensor],
    name: str,
    statements: Mapping[str, Any],
    *,
    where: str | Path,
    device: str,
    precision: torch.dtype | None,
) -> SegResNetEncoder:
    """Load weights strictly.

    Parameters
    ----------
    state : mapping of str to Tensor
    name : str
        Of a model of `ADAPTED_MODELS`, or any other.
    statements : mapping
        ``axis_codes``, ``spacing_mm``, ``window_hu`` of `load_encoder`; they take precedence over what is published.

    Raises
    ------
    WeightsError
        If a tensor is missing, unexpected or of another shape, or the preprocessing is not known.
    """
    network = _network(state, where)
    known = ADAPTED_MODELS.get(name) or _published(network)
    preprocessing = _preprocessing(known, statements, where)
    floats = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    try:
        network.encoder.load_state_dict(floats)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError("weights do not fit a SegResNet encoder", where=where, found=reason) from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in floats.values()):
        raise WeightsError("damaged weights", where=where, found="NaN or infinity", hint="get them again")
    encoder = SegResNetEncoder(network, name, preprocessing, device, precision)
    if known is not None:
        encoder.notice = known.notice
        if known.name != name and not any(statements.values()):
            taken = f"{name}: taken for {known.name} by its layers, so its input is that of {known.name}"
            encoder.notice = "; ".join(filter(None, (known.notice, taken)))
    return encoder


def _network(state: Mapping[str, Tensor], where: str | Path) -> SegResNet:
    """Network of the shapes of weights."""
    filters, channels = state[_FIRST].shape[:2]
    if channels != 1:
        raise WeightsError("not an encoder of CT", where=where, found=f"{channels} input channels", expected=1)
    blocks = [(int(match[1]), int(match[2])) for match in map(_BLOCK.fullmatch, state) if match]
    depths = [1 + max(block for level, block in blocks if level == n) for n in sorted({level for level, _ in blocks})]
    norm = "batch" if any(key.endswith("running_mean") for key in state) else "instance"
    return SegResNet(int(filters), depths, norm)


def _published(network: SegResNet) -> AdaptedModel | None:
    """Published model whose layers these are."""
    for model in ADAPTED_MODELS.values():
        if (network.filters, network.depths, network.norm) == (model.filters, _DEPTHS, model.norm):
            return model
    return None


def _preprocessing(known: AdaptedModel | None, statements: Mapping[str, Any], where: str | Path) -> Preprocessing:
    given = {key: value for key, value in statements.items() if value is not None}
    if "axis_codes" in given:
        given["axis_codes"] = tuple(str(code).upper() for code in given["axis_codes"])
    if known is not None:
        return replace(known.preprocessing, **given)
    missing = [key for key in ("axis_codes", "spacing_mm", "window_hu") if key not in given]
    if missing:
        raise WeightsError(
            "the weights do not state how to use them",
            where=where,
            found="a SegResNet encoder that is not one of " + ", ".join(ADAPTED_MODELS),
            expected=", ".join(missing),
            hint="pass these to load_encoder",
        )
    return Preprocessing(**given)


def _fingerprint(network: SegResNet, preprocessing: Preprocessing) -> str:
    digest = hashlib.blake2b(b"segresnet-1", digest_size=16)
    about = {"norm": network.norm, "preprocessing": asdict(preprocessing)}
    digest.update(json.dumps(about, sort_keys=True).encode())
    for key, tensor in sorted(network.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
